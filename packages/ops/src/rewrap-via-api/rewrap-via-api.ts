/**
 * Re-encryption through an API server: to every object an empty server-side apply, which changes nothing, so that the server writes the
 * object again exactly when it is stale. It needs no key and no way to etcd.
 *
 * Each apply names the object's uid and resourceVersion, as the storage version migrator of Kubernetes does: without the uid an apply to an
 * object deleted a moment ago would create it. An object that was written meanwhile answers Conflict and is fresh.
 *
 * Source of the rule: k8s.io/apiserver `endpoints/handlers/patch.go` (applyPatcher), `registry/store.go` (a stale object is written though unchanged).
 */
import type { Clock } from '@waxseal/encryption-config';
import { OpsError } from '../errors.js';
import { addCounts, countsAddUp, noCounts, type MutableCounts, type RewrapCounts } from '../rewrap/counts.js';
import { createRateLimit } from '../rewrap/rate-limit.js';
import { signalForMany } from '../rewrap/store-patience.js';
import { createWindow } from '../rewrap/window.js';
import { type ApiAnswer, type ApiClient, createApiClient, messageOf } from './api-client.js';
import type { ApiServerAccess } from './kubeconfig.js';
import { servedResources, type ServedResource } from './resources.js';

export interface RewrapViaApiOptions {
  readonly access: ApiServerAccess;
  /** What to rewrap, as in `resources` of an EncryptionConfiguration, wildcards too. */
  readonly resources: readonly string[];
  /** Requests at once; default 16. */
  readonly workers?: number;
  /** Requests that may write, a second at most; default: no limit. */
  readonly ratePerSecond?: number;
  /** How long to wait for a server that does not answer; default 60 s. */
  readonly outageMs?: number;
  readonly signal: AbortSignal;
  /** Its timers must keep the process, unless something else does. */
  readonly clock: Clock;
  readonly onProgress?: (progress: { readonly done: number; readonly total: number } & RewrapCounts) => void;
}

interface ViaApiFailure {
  readonly key: string;
  readonly message: string;
}

/** `stale` is what the server wrote; whether a conflict or a deleted object was stale nobody can tell. */
export interface RewrapViaApiReport extends RewrapCounts {
  readonly addsUp: boolean;
  /** The first thousand. */
  readonly failures: readonly ViaApiFailure[];
}

interface ListedObject {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly resourceVersion: string;
}

interface ListedPage {
  readonly objects: readonly ListedObject[];
  /** Behind this page, as the server says it. */
  readonly remaining: number;
}

const DEFAULT_WORKERS = 16;
const DEFAULT_OUTAGE_MS = 60_000;
const PAGE_OBJECTS = 500;
const MAX_OPEN_PAGES = 2;
const MAX_FAILURES_LISTED = 1000;
const FIELD_MANAGER = 'waxseal-rewrap';
const METADATA_ONLY = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json';

/** @throws OpsError source-unreadable, invalid-option, interrupted; what is rewritten stays so */
export async function rewrapViaApi(options: RewrapViaApiOptions): Promise<RewrapViaApiReport> {
  const { access, clock, onProgress, workers = DEFAULT_WORKERS } = options;
  const signal = signalForMany(options.signal);
  const outageMs = options.outageMs ?? DEFAULT_OUTAGE_MS;
  const client = createApiClient({ access, connections: workers + 1, outageMs, clock, signal });
  const limit = createRateLimit(options.ratePerSecond, clock);
  const counts = noCounts();
  const failures: ViaApiFailure[] = [];
  let remaining = 0;
  const window = createWindow<MutableCounts>({
    workers,
    maxBatches: MAX_OPEN_PAGES,
    onBatchDone: (page) => {
      addCounts(counts, page);
      onProgress?.({ ...counts, done: counts.listed, total: counts.listed + remaining });
    },
  });
  const one = async (resource: ServedResource, object: ListedObject, page: MutableCounts): Promise<void> => {
    const waiting = limit(signal);
    if (waiting !== undefined) await waiting;
    const path = objectPath(resource, object);
    const answer = await client.send(emptyApply(resource, object, path));
    const outcome = outcomeOf(answer, object);
    page.listed++;
    page[outcome]++;
    if (outcome === 'rewritten') page.stale++;
    if (outcome === 'failed' && failures.length < MAX_FAILURES_LISTED) {
      failures.push({ key: path, message: `${answer.status} ${messageOf(answer)}`.trim() });
    }
  };
  try {
    for (const resource of await servedResources(client, options.resources)) {
      for await (const { objects, remaining: behind } of pagesOf(client, resource)) {
        remaining = behind;
        const page = noCounts();
        await window.openBatch(page);
        for (const object of objects) {
          throwIfStopped(signal);
          await window.run(() => one(resource, object, page));
        }
        window.closeBatch();
      }
    }
    await window.drain();
    throwIfStopped(signal);
    return { ...counts, addsUp: countsAddUp(counts, false), failures };
  } catch (error) {
    await window.drain().catch(() => undefined);
    throw error;
  } finally {
    client.close();
  }
}

