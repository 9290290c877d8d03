/**
 * One store watch per resource, shared by every client that watches it.
 *
 * The hub keeps the recent past: a client that starts at a revision it still holds is served from memory, an older
 * start first catches up on a store watch of its own. Values are opened and decoded at most once for all clients.
 * Source of the rule: k8s.io/apiserver `storage/cacher` (what clients see), etcd's watch (order, no gap, no repeat).
 */
import { prefixRangeEnd, type StoreWatchEnd, type Watch } from '@waxseal/storage';
import { ChangeBuffer } from './change-buffer.js';
import { toChange, type Change } from './change.js';
import type { ObjectStore } from './object-store.js';
import type { Schedule } from './schedule.js';
import { objectKeyPrefix, type StoredResource } from './storage-key.js';

interface Subscriber {
  /** Ascending; every change is reported exactly once. */
  onChange(change: Change): void;
  /** Every change up to `revision` has been reported. */
  onProgress(revision: number): void;
  /** Nothing follows. */
  onEnd(reason: StoreWatchEnd): void;
}

export interface WatchHub {
  /** Reports every change after `revision`. The returned function ends it without `onEnd`. */
  subscribe(revision: number, subscriber: Subscriber): () => void;
  /** Ends every subscription with `closed`. */
  close(): void;
}

interface Subscription {
  readonly subscriber: Subscriber;
  /** Changes up to here have been reported. */
  revision: number;
  /** Its own store watch while it catches up. */
  own: Watch | undefined;
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
  const range = { key: prefix, rangeEnd: prefixRangeEnd(prefix), prevKv: true };
  const subscriptions = new Set<Subscription>();
  const buffer = new ChangeBuffer();
  let shared: Watch | undefined;
  /** Tells the present shared watch from one that is ending. */
  let generation = 0;
  let cancelProgress: (() => void) | undefined;

  const joined = (): Subscription[] => [...subscriptions].filter((one) => one.own === undefined);

  const stopShared = (): void => {
    const ending = shared;
    shared = undefined;
    generation++;
    cancelProgress?.();
    buffer.restart(0);
    ending?.cancel();
  };

  const drop = (one: Subscription): boolean => {
    if (!subscriptions.delete(one)) return false;
    one.own?.cancel();
    if (subscriptions.size === 0) stopShared();
    return true;
  };

  const end = (one: Subscription, reason: StoreWatchEnd): void => {
    if (drop(one)) one.subscriber.onEnd(reason);
  };

  const tick = (): void => {
    cancelProgress = schedule(() => {
      shared?.requestProgress();
      tick();
    }, progressIntervalMs);
  };

  const startShared = (revision: number): void => {
    buffer.restart(revision);
    const mine = ++generation;
    shared = objects.store.watch(
      { ...range, startRevision: revision + 1 },
      {
        onEvents(events, at) {
          if (generation !== mine) return;
          const live = joined();
          for (const event of events) {
            const change = toChange(objects, resource, event);
            if (change === undefined) continue;
            buffer.add(change);
            for (const one of live) {
              if (change.revision > one.revision && subscriptions.has(one)) one.subscriber.onChange(change);
            }
          }
          for (const one of live) one.revision = Math.max(one.revision, at);
        },
        onProgress(at) {
          if (generation !== mine) return;
          for (const one of joined()) {
            if (at < one.revision) continue;
            one.revision = at;
            one.subscriber.onProgress(at);
          }
        },
        onEnd(reason) {
          if (generation !== mine || reason.kind === 'cancelled') return;
          const ended = joined();
          stopShared();
          for (const one of ended) end(one, reason);
        },
      },
    );
    shared.started.catch(() => undefined);
    tick();
  };

  /** Replays what is remembered after the subscription's revision; the shared watch goes on from there. */
  const join = (one: Subscription): void => {
    const own = one.own;
    one.own = undefined;
    own?.cancel();
    for (const change of buffer.after(one.revision)) {
      one.subscriber.onChange(change);
      one.revision = change.revision;
    }
  };

  /** A store watch of its own until the memory reaches back far enough. */
  const catchUp = (one: Subscription): void => {
    const own: Watch = objects.store.watch(
      { ...range, startRevision: one.revision + 1 },
      {
        onEvents(events, at) {
          if (one.own === undefined || !subscriptions.has(one)) return;
          for (const event of events) {
            const change = toChange(objects, resource, event);
            if (change !== undefined) one.subscriber.onChange(change);
          }
          one.revision = at;
          if (shared !== undefined && at >= buffer.from) join(one);
        },
        onEnd(reason) {
          if (one.own !== undefined && reason.kind !== 'cancelled') end(one, reason);
        },
      },
    );
    one.own = own;
    own.started.catch(() => undefined);
  };

  return {
    subscribe(revision, subscriber) {
      const one: Subscription = { subscriber, revision, own: undefined };
      if (shared === undefined) startShared(revision);
      subscriptions.add(one);
      if (revision >= buffer.from) join(one);
      else catchUp(one);
      return () => drop(one);
    },
    close() {
      for (const one of subscriptions) end(one, { kind: 'closed' });
    },
  };
}
