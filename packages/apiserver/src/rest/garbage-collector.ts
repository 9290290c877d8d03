/**
 * The collector: what an object owned goes with it, stays without it, or goes before it.
 *
 * - removed: dependents whose owners are all gone are deleted (background);
 * - `foregroundDeletion`: dependents are deleted first, then the finalizer is taken off the owner;
 * - `orphan`: the reference is taken out of the dependents, then the finalizer off the owner.
 * Dependents live in the owner's namespace; a cluster-scoped owner may have them everywhere.
 *
 * One scan serves every removal that waits, and scanning pauses ten times as long as it took, so that deleting many
 * objects costs little. A scan at start picks up what a crash left undone.
 * Source of the rule: Kubernetes' garbage collector (kube-controller-manager `garbagecollector`).
 */
import { isKubeProtobuf, type KubeObject } from '@waxseal/api-types';
import { ApiError } from '../errors.js';
import { apiServerUser } from '../auth/users.js';
import type { StoredObject } from '../objects/object-store.js';
import { parseObjectKey } from '../objects/storage-key.js';
import { FOREGROUND_FINALIZER, ORPHAN_FINALIZER } from '../registry/validation/object-meta.js';
import type { RemovalListener, RestContext, StoredEntry } from './context.js';
import { deleteObject } from './delete.js';
import { decode } from './get.js';
import { keyAfter } from './continue-token.js';
import { OwnerStates } from './owner-states.js';
import { guaranteedUpdate, MissingObject } from './update.js';

export interface GarbageCollector extends RemovalListener {
  /** Looks at everything once, for what an earlier run left undone. */
  scanAll(): void;
  /** Begins; before it, removals are only noted. */
  start(context: RestContext): void;
  /** Resolves when nothing is left to do. */
  idle(): Promise<void>;
  close(): Promise<void>;
}

const PAUSE_MS = 50;
/** Time between two scans, as a multiple of what the last one took. */
const PAUSE_FACTOR = 10;
/** After a failure. */
const RETRY_MS = 30_000;
const PAGE_LIMIT = 500;
const OWNER_FIELD = Buffer.from('"ownerReferences":');
const DELETING_FIELD = Buffer.from('"deletionTimestamp":');

interface Found {
  readonly entry: StoredEntry;
  readonly namespace: string;
  readonly name: string;
  readonly object: KubeObject;
}

/** Namespaces to scan; `all` when a cluster-scoped object went. */
interface Scope {
  all: boolean;
  readonly namespaces: Set<string>;
}

const emptyScope = (): Scope => ({ all: false, namespaces: new Set() });

export function createGarbageCollector(): GarbageCollector {
  let context: RestContext | undefined;
  let scope = emptyScope();
  let cancelTimer: (() => void) | undefined;
  let running: Promise<void> | undefined;
  let closed = false;
  let idleWaiters: (() => void)[] = [];
  const abort = new AbortController();

  const note = (entry: StoredEntry, namespace: string): void => {
    if (entry.definition.namespaced) scope.namespaces.add(namespace);
    else scope.all = true;
    arm(PAUSE_MS);
  };

  const hasWork = (): boolean => scope.all || scope.namespaces.size > 0;

  const arm = (delayMs: number): void => {
    if (context === undefined || cancelTimer !== undefined || running !== undefined || closed) return;
    cancelTimer = context.schedule(() => {
      cancelTimer = undefined;
      running = run();
    }, delayMs);
  };

  const run = async (): Promise<void> => {
    const { now, logger } = context as RestContext;
    const startedMs = now().getTime();
    const work = scope;
    let pauseMs: number | undefined;
    scope = emptyScope();
    try {
      await collect(context as RestContext, work, abort.signal);
    } catch (error) {
      pauseMs = RETRY_MS;
      if (!closed) logger.error({ err: error }, 'collecting dependents failed and is tried again');
      scope.all ||= work.all;
      for (const namespace of work.namespaces) scope.namespaces.add(namespace);
    }
    running = undefined;
    if (hasWork() && !closed) {
      arm(pauseMs ?? PAUSE_MS + PAUSE_FACTOR * (now().getTime() - startedMs));
    } else for (const waiter of idleWaiters.splice(0)) waiter();
  };

  return {
    // What happened does not matter: the scan finds out what is to be done.
    removed: note,
    waiting: note,
    start(started) {
      context = started;
      if (hasWork()) arm(PAUSE_MS);
    },
    scanAll() {
      scope.all = true;
      arm(PAUSE_MS);
    },
    idle() {
      if (!hasWork() && running === undefined && cancelTimer === undefined) return Promise.resolve();
      return new Promise((resolve) => {
        idleWaiters.push(resolve);
      });
    },
    async close() {
      closed = true;
      cancelTimer?.();
      abort.abort();
      await running;
      for (const waiter of idleWaiters) waiter();
      idleWaiters = [];
    },
  };
}

/** Scans until a pass finds nothing to do: what was deleted may itself own something. */
async function collect(context: RestContext, scope: Scope, signal: AbortSignal): Promise<void> {
  const namespaces = scope.all ? [''] : [...scope.namespaces];
  for (const namespace of namespaces) {
    while (await collectOnce(context, namespace, signal)) signal.throwIfAborted();
  }
}

