/**
 * Every object of one resource, decoded and kept current in memory by one store watch.
 *
 * For what each request asks (namespaces, RBAC). A watch that breaks is replaced by a new list and watch after a pause
 * that doubles; until then the last known state answers. A value that cannot be opened (the KMS may be down) is left
 * out and tried again the same way until it opens, changes or goes.
 */
import type { KubeObject } from '@waxseal/api-types';
import { prefixRangeEnd, type KeyValue, type Watch, type WatchEvent } from '@waxseal/storage';
import type { Logger } from 'pino';
import type { ObjectStore } from './object-store.js';
import type { Schedule } from './schedule.js';
import { objectKeyPrefix, parseObjectKey, type StoredResource } from './storage-key.js';
import { decodeVersioned } from './stored-object.js';

interface ObjectId {
  readonly namespace: string;
  readonly name: string;
}

export interface MirroredObject<T> extends ObjectId {
  /** Of the object's last write. */
  readonly revision: number;
  readonly value: T;
}

export interface ObjectMirror<T> {
  /** The object; namespace is empty for cluster-scoped resources. */
  get(namespace: string, name: string): MirroredObject<T> | undefined;
  /** The same array until something changes. */
  values(): readonly T[];
  close(): void;
}

const FIRST_RETRY_MS = 100;
const MAX_RETRY_MS = 10_000;
const PAGE_LIMIT = 500;
/** Values opened at once: each may wait for a KMS. */
const OPEN_AT_ONCE = 50;

type ReadOutcome<T> =
  | { readonly kind: 'object'; readonly object: MirroredObject<T> }
  /** Opened, but no object of this resource: that does not change by itself. */
  | { readonly kind: 'unusable' }
  | { readonly kind: 'unopened'; readonly error: unknown };

/**
 * Resolves once the first list is in.
 *
 * @param parse turns an object into what is kept; an object it throws on is logged and left out
 * @param onChange told of every object that came, changed (value) or went (undefined)
 */
