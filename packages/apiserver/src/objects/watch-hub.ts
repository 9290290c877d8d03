/**
 * One store watch per resource, shared by every client that watches it.
 *
 * The hub keeps the recent past: a client that starts at a revision it still holds is served from memory, an older
 * start first catches up on a store watch of its own. Values are opened and decoded at most once for all clients.
 * Source of the rule: k8s.io/apiserver `storage/cacher` (what clients see), etcd's watch (order, no gap, no repeat).
 */
import type { MaybePromise } from '@waxseal/envelope';
import {
  prefixRangeEnd,
  type KeyValue,
  type StoreWatchEnd,
  type Watch,
  type WatchEvent,
} from '@waxseal/storage';
import type { KubeObject } from '../object.js';
import type { ObjectStore } from './object-store.js';
import type { Schedule } from './schedule.js';
import { objectKeyPrefix, parseObjectKey, type StoredResource } from './storage-key.js';
import { decodeStored, serveStored } from './stored-object.js';

/** A value that is opened, decoded and rendered when first asked for, and then kept. */
export class LazyObject {
  readonly #objects: ObjectStore;
  readonly #resource: StoredResource;
  readonly #kv: KeyValue;
  #bytes: Buffer | undefined;
  #decoded: KubeObject | undefined;
  #served: Buffer | undefined;

  constructor(objects: ObjectStore, resource: StoredResource, kv: KeyValue) {
    this.#objects = objects;
    this.#resource = resource;
    this.#kv = kv;
  }

