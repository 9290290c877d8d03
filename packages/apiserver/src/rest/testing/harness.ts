/** A REST layer over a fresh store, and short words for its verbs; for tests. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { KubeObject } from '@waxseal/api-types';
import type { Transformer } from '@waxseal/envelope';
import { openLmdbStore, type Store } from '@waxseal/storage';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { createAuthHooks } from '../../auth/hooks.js';
import type { ServiceAccountTokens } from '../../auth/service-account-tokens.js';
import { apiServerUser } from '../../auth/users.js';
import type { ResourceDefinition } from '../../registry/resource.js';
import type {
  DeleteOptions,
  ListRequest,
  PatchKind,
  RestRequest,
  RestResponse,
  RestTarget,
  RestWatchEvent,
  UserInfo,
  WatchRequest,
} from '../contract.js';
import { switchableEncryption, transformerOf } from './encryption.js';
import { createRestHandler, type RunningRestHandler } from '../handler.js';

type JsonPatchBody = Extract<RestRequest, { verb: 'patch' }>['patch'];

export interface Harness {
  readonly store: Store;
  readonly rest: RunningRestHandler;
  readonly encryption: ReturnType<typeof switchableEncryption>;
  resource(name: string): ResourceDefinition;
  /** The answer, unparsed. */
  raw(request: Partial<RestTarget> & Record<string, unknown>): Promise<RestResponse>;
  create(resource: string, namespace: string, object: object, options?: CallOptions): Promise<KubeObject>;
  get(resource: string, namespace: string, name: string): Promise<KubeObject>;
  list(resource: string, namespace: string, query?: Partial<ListRequest>): Promise<ListAnswer>;
  update(resource: string, namespace: string, object: KubeObject, options?: CallOptions): Promise<KubeObject>;
  patch(
    resource: string,
    namespace: string,
    name: string,
    patchKind: PatchKind,
    patch: JsonPatchBody,
    options?: CallOptions,
  ): Promise<KubeObject>;
  delete(
    resource: string,
    namespace: string,
    name: string,
    options?: Partial<DeleteOptions>,
  ): Promise<KubeObject>;
  watch(resource: string, namespace: string, query?: Partial<WatchRequest>): Promise<RunningTestWatch>;
  /** The bytes as they lie in storage. */
  stored(key: string): Promise<Buffer | undefined>;
  /** Waits until the controllers have nothing left to write after the start. */
  settled(): Promise<void>;
  /** Waits until `condition` gives something. */
  until<T>(condition: () => Promise<T | undefined> | T | undefined): Promise<T>;
  close(): Promise<void>;
}

interface CallOptions {
  readonly user?: UserInfo;
  readonly dryRun?: boolean;
  readonly subresource?: string;
  /** Of the object a subresource belongs to. */
  readonly name?: string;
}

interface ListAnswer {
  readonly items: readonly KubeObject[];
  readonly names: readonly string[];
  readonly resourceVersion: string;
  readonly continue: string;
  readonly remainingItemCount: number | undefined;
}

export interface WatchedEvent {
  readonly type: RestWatchEvent['type'];
  readonly object: KubeObject;
}

interface RunningTestWatch {
  readonly events: readonly WatchedEvent[];
  readonly ended: boolean;
  /** Resolves with the first `count` events. */
  take(count: number): Promise<readonly WatchedEvent[]>;
  stop(): void;
}

const MAP_BYTES = 64 * 1024 * 1024;