export async function createObjectMirror<T>(options: {
  readonly objects: ObjectStore;
  readonly resource: StoredResource;
  readonly logger: Logger;
  readonly schedule: Schedule;
  readonly parse: (object: KubeObject) => T;
  readonly onChange?: (namespace: string, name: string, value: T | undefined) => void;
}): Promise<ObjectMirror<T>> {
  const { objects, resource, logger, schedule, parse, onChange } = options;
  const prefix = Buffer.from(objectKeyPrefix(resource, ''));
  const rangeEnd = prefixRangeEnd(prefix);
  let entries = new Map<string, MirroredObject<T>>();
  let unopened = new Map<string, KeyValue>();
  let snapshot: readonly T[] | undefined;
  let watch: Watch | undefined;
  let closed = false;
  let cancelRelist: (() => void) | undefined;
  let cancelOpening: (() => void) | undefined;
  // Opening may wait for a KMS; the chain keeps lists and events in order.
  let pending: Promise<void> = Promise.resolve();

  const idOf = (namespace: string, name: string): string => `${namespace}/${name}`;

  const read = async (kv: KeyValue, at: ObjectId): Promise<ReadOutcome<T>> => {
    let bytes: Buffer;
    try {
      ({ bytes } = await objects.open(resource, kv));
    } catch (error) {
      return { kind: 'unopened', error };
    }
    try {
      const value = parse(decodeVersioned(resource, bytes, kv.modRevision));
      return { kind: 'object', object: { ...at, revision: kv.modRevision, value } };
    } catch (error) {
      // One bad object must not stop the server.
      logger.error({ err: error, key: kv.key.toString() }, 'an object cannot be read and is ignored');
      return { kind: 'unusable' };
    }
  };

  const set = (entry: MirroredObject<T>, into: Map<string, MirroredObject<T>>): void => {
    into.set(idOf(entry.namespace, entry.name), entry);
    snapshot = undefined;
    onChange?.(entry.namespace, entry.name, entry.value);
  };

  const remove = (at: ObjectId): void => {
    if (!entries.delete(idOf(at.namespace, at.name))) return;
    snapshot = undefined;
    onChange?.(at.namespace, at.name, undefined);
  };

  const putAside = (id: string, kv: KeyValue, error: unknown, into: Map<string, KeyValue>): void => {
    // One line for an outage, not one for every object.
    if (into.size === 0) {
      logger.warn({ err: error, key: kv.key.toString() }, 'objects cannot be opened and are tried again');
    }
    into.set(id, kv);
  };

  const scheduleOpening = (delayMs: number): void => {
    if (closed || unopened.size === 0 || cancelOpening !== undefined) return;
    cancelOpening = schedule(() => void openAgain(delayMs), delayMs);
  };

  const openAgain = async (delayMs: number): Promise<void> => {
    await inBatches([...unopened], async ([id, kv]) => {
      const at = parseObjectKey(resource, kv.key) as ObjectId;
      const outcome = await read(kv, at);
      // Meanwhile it may have changed or gone.
      if (outcome.kind === 'unopened' || unopened.get(id) !== kv) return;
      unopened.delete(id);
      if (outcome.kind === 'object') set(outcome.object, entries);
    });
    cancelOpening = undefined;
    scheduleOpening(Math.min(delayMs * 2, MAX_RETRY_MS));
    if (unopened.size === 0) logger.info({ resource: resource.resource }, 'every object can be opened again');
  };

  const list = async (): Promise<number> => {
    const fresh = new Map<string, MirroredObject<T>>();
    const freshUnopened = new Map<string, KeyValue>();
    let key = prefix;
    let revision = 0;
    for (;;) {
      const page = await objects.store.range({ key, rangeEnd, revision, limit: PAGE_LIMIT });
      if (revision === 0) revision = page.revision;
      await inBatches(page.kvs, async (kv) => {
        const at = parseObjectKey(resource, kv.key);
        if (at === undefined) return;
        const id = idOf(at.namespace, at.name);
        const known = entries.get(id);
        if (known?.revision === kv.modRevision) {
          fresh.set(id, known);
          return;
        }
        const outcome = await read(kv, at);
        if (outcome.kind === 'object') set(outcome.object, fresh);
        else if (outcome.kind === 'unopened') putAside(id, kv, outcome.error, freshUnopened);
      });
      const last = page.kvs[page.kvs.length - 1];
      if (!page.more || last === undefined) break;
      key = Buffer.concat([last.key, Buffer.from([0])]);
    }
    const gone = [...entries.values()].filter((e) => !fresh.has(idOf(e.namespace, e.name)));
    entries = fresh;
    unopened = freshUnopened;
    snapshot = undefined;
    for (const entry of gone) onChange?.(entry.namespace, entry.name, undefined);
    scheduleOpening(FIRST_RETRY_MS);
    return revision;
  };

  const apply = async (events: readonly WatchEvent[]): Promise<void> => {
    for (const event of events) {
      const at = parseObjectKey(resource, event.kv.key);
      if (at === undefined) continue;
      const id = idOf(at.namespace, at.name);
      const outcome = event.type === 'put' ? await read(event.kv, at) : undefined;
      unopened.delete(id);
      if (outcome?.kind === 'object') {
        set(outcome.object, entries);
        continue;
      }
      // What was known of it is no longer true.
      remove(at);
      if (outcome?.kind === 'unopened') putAside(id, event.kv, outcome.error, unopened);
    }
    scheduleOpening(FIRST_RETRY_MS);
  };

  const follow = (revision: number): Promise<number> => {
    const started = objects.store.watch(
      { key: prefix, rangeEnd, startRevision: revision + 1 },
      {
        onEvents(events) {
          pending = pending.then(() => apply(events));
        },
        onEnd(reason) {
          if (closed || reason.kind === 'cancelled' || reason.kind === 'closed') return;
          logger.warn(
            { resource: resource.resource, reason: reason.kind },
            'a watch ended and is started anew',
          );
          retry(FIRST_RETRY_MS);
        },
      },
    );
    watch = started;
    return started.started;
  };

  const relist = async (delayMs: number): Promise<void> => {
    try {
      await pending;
      await follow(await list());
    } catch (error) {
      logger.warn({ err: error, resource: resource.resource }, 'listing failed and is tried again');
      retry(Math.min(delayMs * 2, MAX_RETRY_MS));
    }
  };

  const retry = (delayMs: number): void => {
    if (closed) return;
    cancelRelist = schedule(() => {
      void relist(delayMs);
    }, delayMs);
  };

  await follow(await list());

  return {
    get: (namespace, name) => entries.get(idOf(namespace, name)),
    values() {
      snapshot ??= [...entries.values()].map((entry) => entry.value);
      return snapshot;
    },
    close() {
      closed = true;
      cancelRelist?.();
      cancelOpening?.();
      watch?.cancel();
    },
  };
}

async function inBatches<Item>(items: readonly Item[], work: (item: Item) => Promise<void>): Promise<void> {
  for (let start = 0; start < items.length; start += OPEN_AT_ONCE) {
    await Promise.all(items.slice(start, start + OPEN_AT_ONCE).map(work));
  }
}
