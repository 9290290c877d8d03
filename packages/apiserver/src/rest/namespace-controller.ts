/**
 * Keeps namespaces in order: each has a `default` service account; one that is terminating is emptied, then loses its
 * `kubernetes` finalizer and with it disappears.
 *
 * Objects with finalizers stay until these are gone; the controller comes back to them. Source of the rule:
 * kube-controller-manager's namespace and service account controllers.
 */
import { ApiError } from '../errors.js';
import { apiServerUser } from '../auth/users.js';
import { objectKey, parseObjectKey } from '../objects/storage-key.js';
import { NAMESPACE_FINALIZER, specFinalizers } from '../registry/namespaces.js';
import { keyAfter } from './continue-token.js';
import type { RestContext, StoredEntry } from './context.js';
import { createObject } from './create.js';
import { deleteObject } from './delete.js';
import { guaranteedUpdate, MissingObject } from './update.js';

export interface NamespaceController {
  /** A namespace came or changed. */
  changed(name: string, terminating: boolean): void;
  /** Something in a namespace was removed: it may be empty now, or miss its service account. */
  removedFrom(name: string): void;
  start(context: RestContext): void;
  close(): Promise<void>;
}

const FIRST_RETRY_MS = 200;
const MAX_RETRY_MS = 30_000;
const PAGE_LIMIT = 500;
const CONCURRENCY = 32;
const DEFAULT_SERVICE_ACCOUNT = 'default';

interface Work {
  terminating: boolean;
  delayMs: number;
  running: boolean;
  /** Asked for again while running. */
  again: boolean;
  cancel: (() => void) | undefined;
}

export function createNamespaceController(entries: {
  readonly namespaces: StoredEntry;
  readonly serviceAccounts: StoredEntry;
}): NamespaceController {
  const queue = new Map<string, Work>();
  const abort = new AbortController();
  const running = new Set<Promise<void>>();
  let context: RestContext | undefined;

  const enqueue = (name: string, work: Work, delayMs: number): void => {
    if (context === undefined || abort.signal.aborted) return;
    if (work.running) {
      work.again = true;
      return;
    }
    work.cancel?.();
    work.cancel = context.schedule(() => {
      work.cancel = undefined;
      const task = run(name, work);
      running.add(task);
      void task.finally(() => running.delete(task));
    }, delayMs);
  };

  const run = async (name: string, work: Work): Promise<void> => {
    work.running = true;
    work.again = false;
    let done = false;
    try {
      done = work.terminating
        ? await terminate(context as RestContext, entries.namespaces, name, abort.signal)
        : await ensureServiceAccount(context as RestContext, entries.serviceAccounts, name);
    } catch (error) {
      if (abort.signal.aborted) return;
      context?.logger.warn({ err: error, namespace: name }, 'work on a namespace failed and is tried again');
    }
    work.running = false;
    if (done && !work.again) {
      queue.delete(name);
      return;
    }
    work.delayMs = work.again ? FIRST_RETRY_MS : Math.min(work.delayMs * 2, MAX_RETRY_MS);
    enqueue(name, work, work.delayMs);
  };

  return {
    changed(name, terminating) {
      let work = queue.get(name);
      if (work === undefined) {
        work = { terminating, delayMs: FIRST_RETRY_MS, running: false, again: false, cancel: undefined };
        queue.set(name, work);
      }
      work.terminating = terminating;
      enqueue(name, work, 0);
    },
    removedFrom(name) {
      const work = queue.get(name);
      if (work?.terminating === true) enqueue(name, work, 0);
    },
    start(started) {
      context = started;
      for (const [name, work] of queue) enqueue(name, work, 0);
    },
    async close() {
      abort.abort();
      for (const work of queue.values()) work.cancel?.();
      await Promise.allSettled(running);
    },
  };
}

/** True: the account is there, or the namespace is not one to put it in. */
async function ensureServiceAccount(
  context: RestContext,
  entry: StoredEntry,
  namespace: string,
): Promise<boolean> {
  const key = objectKey({ resource: entry.definition, namespace, name: DEFAULT_SERVICE_ACCOUNT });
  // Only whether it is there matters, so nothing is opened.
  const { count } = await context.objects.store.range({ key, countOnly: true });
  if (count > 0) return true;
  try {
    await createObject(
      context,
      { entry, namespace, user: apiServerUser, dryRun: false },
      {
        kind: 'ServiceAccount',
        apiVersion: 'v1',
        metadata: { name: DEFAULT_SERVICE_ACCOUNT, namespace },
      },
    );
    return true;
  } catch (error) {
    const settled = ['AlreadyExists', 'NotFound', 'Forbidden'];
    if (error instanceof ApiError && settled.includes(error.reason)) return true;
    throw error;
  }
}

/** True when the namespace is gone; false when something in it still waits. */
async function terminate(
  context: RestContext,
  namespaces: StoredEntry,
  namespace: string,
  signal: AbortSignal,
): Promise<boolean> {
  let left = 0;
  for (const entry of context.entries) {
    if (entry.definition.namespaced) left += await empty(context, entry, namespace, signal);
  }
  if (left > 0) return false;
  try {
    const { removed } = await guaranteedUpdate(
      context,
      {
        entry: namespaces,
        namespace: '',
        name: namespace,
        user: apiServerUser,
        dryRun: false,
        signal,
        strategy: namespaces.strategy.subresources['finalize'] ?? namespaces.strategy,
      },
      (current) => {
        // Deleted and created anew: not ours to finish.
        if (current.metadata.deletionTimestamp === undefined) throw new MissingObject();
        const finalizers = specFinalizers(current).filter((f) => f !== NAMESPACE_FINALIZER);
        return { ...current, spec: finalizers.length === 0 ? {} : { finalizers } };
      },
    );
    return removed;
  } catch (error) {
    if (error instanceof MissingObject) return true;
    throw error;
  }
}

/** Deletes what a resource has in the namespace; resolves with how many objects still wait for their finalizers. */
async function empty(
  context: RestContext,
  entry: StoredEntry,
  namespace: string,
  signal: AbortSignal,
): Promise<number> {
  const { definition } = entry;
  let left = 0;
  let startKey: Buffer | undefined;
  for (;;) {
    signal.throwIfAborted();
    const page = await context.objects.page({
      resource: definition,
      namespace,
      startKey,
      revision: 0,
      limit: PAGE_LIMIT,
    });
    const names = page.objects
      .map((object) => parseObjectKey(definition, object.key)?.name)
      .filter((name) => name !== undefined);
    const worker = async (): Promise<void> => {
      for (let name = names.pop(); name !== undefined; name = names.pop()) {
        if (!(await deleteQuietly(context, entry, namespace, name, signal))) left++;
      }
    };
    await Promise.all(Array.from({ length: CONCURRENCY }, worker));
    if (!page.more || page.lastKey === undefined) return left;
    startKey = keyAfter(page.lastKey);
  }
}

/** True when the object is gone. */
async function deleteQuietly(
  context: RestContext,
  entry: StoredEntry,
  namespace: string,
  name: string,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    const outcome = await deleteObject(context, entry, {
      namespace,
      name,
      options: { dryRun: false, preconditions: {}, propagationPolicy: 'Background' },
      signal,
    });
    return outcome.kind === 'removed';
  } catch (error) {
    if (error instanceof ApiError && error.reason === 'NotFound') return true;
    throw error;
  }
}
