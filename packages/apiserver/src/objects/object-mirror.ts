/**
 * Every object of one resource, decoded and kept current in memory by one store watch.
 *
 * For what each request asks (namespaces, RBAC). A watch that breaks is replaced by a new list and watch after a pause
 * that doubles; until then the last known state answers.
 */
import { prefixRangeEnd, type KeyValue, type Watch, type WatchEvent } from '@waxseal/storage';
import type { Logger } from 'pino';
import type { KubeObject } from '../object.js';
import type { ObjectStore } from './object-store.js';
import type { Schedule } from './schedule.js';
import { objectKeyPrefix, parseObjectKey, type StoredResource } from './storage-key.js';
import { decodeVersioned } from './stored-object.js';

export interface MirroredObject<T> {
  readonly namespace: string;
  readonly name: string;
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
  let entries = new Map<string, MirroredObject<T>>();
  let snapshot: readonly T[] | undefined;
  let watch: Watch | undefined;
  let closed = false;
  let cancelRetry: (() => void) | undefined;

  const idOf = (namespace: string, name: string): string => `${namespace}/${name}`;

  /** Undefined when the value cannot be read: one bad object must not stop the server. */
  const read = async (kv: KeyValue): Promise<MirroredObject<T> | undefined> => {
    const id = parseObjectKey(resource, kv.key);
    if (id === undefined) return undefined;
    try {
      const opened = await objects.open(resource, kv);
      return {
        ...id,
        revision: kv.modRevision,
        value: parse(decodeVersioned(resource, opened.bytes, kv.modRevision)),
      };
    } catch (error) {
      logger.error({ err: error, key: kv.key.toString() }, 'an object cannot be read and is ignored');
      return undefined;
    }
  };

  const set = (entry: MirroredObject<T>, into: Map<string, MirroredObject<T>>): void => {
    into.set(idOf(entry.namespace, entry.name), entry);
    snapshot = undefined;
    onChange?.(entry.namespace, entry.name, entry.value);
  };

  const list = async (): Promise<number> => {
    const prefix = Buffer.from(objectKeyPrefix(resource, ''));
    const rangeEnd = prefixRangeEnd(prefix);
    const fresh = new Map<string, MirroredObject<T>>();
    let key = prefix;
    let revision = 0;
    for (;;) {
      const page = await objects.store.range({ key, rangeEnd, revision, limit: PAGE_LIMIT });
      if (revision === 0) revision = page.revision;
      for (const kv of page.kvs) {
        const entry = await read(kv);
        if (entry !== undefined) set(entry, fresh);
      }
      const last = page.kvs[page.kvs.length - 1];
      if (!page.more || last === undefined) break;
      key = Buffer.concat([last.key, Buffer.from([0])]);
    }
    const gone = [...entries.values()].filter((e) => !fresh.has(idOf(e.namespace, e.name)));
    entries = fresh;
    snapshot = undefined;
    for (const entry of gone) onChange?.(entry.namespace, entry.name, undefined);
    return revision;
  };

  const apply = async (events: readonly WatchEvent[]): Promise<void> => {
    for (const event of events) {
      const id = parseObjectKey(resource, event.kv.key);
      if (id === undefined) continue;
      const entry = event.type === 'put' ? await read(event.kv) : undefined;
      if (entry !== undefined) set(entry, entries);
      else if (entries.delete(idOf(id.namespace, id.name))) {
        snapshot = undefined;
        onChange?.(id.namespace, id.name, undefined);
      }
    }
  };

  const follow = (revision: number): Promise<number> => {
    const prefix = Buffer.from(objectKeyPrefix(resource, ''));
    // Opening may wait for a KMS; the chain keeps the order.
    let pending: Promise<void> = Promise.resolve();
    const started = objects.store.watch(
      { key: prefix, rangeEnd: prefixRangeEnd(prefix), startRevision: revision + 1 },
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
      await follow(await list());
    } catch (error) {
      logger.warn({ err: error, resource: resource.resource }, 'listing failed and is tried again');
      retry(Math.min(delayMs * 2, MAX_RETRY_MS));
    }
  };

  const retry = (delayMs: number): void => {
    if (closed) return;
    cancelRetry = schedule(() => {
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
      cancelRetry?.();
      watch?.cancel();
    },
  };
}