async function* pagesOf(client: ApiClient, resource: ServedResource): AsyncGenerator<ListedPage> {
  let token = '';
  do {
    const query = `limit=${PAGE_OBJECTS}${token === '' ? '' : `&continue=${encodeURIComponent(token)}`}`;
    const path = `${resource.root}/${resource.resource}?${query}`;
    const answer = await client.send({ method: 'GET', path, accept: METADATA_ONLY });
    const { metadata, items } = answer.body as {
      readonly metadata?: { readonly continue?: unknown; readonly remainingItemCount?: unknown };
      readonly items?: unknown;
    };
    token = typeof metadata?.continue === 'string' ? metadata.continue : '';
    // The list's revision is compacted: the answer carries a token that goes on behind the last name, at the present one.
    if (answer.status === 410 && token !== '') continue;
    if (answer.status !== 200 || !Array.isArray(items)) {
      throw new OpsError(
        'source-unreadable',
        `listing ${resource.resource} answers ${answer.status} ${messageOf(answer)}`,
      );
    }
    const { remainingItemCount: remaining } = metadata ?? {};
    yield { objects: items.map(listedObject), remaining: typeof remaining === 'number' ? remaining : 0 };
  } while (token !== '');
}

function listedObject(item: unknown): ListedObject {
  const { metadata = {} } = (item ?? {}) as { readonly metadata?: Readonly<Record<string, unknown>> };
  const text = (name: string): string => (typeof metadata[name] === 'string' ? metadata[name] : '');
  const object = {
    name: text('name'),
    namespace: text('namespace'),
    uid: text('uid'),
    resourceVersion: text('resourceVersion'),
  };
  if (object.name === '' || object.uid === '') {
    throw new OpsError('source-unreadable', 'the API server listed an object without name or uid');
  }
  return object;
}

function objectPath(
  { root, resource, namespaced }: ServedResource,
  { namespace, name }: ListedObject,
): string {
  const inNamespace = namespaced ? `/namespaces/${encodeURIComponent(namespace)}` : '';
  return `${root}${inNamespace}/${resource}/${encodeURIComponent(name)}`;
}

function emptyApply(
  { apiVersion, kind, namespaced }: ServedResource,
  { name, namespace, uid, resourceVersion }: ListedObject,
  path: string,
): Parameters<ApiClient['send']>[0] {
  const metadata = { name, ...(namespaced ? { namespace } : {}), uid, resourceVersion };
  return {
    method: 'PATCH',
    path: `${path}?fieldManager=${FIELD_MANAGER}`,
    accept: 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json',
    apply: { apiVersion, kind, metadata },
  };
}

/** @throws OpsError source-unreadable when the server has no server-side apply */
function outcomeOf(
  answer: ApiAnswer,
  listed: ListedObject,
): 'skipped' | 'rewritten' | 'conflicts' | 'gone' | 'failed' {
  switch (answer.status) {
    case 200: {
      const { resourceVersion } = (answer.body['metadata'] ?? {}) as { readonly resourceVersion?: unknown };
      return resourceVersion === listed.resourceVersion ? 'skipped' : 'rewritten';
    }
    case 404:
      return 'gone';
    case 409:
      return messageOf(answer).includes('uid mismatch') ? 'gone' : 'conflicts';
    case 415:
      throw new OpsError(
        'source-unreadable',
        'the API server takes no server-side apply (415): rewrap with --etcd instead.',
      );
    default:
      return 'failed';
  }
}

function throwIfStopped(signal: AbortSignal): void {
  if (signal.aborted) throw new OpsError('interrupted', 'stopped; what is rewritten stays so', signal.reason);
}
