/** etcd's KV service over a Store. */
import type { EtcdLogger } from '../etcd/logger.js';
import { keyValueToWire } from '../etcd/messages.js';
import type { KVServer } from '../gen/etcd/rpc.js';
import type { DeleteOp, OpResult, PutOp, Store } from '../store.js';
import { header } from './header.js';
import { toRangeResponse, toStoreRange } from './range.js';
import { toStoreDelete, toStorePut, toStoreTxn, toTxnResponse } from './txn.js';
import { unary } from './unary.js';

export function kvService(store: Store, logger: EtcdLogger | undefined): KVServer {
  return {
    range: unary(async (request) => {
      const result = await store.range(toStoreRange(request));
      return toRangeResponse(request, result, header(result.revision));
    }, logger),

    put: unary(async (request) => {
      const { revision, result } = await single(store, toStorePut(request));
      const prevKv = result?.kind === 'put' ? result.prevKv : undefined;
      return { header: header(revision), prevKv: prevKv === undefined ? undefined : keyValueToWire(prevKv) };
    }, logger),

    deleteRange: unary(async (request) => {
      const { revision, result } = await single(store, toStoreDelete(request));
      return {
        header: header(revision),
        deleted: BigInt(result?.kind === 'delete' ? result.deleted : 0),
        prevKvs: result?.kind === 'delete' ? result.prevKvs.map(keyValueToWire) : [],
      };
    }, logger),

    txn: unary(async (request) => toTxnResponse(request, await store.txn(toStoreTxn(request))), logger),

    compact: unary(async (request) => {
      await store.compact(Number(request.revision));
      const { revision } = await store.status();
      return { header: header(revision) };
    }, logger),
  };
}

async function single(
  store: Store,
  op: PutOp | DeleteOp,
): Promise<{ readonly revision: number; readonly result: OpResult | undefined }> {
  const { revision, results } = await store.txn({ compare: [], success: [op], failure: [] });
  return { revision, result: results[0] };
}