export async function createHarness(
  options: {
    /** An existing data directory, which stays. */
    readonly path?: string;
    readonly transformer?: Transformer;
    readonly now?: () => Date;
    readonly bookmarkIntervalMs?: number;
    readonly serviceAccountTokens?: ServiceAccountTokens;
  } = {},
): Promise<Harness> {
  const path = options.path ?? (await mkdtemp(join(tmpdir(), 'waxseal-rest-')));
  const store = await openLmdbStore({ path, mapBytes: MAP_BYTES });
  const encryption = switchableEncryption(options.transformer ?? transformerOf('first'));
  const rest = await createRestHandler({
    store,
    encryption,
    auth: (source) =>
      createAuthHooks({
        source,
        authenticateToken: async () => ({ kind: 'unknown' }),
        serviceAccountTokens: options.serviceAccountTokens,
      }),
    now: options.now ?? (() => new Date()),
    randomBytes,
    logger: pino({ level: 'silent' }),
    registry: new Registry(),
    // Tests wait for controllers, so their timers keep the process alive.
    schedule: (task, delayMs) => {
      const timer = setTimeout(task, delayMs);
      return () => clearTimeout(timer);
    },
    ...(options.bookmarkIntervalMs === undefined ? {} : { bookmarkIntervalMs: options.bookmarkIntervalMs }),
  });

  const resource = (name: string): ResourceDefinition => {
    const found = rest.resources.find((r) => r.resource === name);
    if (found === undefined) throw new Error(`no resource ${name}`);
    return found;
  };
  const raw: Harness['raw'] = (request) =>
    rest.handle({
      namespace: '',
      user: apiServerUser,
      signal: new AbortController().signal,
      labelSelector: '',
      fieldSelector: '',
      resourceVersion: '',
      resourceVersionMatch: '',
      limit: 0,
      continue: '',
      ...request,
    } as unknown as RestRequest);
  const objectOf = (response: RestResponse): KubeObject => {
    switch (response.kind) {
      case 'object':
        return JSON.parse(response.object.toString()) as KubeObject;
      case 'status':
        return response.status as unknown as KubeObject;
      default:
        throw new Error(`unexpected ${response.kind}`);
    }
  };
  const target = (name: string, namespace: string, call: CallOptions = {}): Record<string, unknown> => {
    const definition = resource(name);
    return {
      resource: definition,
      namespace,
      subresource: definition.subresources.find((s) => s.name === call.subresource),
      user: call.user ?? apiServerUser,
      options: { dryRun: call.dryRun ?? false, fieldManager: 'test', fieldValidation: 'Strict' },
    };
  };

  const harness: Harness = {
    store,
    rest,
    encryption,
    resource,
    raw,
    create: async (name, namespace, object, call) => {
      const definition = resource(name);
      const whole = {
        kind: definition.kind,
        apiVersion: definition.group === '' ? 'v1' : `${definition.group}/v1`,
        metadata: {},
        ...object,
      };
      return objectOf(
        await raw({ verb: 'create', name: call?.name, object: whole, ...target(name, namespace, call) }),
      );
    },
    get: async (name, namespace, objectName) =>
      objectOf(await raw({ verb: 'get', name: objectName, ...target(name, namespace) })),
    list: async (name, namespace, query = {}) => {
      const response = await raw({ verb: 'list', ...target(name, namespace), ...query });
      if (response.kind !== 'list') throw new Error(`unexpected ${response.kind}`);
      const items = response.items.map((item) => JSON.parse(item.toString()) as KubeObject);
      return {
        items,
        names: items.map((item) => item.metadata.name ?? ''),
        resourceVersion: response.resourceVersion,
        continue: response.continue,
        remainingItemCount: response.remainingItemCount,
      };
    },
    update: async (name, namespace, object, call) =>
      objectOf(
        await raw({
          verb: 'update',
          name: object.metadata.name,
          object: structuredClone(object),
          ...target(name, namespace, call),
        }),
      ),
    patch: async (name, namespace, objectName, patchKind, patch, call) =>
      objectOf(
        await raw({ verb: 'patch', name: objectName, patchKind, patch, ...target(name, namespace, call) }),
      ),
    delete: async (name, namespace, objectName, deleteOptions = {}) =>
      objectOf(
        await raw({
          verb: 'delete',
          name: objectName,
          ...target(name, namespace),
          options: { dryRun: false, preconditions: {}, propagationPolicy: '', ...deleteOptions },
        }),
      ),
    watch: async (name, namespace, query = {}) => {
      const response = await raw({
        verb: 'watch',
        allowWatchBookmarks: false,
        sendInitialEvents: false,
        timeoutMs: 0,
        ...target(name, namespace),
        ...query,
      });
      if (response.kind !== 'watch') throw new Error(`unexpected ${response.kind}`);
      return collect(
        (sink) => response.start(sink),
        (condition) => harness.until(condition),
      );
    },
    stored: async (key) => (await store.get(Buffer.from(key))).kv?.value,
    settled: async () => {
      const { names } = await harness.list('namespaces', '');
      await harness.until(async () => {
        const accounts = await harness.list('serviceaccounts', '');
        return accounts.names.length === names.length ? true : undefined;
      });
    },
    until: async (condition) => {
      for (let attempt = 0; attempt < 2000; attempt++) {
        const found = await condition();
        if (found !== undefined) return found;
        await new Promise((resolve) => {
          setTimeout(resolve, 5);
        });
      }
      throw new Error('the condition did not come true within ten seconds');
    },
    close: async () => {
      await rest.close();
      await store.close();
      if (options.path === undefined) await rm(path, { recursive: true });
    },
  };
  return harness;
}

function collect(
  start: Extract<RestResponse, { kind: 'watch' }>['start'],
  until: Harness['until'],
): RunningTestWatch {
  const events: WatchedEvent[] = [];
  let ended = false;
  const stop = start({
    onEvent: ({ type, object }) => events.push({ type, object: JSON.parse(object.toString()) as KubeObject }),
    onEnd() {
      ended = true;
    },
  });
  return {
    events,
    get ended() {
      return ended;
    },
    take: (count) => until(() => (events.length >= count ? events.slice(0, count) : undefined)),
    stop,
  };
}
