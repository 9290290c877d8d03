/**
 * The REST layer put together: a request of any verb in, stored bytes out.
 *
 * At start it mirrors namespaces and RBAC objects, writes what a cluster starts with (or goes on trying), and starts the
 * controllers that keep namespaces and dependents in order.
 */
import type { KubeObject } from '@waxseal/api-types';
import type { EncryptionAtRest, HealthCheck } from '@waxseal/encryption-config';
import type { Store } from '@waxseal/storage';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { createNamespaceLifecycle, type NamespaceState } from '../admission/namespace-lifecycle.js';
import type { AuthHooksFactory } from '../auth/hooks.js';
import {
  parseClusterRole,
  parseClusterRoleBinding,
  parseRole,
  parseRoleBinding,
  type RbacSource,
} from '../auth/rbac-source.js';
import { createLeasePool } from '../objects/lease-pool.js';
import { createObjectMirror, type ObjectMirror } from '../objects/object-mirror.js';
import { createObjectStore } from '../objects/object-store.js';
import { systemSchedule, type Schedule } from '../objects/schedule.js';
import { isStored } from '../objects/storage-key.js';
import { createWatchHub, type WatchHub } from '../objects/watch-hub.js';
import { isTerminating } from '../registry/namespaces.js';
import { RBAC_GROUP } from '../registry/rbac.js';
import { registry as servedResources } from '../registry/registry.js';
import type { ResourceDefinition } from '../registry/resource.js';
import type { UpdateStrategy } from '../registry/strategy.js';
import { createBootstrap } from './bootstrap.js';
import type { RestContext, StoredEntry } from './context.js';
import type { CreateRequest, RestHandler, RestRequest, RestResponse } from './contract.js';
import { create } from './create.js';
import { remove, removeCollection } from './delete.js';
import { removeUnreadable } from './delete-unreadable.js';
import { dropNulls } from './drop-nulls.js';
import { createGarbageCollector } from './garbage-collector.js';
import { get } from './get.js';
import { list } from './list.js';
import { createNamespaceController } from './namespace-controller.js';
import { patch } from './patch.js';
import { fromStore, methodNotSupported, notFound } from './status-errors.js';
import { requestToken } from './token-request.js';
import { update } from './update.js';
import { createWatchMetrics } from './watch-metrics.js';
import { watch } from './watch.js';

export interface RestHandlerOptions {
  readonly store: Store;
  readonly encryption: EncryptionAtRest;
  /** Called once, when the RBAC objects can be supplied. */
  readonly auth: AuthHooksFactory;
  readonly now: () => Date;
  readonly randomBytes: (size: number) => Buffer;
  readonly logger: Logger;
  /** Takes this layer's metrics. */
  readonly registry: Registry;
  /** Default: the process's timers. */
  readonly schedule?: Schedule;
  /** How often an idle watch gets a bookmark; default one minute. */
  readonly bookmarkIntervalMs?: number;
}

export interface RunningRestHandler extends RestHandler, RbacSource {
  /** Fail while something a cluster starts with is missing. */
  readonly healthChecks: readonly HealthCheck[];
  /** Resolves when the collector has nothing left to do. */
  collected(): Promise<void>;
  /** Ends watches and controllers; the store stays open. */
  close(): Promise<void>;
}

const BOOKMARK_INTERVAL_MS = 60_000;
/** The first look for what an earlier run left undone waits until the start is over. */
const FIRST_SCAN_MS = 30_000;

