/**
 * etcd's Range over a Store: what the Store does not know (sorting by another field, filters by revision) is done here.
 *
 * The rules are etcd's `applierV3backend.Range`: with a sort order or a filter everything is read and `limit` cuts last;
 * `count` stays the number of keys in the range; a target other than the key sorts ascending unless told otherwise.
 */
import { etcdErrors, grpcFailure, RefusedRequest } from '../etcd/errors.js';
import { keyValueToWire } from '../etcd/messages.js';
import {
  RangeRequest_SortOrder as SortOrder,
  RangeRequest_SortTarget as SortTarget,
  type RangeRequest as WireRangeRequest,
  type RangeResponse,
  type ResponseHeader,
} from '../gen/etcd/rpc.js';
import type { KeyValue, RangeRequest, RangeResult } from '../store.js';

/** @throws RefusedRequest when there is no key */
export function toStoreRange(request: WireRangeRequest): RangeRequest {
  if (request.key.length === 0) throw new RefusedRequest(grpcFailure(etcdErrors.emptyKey));
  return {
    key: request.key,
    ...(request.rangeEnd.length === 0 ? {} : { rangeEnd: request.rangeEnd }),
    revision: Math.max(0, Number(request.revision)),
    limit: isPlain(request) ? Math.max(0, Number(request.limit)) : 0,
    keysOnly: request.keysOnly && request.sortTarget !== SortTarget.VALUE,
    countOnly: request.countOnly,
  };
}

export function toRangeResponse(
  request: WireRangeRequest,
  result: RangeResult,
  header: ResponseHeader,
): RangeResponse {
  if (isPlain(request)) {
    return { header, kvs: result.kvs.map(keyValueToWire), more: result.more, count: BigInt(result.count) };
  }
  const kvs = result.kvs.filter((kv) => passes(request, kv)).toSorted(order(request));
  const limit = Number(request.limit);
  const more = limit > 0 && kvs.length > limit;
  const shown = (more ? kvs.slice(0, limit) : kvs).map(keyValueToWire);
  if (request.keysOnly) for (const kv of shown) kv.value = Buffer.alloc(0);
  return { header, kvs: shown, more, count: BigInt(result.count) };
}

/** Neither filtered nor sorted: the Store's own answer. */
function isPlain(request: WireRangeRequest): boolean {
  return (
    request.sortOrder === SortOrder.NONE &&
    request.sortTarget === SortTarget.KEY &&
    request.minModRevision === 0n &&
    request.maxModRevision === 0n &&
    request.minCreateRevision === 0n &&
    request.maxCreateRevision === 0n
  );
}

function passes(request: WireRangeRequest, kv: KeyValue): boolean {
  return (
    within(kv.modRevision, request.minModRevision, request.maxModRevision) &&
    within(kv.createRevision, request.minCreateRevision, request.maxCreateRevision)
  );
}

function within(revision: number, min: bigint, max: bigint): boolean {
  return (min === 0n || revision >= min) && (max === 0n || revision <= max);
}

function order(request: WireRangeRequest): (a: KeyValue, b: KeyValue) => number {
  const compare = byTarget[request.sortTarget] ?? byTarget[SortTarget.KEY];
  return request.sortOrder === SortOrder.DESCEND ? (a, b) => compare(b, a) : compare;
}

const byTarget: Readonly<Record<SortTarget, (a: KeyValue, b: KeyValue) => number>> = {
  [SortTarget.KEY]: (a, b) => a.key.compare(b.key),
  [SortTarget.VERSION]: (a, b) => a.version - b.version,
  [SortTarget.CREATE]: (a, b) => a.createRevision - b.createRevision,
  [SortTarget.MOD]: (a, b) => a.modRevision - b.modRevision,
  [SortTarget.VALUE]: (a, b) => a.value.compare(b.value),
};
