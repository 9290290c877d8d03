/**
 * etcd's messages and the Store's types, both directions: the client store sends what the front receives.
 *
 * Revisions are int64 on the wire and numbers here. A number past 2^53 loses its last bits but stays larger than every
 * revision that exists, so such a request is answered as a future revision, which it is.
 */
import { Event_EventType, type Event, type KeyValue as WireKeyValue } from '../gen/etcd/kv.js';
import type { KeyValue, WatchEvent } from '../store.js';

export const noBytes: Buffer = Buffer.alloc(0);

export function keyValueFromWire(kv: WireKeyValue): KeyValue {
  return {
    key: kv.key,
    value: kv.value,
    createRevision: Number(kv.createRevision),
    modRevision: Number(kv.modRevision),
    version: Number(kv.version),
    lease: kv.lease,
  };
}

export function keyValueToWire(kv: KeyValue): WireKeyValue {
  return {
    key: kv.key,
    value: kv.value,
    createRevision: BigInt(kv.createRevision),
    modRevision: BigInt(kv.modRevision),
    version: BigInt(kv.version),
    lease: kv.lease,
  };
}

/** Undefined when the message has no key-value, which no etcd sends. */
export function eventFromWire(event: Event): WatchEvent | undefined {
  if (event.kv === undefined) return undefined;
  return {
    type: event.type === Event_EventType.DELETE ? 'delete' : 'put',
    kv: keyValueFromWire(event.kv),
    ...(event.prevKv === undefined ? {} : { prevKv: keyValueFromWire(event.prevKv) }),
  };
}

export function eventToWire(event: WatchEvent): Event {
  return {
    type: event.type === 'delete' ? Event_EventType.DELETE : Event_EventType.PUT,
    kv: keyValueToWire(event.kv),
    prevKv: event.prevKv === undefined ? undefined : keyValueToWire(event.prevKv),
  };
}