export async function createRestHandler(options: RestHandlerOptions): Promise<RunningRestHandler> {
  const { store, encryption, now, randomBytes, logger } = options;
  const schedule = options.schedule ?? systemSchedule;
  const objects = createObjectStore({ store, encryption, leases: createLeasePool(store, now) });
  const entries = storedEntries();
  const entryOf = (group: string, resource: string): StoredEntry => {
    const entry = entries.find(({ definition: d }) => d.group === group && d.resource === resource);
    if (entry === undefined) throw new Error(`${resource} is not in the registry`);
    return entry;
  };
  const namespaces = entryOf('', 'namespaces');
  const secrets = entryOf('', 'secrets');
  const serviceAccounts = entryOf('', 'serviceaccounts');

  const namespaceController = createNamespaceController({ namespaces, serviceAccounts });
  const mirror = <T>(
    entry: StoredEntry,
    parse: (object: KubeObject) => T,
    onChange?: (namespace: string, name: string, value: T | undefined) => void,
  ): Promise<ObjectMirror<T>> =>
    createObjectMirror({
      objects,
      resource: entry.definition,
      logger,
      schedule,
      parse,
      ...(onChange === undefined ? {} : { onChange }),
    });
  const [namespaceMirror, roles, roleBindings, clusterRoles, clusterRoleBindings] = await Promise.all([
    mirror<NamespaceState>(
      namespaces,
      (object) => ({ name: object.metadata.name ?? '', terminating: isTerminating(object) }),
      (_namespace, name, state) => {
        if (state !== undefined) namespaceController.changed(name, state.terminating);
      },
    ),
    mirror(entryOf(RBAC_GROUP, 'roles'), parseRole),
    mirror(entryOf(RBAC_GROUP, 'rolebindings'), parseRoleBinding),
    mirror(entryOf(RBAC_GROUP, 'clusterroles'), parseClusterRole),
    mirror(entryOf(RBAC_GROUP, 'clusterrolebindings'), parseClusterRoleBinding),
  ]);
  const rbac: RbacSource = {
    roles: () => roles.values(),
    clusterRoles: () => clusterRoles.values(),
    roleBindings: () => roleBindings.values(),
    clusterRoleBindings: () => clusterRoleBindings.values(),
  };

  const bootstrap = createBootstrap({
    namespaces,
    clusterRoles: entryOf(RBAC_GROUP, 'clusterroles'),
    clusterRoleBindings: entryOf(RBAC_GROUP, 'clusterrolebindings'),
  });
  const collector = createGarbageCollector();
  const hubs = new Map<StoredEntry, WatchHub>();
  const context: RestContext = {
    objects,
    entries,
    auth: options.auth(rbac),
    namespaces: createNamespaceLifecycle(objects, namespaces.definition, namespaceMirror, (name) =>
      bootstrap.namespaceMissingBecause(name),
    ),
    removals: {
      removed(entry, namespace) {
        collector.removed(entry, namespace);
        if (!entry.definition.namespaced) return;
        const state = namespaceMirror.get('', namespace);
        if (state?.value.terminating === true) namespaceController.removedFrom(namespace);
        else if (entry === serviceAccounts) namespaceController.changed(namespace, false);
      },
      waiting: (entry, namespace) => collector.waiting(entry, namespace),
    },
    hubOf(entry) {
      let hub = hubs.get(entry);
      if (hub === undefined) {
        hub = createWatchHub({
          objects,
          resource: entry.definition,
          schedule,
          progressIntervalMs: options.bookmarkIntervalMs ?? BOOKMARK_INTERVAL_MS,
        });
        hubs.set(entry, hub);
      }
      return hub;
    },
    now,
    randomBytes,
    schedule,
    logger,
  };

  await bootstrap.start(context);
  namespaceController.start(context);
  collector.start(context);
  const cancelFirstScan = schedule(() => collector.scanAll(), FIRST_SCAN_MS);
  const metrics = createWatchMetrics(options.registry);

  const dispatch = (request: RestRequest): Promise<RestResponse> | RestResponse => {
    const { resource, subresource } = request;
    const entry = entries.find(({ definition }) => definition === resource);
    if (entry === undefined) return answerReview(context, request);
    if (request.verb === 'create' && subresource !== undefined) {
      return subresource.name === 'token' && entry === serviceAccounts
        ? requestToken(context, entry, secrets, request)
        : refuse(request);
    }
    switch (request.verb) {
      case 'create':
        return create(
          context,
          {
            entry,
            namespace: request.namespace,
            user: request.user,
            dryRun: request.options.dryRun,
          },
          request.object,
        );
      case 'get':
        return get(context, entry, request);
      case 'list':
        return list(context, entry, request);
      case 'watch':
        return metrics.counted(resource, watch(context, entry, request));
      case 'update':
        return update(context, entry, request, updateStrategy(entry, request));
      case 'patch':
        return patch(context, entry, request, updateStrategy(entry, request));
      case 'delete':
        return request.options.ignoreStoreReadErrorWithClusterBreakingPotential === true
          ? removeUnreadable(context, entry, request)
          : remove(context, entry, request);
      default:
        return removeCollection(context, entry, request);
    }
  };

  return {
    ...rbac,
    healthChecks: bootstrap.healthChecks,
    resources: servedResources.map(({ definition }) => definition),
    async handle(request) {
      try {
        return await dispatch(request);
      } catch (error) {
        throw fromStore(error, request.resource, request.verb);
      }
    },
    collected: () => collector.idle(),
    async close() {
      cancelFirstScan();
      await Promise.all([bootstrap.close(), collector.close(), namespaceController.close()]);
      for (const hub of hubs.values()) hub.close();
      for (const mirrored of [namespaceMirror, roles, roleBindings, clusterRoles, clusterRoleBindings]) {
        mirrored.close();
      }
    },
  };
}

function storedEntries(): readonly StoredEntry[] {
  return servedResources.flatMap(({ definition, strategy }) =>
    isStored(definition) && strategy !== undefined ? [{ definition, strategy }] : [],
  );
}

function refuse(request: { readonly resource: ResourceDefinition; readonly verb: string }): never {
  throw methodNotSupported(request.resource, request.verb);
}

/** The rules of the body: the resource's own, or its subresource's. */
function updateStrategy(entry: StoredEntry, request: RestRequest): UpdateStrategy {
  const { subresource } = request;
  if (subresource === undefined) return entry.strategy;
  return entry.strategy.subresources[subresource.name] ?? refuse(request);
}

async function answerReview(context: RestContext, request: RestRequest): Promise<RestResponse> {
  const { kind } = request.resource;
  const { reviews } = context.auth;
  if (!isReview(reviews, kind)) throw notFound(request.resource, '');
  if (request.verb !== 'create') return refuse(request);
  const { object, user, namespace }: CreateRequest = request;
  const answer = await reviews[kind](dropNulls(object), user, namespace);
  return { kind: 'object', code: 201, object: Buffer.from(JSON.stringify(answer)), warnings: [] };
}

function isReview<T extends object>(reviews: T, kind: string): kind is string & keyof T {
  return Object.hasOwn(reviews, kind);
}
