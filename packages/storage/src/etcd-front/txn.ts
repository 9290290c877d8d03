/**
 * etcd's transactions over a Store: the checks etcd makes before it begins (its `checkTxnRequest`), then the same
 * transaction in the Store's words, and its results in etcd's.
 */
import { etcdErrors, grpcFailure, RefusedRequest, type EtcdError } from '../etcd/errors.js';
import { keyValueToWire } from '../etcd/messages.js';
import {
  Compare_CompareResult as WireResult,
  Compare_CompareTarget as Target,
  type Compare as WireCompare,
  type DeleteRangeRequest,
  type PutRequest,
  type RequestOp,
  type ResponseOp,
  type TxnRequest as WireTxnRequest,
  type TxnResponse,
} from '../gen/etcd/rpc.js';
import type {
  Compare,
  CompareResult,
  DeleteOp,
  Op,
  OpResult,
  PutOp,
  TxnRequest,
  TxnResult,
} from '../store.js';
import { header, innerHeader } from './header.js';
import { toRangeResponse, toStoreRange } from './range.js';

/** etcd's `--max-txn-ops`. Nested transactions share it, which also bounds how deep they may nest. */
const maxTxnOps = 128;

/** @throws RefusedRequest */
export function toStoreTxn(request: WireTxnRequest, opsLeft: number = maxTxnOps): TxnRequest {
  const ops = Math.max(request.compare.length, request.success.length, request.failure.length);
  // A nested transaction without operations would otherwise cost nothing and nest without end.
  if (ops > opsLeft || opsLeft <= 0) throw refused(etcdErrors.tooManyOps);
  const left = opsLeft - Math.max(ops, 1);
  return {
    compare: request.compare.map(toStoreCompare),
    success: request.success.map((op) => toStoreOp(op, left)),
    failure: request.failure.map((op) => toStoreOp(op, left)),
  };
}

export function toTxnResponse(request: WireTxnRequest, result: TxnResult, inner = false): TxnResponse {
  const branch = result.succeeded ? request.success : request.failure;
  return {
    header: inner ? innerHeader(result.revision) : header(result.revision),
    succeeded: result.succeeded,
    responses: result.results.map((each, i) => toResponseOp(branch[i], each, result.revision)),
  };
}

/** @throws RefusedRequest */
export function toStorePut(request: PutRequest): PutOp {
  if (request.key.length === 0) throw refused(etcdErrors.emptyKey);
  if (request.ignoreValue && request.value.length > 0) throw refused(etcdErrors.valueProvided);
  if (request.ignoreLease && request.lease !== 0n) throw refused(etcdErrors.leaseProvided);
  return {
    kind: 'put',
    key: request.key,
    value: request.value,
    lease: request.lease,
    prevKv: request.prevKv,
    ignoreValue: request.ignoreValue,
    ignoreLease: request.ignoreLease,
  };
}

/** @throws RefusedRequest */
export function toStoreDelete(request: DeleteRangeRequest): DeleteOp {
  if (request.key.length === 0) throw refused(etcdErrors.emptyKey);
  return { kind: 'delete', key: request.key, ...rangeEnd(request.rangeEnd), prevKv: request.prevKv };
}

function toStoreOp(op: RequestOp, opsLeft: number): Op {
  switch (op.request?.$case) {
    case 'requestPut':
      return toStorePut(op.request.value);
    case 'requestDeleteRange':
      return toStoreDelete(op.request.value);
    case 'requestRange':
      return { kind: 'range', ...toStoreRange(op.request.value) };
    case 'requestTxn':
      return { kind: 'txn', ...toStoreTxn(op.request.value, opsLeft) };
    default:
      // An empty operation; etcd answers it so.
      throw refused(etcdErrors.keyNotFound);
  }
}

function toResponseOp(op: RequestOp | undefined, result: OpResult, revision: number): ResponseOp {
  const request = op?.request;
  switch (result.kind) {
    case 'put': {
      const prevKv = result.prevKv === undefined ? undefined : keyValueToWire(result.prevKv);
      return { response: { $case: 'responsePut', value: { header: innerHeader(revision), prevKv } } };
    }
    case 'delete':
      return {
        response: {
          $case: 'responseDeleteRange',
          value: {
            header: innerHeader(revision),
            deleted: BigInt(result.deleted),
            prevKvs: result.prevKvs.map(keyValueToWire),
          },
        },
      };
    case 'range':
      if (request?.$case !== 'requestRange')
        throw new Error('the store answered another operation with a range');
      return {
        response: {
          $case: 'responseRange',
          value: toRangeResponse(request.value, result, innerHeader(revision)),
        },
      };
    default:
      if (request?.$case !== 'requestTxn')
        throw new Error('the store answered another operation with a transaction');
      return { response: { $case: 'responseTxn', value: toTxnResponse(request.value, result, true) } };
  }
}

const compareResults: Readonly<Record<WireResult, CompareResult>> = {
  [WireResult.EQUAL]: 'equal',
  [WireResult.GREATER]: 'greater',
  [WireResult.LESS]: 'less',
  [WireResult.NOT_EQUAL]: 'notEqual',
};

/** A target without its value is compared with zero or nothing, as protobuf's defaults say. */
function toStoreCompare(compare: WireCompare): Compare {
  if (compare.key.length === 0) throw refused(etcdErrors.emptyKey);
  const union = compare.targetUnion;
  const common = {
    key: compare.key,
    ...rangeEnd(compare.rangeEnd),
    result: compareResults[compare.result] ?? 'equal',
  };
  switch (compare.target) {
    case Target.VALUE:
      return { ...common, target: 'value', value: union?.$case === 'value' ? union.value : Buffer.alloc(0) };
    case Target.LEASE:
      return { ...common, target: 'lease', lease: union?.$case === 'lease' ? union.value : 0n };
    case Target.CREATE:
      return {
        ...common,
        target: 'createRevision',
        number: union?.$case === 'createRevision' ? Number(union.value) : 0,
      };
    case Target.MOD:
      return {
        ...common,
        target: 'modRevision',
        number: union?.$case === 'modRevision' ? Number(union.value) : 0,
      };
    default:
      return { ...common, target: 'version', number: union?.$case === 'version' ? Number(union.value) : 0 };
  }
}

function rangeEnd(end: Buffer): { readonly rangeEnd?: Buffer } {
  return end.length === 0 ? {} : { rangeEnd: end };
}

function refused(error: EtcdError): RefusedRequest {
  return new RefusedRequest(grpcFailure(error));
}