/** True when it changed something that another pass may have to follow. */
async function collectOnce(context: RestContext, namespace: string, signal: AbortSignal): Promise<boolean> {
  const dependents: Found[] = [];
  const owners: Found[] = [];
  for (const entry of context.entries) {
    if (!entry.definition.namespaced && namespace !== '') continue;
    for await (const found of candidates(context, entry, namespace)) {
      signal.throwIfAborted();
      const { metadata } = found.object;
      if ((metadata.ownerReferences ?? []).length > 0) dependents.push(found);
      if (metadata.deletionTimestamp !== undefined && collectorFinalizer(found.object) !== undefined) {
        owners.push(found);
      }
    }
  }
  const states = new OwnerStates(context);
  let changed = false;
  for (const dependent of dependents) changed = (await settle(context, states, dependent)) || changed;
  for (const owner of owners) changed = (await release(context, dependents, owner)) || changed;
  return changed;
}

/** Objects that have owners or wait for deletion, found by their bytes before anything is parsed. */
async function* candidates(
  context: RestContext,
  entry: StoredEntry,
  namespace: string,
): AsyncGenerator<Found> {
  const { definition } = entry;
  let startKey: Buffer | undefined;
  for (;;) {
    const page = await context.objects.page({
      resource: definition,
      namespace,
      startKey,
      revision: 0,
      limit: PAGE_LIMIT,
      // What cannot be read cannot be judged, and must not hold up the rest.
      skipUnreadable: true,
    });
    for (const stored of page.objects) {
      const id = parseObjectKey(definition, stored.key);
      if (id !== undefined && mayConcern(stored)) yield { entry, ...id, object: decode(entry, stored) };
    }
    if (!page.more || page.lastKey === undefined) return;
    startKey = keyAfter(page.lastKey);
  }
}

function mayConcern({ bytes }: StoredObject): boolean {
  return isKubeProtobuf(bytes) || bytes.includes(OWNER_FIELD) || bytes.includes(DELETING_FIELD);
}

function collectorFinalizer(object: KubeObject): string | undefined {
  return object.metadata.finalizers?.find((f) => f === ORPHAN_FINALIZER || f === FOREGROUND_FINALIZER);
}

const backgroundDelete = {
  dryRun: false,
  preconditions: {},
  propagationPolicy: '',
} as const;

/** Deletes a dependent nobody keeps, or takes the references to lost owners out of it. */
async function settle(context: RestContext, states: OwnerStates, dependent: Found): Promise<boolean> {
  const { entry, namespace, name, object } = dependent;
  if (object.metadata.deletionTimestamp !== undefined) return false;
  const references = object.metadata.ownerReferences ?? [];
  const judged = await Promise.all(
    references.map(async (reference) => ({ reference, state: await states.of(reference, namespace) })),
  );
  const kept = judged.filter(({ state }) => state === 'there' || state === 'unknown');
  const orphaned = judged.filter(({ state }) => state === 'orphaning');
  if (kept.length === references.length) return false;
  try {
    if (kept.length === 0 && orphaned.length === 0) {
      const { uid } = object.metadata;
      await deleteObject(context, entry, {
        namespace,
        name,
        // Foreground goes down the whole tree.
        options: {
          ...backgroundDelete,
          preconditions: uid === undefined ? {} : { uid },
          propagationPolicy: judged.some(({ state }) => state === 'foreground') ? 'Foreground' : '',
        },
        signal: new AbortController().signal,
      });
      return true;
    }
    const uids = new Set(kept.map(({ reference }) => reference.uid));
    await change(context, dependent, (current) => {
      const ownerReferences = (current.metadata.ownerReferences ?? []).filter((r) => uids.has(r.uid));
      const metadata = { ...current.metadata, ownerReferences };
      if (ownerReferences.length === 0) delete (metadata as Partial<typeof metadata>).ownerReferences;
      return { ...current, metadata };
    });
    return true;
  } catch (error) {
    return ignoreGone(error);
  }
}

/** Takes the collector's finalizer off an owner nothing depends on any more. */
async function release(context: RestContext, dependents: readonly Found[], owner: Found): Promise<boolean> {
  const { uid } = owner.object.metadata;
  const finalizer = collectorFinalizer(owner.object) as string;
  const blocking = dependents.some(({ object }) =>
    object.metadata.ownerReferences?.some(
      (r) => r.uid === uid && (finalizer === ORPHAN_FINALIZER || r.blockOwnerDeletion === true),
    ),
  );
  if (blocking) return false;
  try {
    await change(context, owner, (current) => {
      const finalizers = (current.metadata.finalizers ?? []).filter((f) => f !== finalizer);
      const metadata = { ...current.metadata, finalizers };
      if (finalizers.length === 0) delete (metadata as Partial<typeof metadata>).finalizers;
      return { ...current, metadata };
    });
    return true;
  } catch (error) {
    return ignoreGone(error);
  }
}

async function change(
  context: RestContext,
  { entry, namespace, name, object }: Found,
  edit: (current: KubeObject) => KubeObject,
): Promise<void> {
  const { uid } = object.metadata;
  await guaranteedUpdate(
    context,
    {
      entry,
      namespace,
      name,
      user: apiServerUser,
      dryRun: false,
      signal: new AbortController().signal,
      strategy: entry.strategy,
    },
    (current) => {
      // Another object of the same name is none of ours.
      if (current.metadata.uid !== uid) throw new MissingObject();
      return edit(current);
    },
  );
}

function ignoreGone(error: unknown): boolean {
  const gone =
    error instanceof MissingObject ||
    (error instanceof ApiError && (error.reason === 'NotFound' || error.reason === 'Conflict'));
  if (!gone) throw error;
  return false;
}
