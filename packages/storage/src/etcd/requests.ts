/** A Store's requests as etcd's messages, and etcd's answers as the Store's results. */
import {
  Compare_CompareResult,
  Compare_CompareTarget,
  RangeRequest_SortOrder,
  RangeRequest_SortTarget,
  type Compare as WireCompare,
  type RangeRequest as WireRangeRequest,
  type RangeResponse,
  type RequestOp,
  type ResponseOp,
  type TxnRequest as WireTxnRequest,
  type TxnResponse,
} from '../gen/etcd/rpc.js';
import {
  StoreError,
  type Compare,
  type CompareResult,
  type Op,
  type OpResult,
  type RangeRequest,
  type RangeResult,
  type TxnRequest,
  type TxnResult,
} from '../store.js';
import { keyValueFromWire, noBytes } from './messages.js';

export function rangeRequestToWire(request: RangeRequest): WireRangeRequest {
  return {
    key: request.key,
    rangeEnd: request.rangeEnd ?? noBytes,
    limit: BigInt(request.limit ?? 0),
    revision: BigInt(request.revision ?? 0),
    sortOrder: RangeRequest_SortOrder.NONE,
    sortTarget: RangeRequest_SortTarget.KEY,
    serializable: false,
    keysOnly: request.keysOnly ?? false,
    countOnly: request.countOnly ?? false,
    minModRevision: 0n,
    maxModRevision: 0n,
    minCreateRevision: 0n,
    maxCreateRevision: 0n,
  };
}

/** @param revision the store's, for answers inside a transaction, which carry their own or none */
export function rangeResultFromWire(response: RangeResponse, revision?: number): RangeResult {
  return {
    revision: revision ?? Number(response.header?.revision ?? 0n),
    kvs: response.kvs.map(keyValueFromWire),
    more: response.more,
    count: Number(response.count),
  };
}

export function txnRequestToWire(request: TxnRequest): WireTxnRequest {
  return {
    compare: request.compare.map(compareToWire),
    success: request.success.map(opToWire),
    failure: request.failure.map(opToWire),
  };
}

/** @throws StoreError `corrupt` when the answer does not fit the request */
export function txnResultFromWire(response: TxnResponse, revision?: number): TxnResult {
  const now = revision ?? Number(response.header?.revision ?? 0n);
  return {
    succeeded: response.succeeded,
    revision: now,
    results: response.responses.map((op) => opResultFromWire(op, now)),
  };
}

/** True when neither branch can change anything, so that repeating the transaction is harmless. */
export function isReadOnly(request: TxnRequest): boolean {
  return [...request.success, ...request.failure].every(
    (op) => op.kind === 'range' || (op.kind === 'txn' && isReadOnly(op)),
  );
}

const compareResults: Readonly<Record<CompareResult, Compare_CompareResult>> = {
  equal: Compare_CompareResult.EQUAL,
  notEqual: Compare_CompareResult.NOT_EQUAL,
  less: Compare_CompareResult.LESS,
  greater: Compare_CompareResult.GREATER,
};

function compareToWire(compare: Compare): WireCompare {
  return {
    key: compare.key,
    rangeEnd: compare.rangeEnd ?? noBytes,
    result: compareResults[compare.result],
    ...compareTarget(compare),
  };
}

function compareTarget(compare: Compare): Pick<WireCompare, 'target' | 'targetUnion'> {
  switch (compare.target) {
    case 'modRevision':
      return {
        target: Compare_CompareTarget.MOD,
        targetUnion: { $case: 'modRevision', value: BigInt(compare.number) },
      };
    case 'createRevision':
      return {
        target: Compare_CompareTarget.CREATE,
        targetUnion: { $case: 'createRevision', value: BigInt(compare.number) },
      };
    case 'version':
      return {
        target: Compare_CompareTarget.VERSION,
        targetUnion: { $case: 'version', value: BigInt(compare.number) },
      };
    case 'value':
      return { target: Compare_CompareTarget.VALUE, targetUnion: { $case: 'value', value: compare.value } };
    default:
      return { target: Compare_CompareTarget.LEASE, targetUnion: { $case: 'lease', value: compare.lease } };
  }
}

function opToWire(op: Op): RequestOp {
  switch (op.kind) {
    case 'put':
      return {
        request: {
          $case: 'requestPut',
          value: {
            key: op.key,
            value: op.value,
            lease: op.lease ?? 0n,
            prevKv: op.prevKv ?? false,
            ignoreValue: op.ignoreValue ?? false,
            ignoreLease: op.ignoreLease ?? false,
          },
        },
      };
    case 'delete':
      return {
        request: {
          $case: 'requestDeleteRange',
          value: { key: op.key, rangeEnd: op.rangeEnd ?? noBytes, prevKv: op.prevKv ?? false },
        },
      };
    case 'range':
      return { request: { $case: 'requestRange', value: rangeRequestToWire(op) } };
    default:
      return { request: { $case: 'requestTxn', value: txnRequestToWire(op) } };
  }
}

function opResultFromWire(op: ResponseOp, revision: number): OpResult {
  switch (op.response?.$case) {
    case 'responsePut': {
      const { prevKv } = op.response.value;
      return { kind: 'put', ...(prevKv === undefined ? {} : { prevKv: keyValueFromWire(prevKv) }) };
    }
    case 'responseDeleteRange':
      return {
        kind: 'delete',
        deleted: Number(op.response.value.deleted),
        prevKvs: op.response.value.prevKvs.map(keyValueFromWire),
      };
    case 'responseRange':
      return { kind: 'range', ...rangeResultFromWire(op.response.value, revision) };
    case 'responseTxn':
      return { kind: 'txn', ...txnResultFromWire(op.response.value, revision) };
    default:
      throw new StoreError('corrupt', 'etcd answered an operation of a transaction with nothing.');
  }
}