  /** Must have finished before the other methods are called. @throws ApiError */
  open(): MaybePromise<void> {
    if (this.#bytes !== undefined) return;
    const opened = this.#objects.open(this.#resource, this.#kv);
    if (!(opened instanceof Promise)) {
      this.#bytes = opened.bytes;
      return;
    }
    return opened.then((value) => {
      this.#bytes = value.bytes;
    });
  }

  /** For selectors; do not change it. */
  decoded(): KubeObject {
    this.#decoded ??= decodeStored(this.#resource, this.#bytes as Buffer);
    return this.#decoded;
  }

  /** JSON with `revision` as its resourceVersion; always asked for with the same one. */
  served(revision: number): Buffer {
    this.#served ??= serveStored(this.#resource, this.#bytes as Buffer, revision);
    return this.#served;
  }
}

export interface Change {
  readonly revision: number;
  readonly namespace: string;
  readonly name: string;
  /** Undefined for a deletion. */
  readonly current: LazyObject | undefined;
  /** What was there before; undefined for a creation, or when that revision is compacted. */
  readonly previous: LazyObject | undefined;
}

export interface Subscriber {
  /** Ascending; every change is reported exactly once. */
  onChange(change: Change): void;
  /** Every change up to `revision` has been reported. */
  onProgress(revision: number): void;
  onEnd(reason: StoreWatchEnd): void;
}

export interface WatchHub {
  /** Reports every change after `revision`. The returned function ends it. */
  subscribe(revision: number, subscriber: Subscriber): () => void;
  close(): void;
}

/** Changes kept for clients that start a little in the past. */
const MAX_BUFFERED_CHANGES = 1000;
const MAX_BUFFERED_BYTES = 16 * 1024 * 1024;

interface Joined {
  readonly subscriber: Subscriber;
  /** Changes up to here have been reported. */
  revision: number;
}

interface Buffered {
  readonly change: Change;
  readonly sizeBytes: number;
}

export function createWatchHub(options: {
  readonly objects: ObjectStore;
  readonly resource: StoredResource;
  readonly schedule: Schedule;
  /** How often subscribers learn of progress when nothing happens. */
  readonly progressIntervalMs: number;
}): WatchHub {
  const { objects, resource, schedule, progressIntervalMs } = options;
  const prefix = Buffer.from(objectKeyPrefix(resource, ''));
  const rangeEnd = prefixRangeEnd(prefix);
  const joined = new Set<Joined>();
  const buffer: Buffered[] = [];
  let bufferedBytes = 0;
  /** The buffer holds every change after this revision. */
  let bufferedFrom = 0;
  let shared: Watch | undefined;
  /** Tells the present shared watch from one that is ending. */
  let generation = 0;
  let subscribers = 0;
  let cancelProgress: (() => void) | undefined;

  const toChange = (event: WatchEvent): Change | undefined => {
    const id = parseObjectKey(resource, event.kv.key);
    if (id === undefined) return undefined;
    const lazy = (kv: KeyValue): LazyObject => new LazyObject(objects, resource, kv);
    return {
      ...id,
      revision: event.kv.modRevision,
      current: event.type === 'put' ? lazy(event.kv) : undefined,
      previous: event.prevKv === undefined ? undefined : lazy(event.prevKv),
    };
  };

  const remember = (change: Change, event: WatchEvent): void => {
    const sizeBytes = event.kv.value.length + (event.prevKv?.value.length ?? 0);
    buffer.push({ change, sizeBytes });
    bufferedBytes += sizeBytes;
    while (buffer.length > MAX_BUFFERED_CHANGES || bufferedBytes > MAX_BUFFERED_BYTES) {
      const evicted = buffer.shift();
      if (evicted === undefined) break;
      bufferedBytes -= evicted.sizeBytes;
      bufferedFrom = evicted.change.revision;
      // A revision is remembered whole or not at all.
      while (buffer[0]?.change.revision === bufferedFrom)
        bufferedBytes -= (buffer.shift() as Buffered).sizeBytes;
    }
  };

  const progressTick = (): void => {
    cancelProgress = schedule(() => {
      shared?.requestProgress();
      progressTick();
    }, progressIntervalMs);
  };

  const stopShared = (): void => {
    const ending = shared;
    shared = undefined;
    generation++;
    cancelProgress?.();
    cancelProgress = undefined;
    buffer.length = 0;
    bufferedBytes = 0;
    ending?.cancel();
  };

  const startShared = (revision: number): void => {
    bufferedFrom = revision;
    const mine = ++generation;
    shared = objects.store.watch(
      { key: prefix, rangeEnd, startRevision: revision + 1, prevKv: true },
      {
        onEvents(events, at) {
          if (generation !== mine) return;
          for (const event of events) {
            const change = toChange(event);
            if (change === undefined) continue;
            remember(change, event);
            for (const one of joined) {
              if (change.revision > one.revision) one.subscriber.onChange(change);
            }
          }
          for (const one of joined) one.revision = Math.max(one.revision, at);
        },
        onProgress(at) {
          if (generation !== mine) return;
          for (const one of joined) {
            if (at < one.revision) continue;
            one.revision = at;
            one.subscriber.onProgress(at);
          }
        },
        onEnd(reason) {
          if (generation !== mine || reason.kind === 'cancelled') return;
          const ended = [...joined];
          joined.clear();
          subscribers -= ended.length;
          stopShared();
          for (const one of ended) one.subscriber.onEnd(reason);
        },
      },
    );
    shared.started.catch(() => undefined);
    progressTick();
  };

  /** Replays what the buffer holds after `revision`, then follows. */
  const join = (revision: number, subscriber: Subscriber): Joined => {
    const one: Joined = { subscriber, revision };
    for (const { change } of buffer) {
      if (change.revision > revision) {
        subscriber.onChange(change);
        one.revision = change.revision;
      }
    }
    joined.add(one);
    return one;
  };

  /** A store watch of its own until the shared one's memory reaches back far enough. */
  const catchUp = (revision: number, subscriber: Subscriber, onJoin: (one: Joined) => void): Watch => {
    let done = false;
    const watch: Watch = objects.store.watch(
      { key: prefix, rangeEnd, startRevision: revision + 1, prevKv: true },
      {
        onEvents(events, at) {
          if (done) return;
          for (const event of events) {
            const change = toChange(event);
            if (change !== undefined) subscriber.onChange(change);
          }
          if (at < bufferedFrom || shared === undefined) return;
          done = true;
          onJoin(join(at, subscriber));
          watch.cancel();
        },
        onEnd(reason) {
          if (done || reason.kind === 'cancelled') return;
          done = true;
          subscriber.onEnd(reason);
        },
      },
    );
    watch.started.catch(() => undefined);
    return watch;
  };

  const leave = (one: Joined): void => {
    if (!joined.delete(one)) return;
    if (--subscribers === 0) stopShared();
  };

  return {
    subscribe(revision, subscriber) {
      subscribers++;
      if (shared === undefined) startShared(revision);
      if (revision >= bufferedFrom) {
        const one = join(revision, subscriber);
        return () => leave(one);
      }
      let one: Joined | undefined;
      let left = false;
      const leaveOnce = (): void => {
        if (left) return;
        left = true;
        if (one !== undefined) return leave(one);
        if (--subscribers === 0) stopShared();
      };
      const own = catchUp(
        revision,
        {
          onChange: (change) => subscriber.onChange(change),
          onProgress: (at) => subscriber.onProgress(at),
          onEnd(reason) {
            if (one === undefined) leaveOnce();
            subscriber.onEnd(reason);
          },
        },
        (joinedNow) => {
          one = joinedNow;
        },
      );
      return () => {
        own.cancel();
        leaveOnce();
      };
    },
    close() {
      stopShared();
      joined.clear();
      subscribers = 0;
    },
  };
}
