/** A gRPC server that speaks for a broken etcd member: it answers every KV call as the test says, and counts. */
import { Server, ServerCredentials, status, type ServiceError } from '@grpc/grpc-js';
import {
  KVService,
  MaintenanceService,
  type RangeRequest,
  type RangeResponse,
  type StatusResponse,
  type TxnResponse,
} from '../gen/etcd/rpc.js';
import { header } from '../etcd-front/header.js';

type Failure = Pick<ServiceError, 'code' | 'details'>;
/** `silence`: no answer, ever, while the connection stands. */
type Fail = (method: 'range' | 'txn', call: number) => Failure | 'silence' | undefined;

export interface FailingEtcd {
  readonly endpoint: string;
  readonly calls: { range: number; txn: number };
  stop(): void;
}

/**
 * @param fail called for the nth call of a method, from 1; undefined answers it
 * @param statusFailure what it answers when it is asked for its status
 */
export async function startFailingEtcd(fail: Fail, statusFailure?: Failure): Promise<FailingEtcd> {
  const server = new Server();
  const calls = { range: 0, txn: 0 };
  const unimplemented = (_: unknown, callback: (error: Failure) => void): void => {
    callback({ code: status.UNIMPLEMENTED, details: 'not in this test' });
  };
  server.addService(KVService, {
    range: (_: { request: RangeRequest }, callback: (e: Failure | null, r?: RangeResponse) => void) => {
      const failure = fail('range', ++calls.range);
      if (failure === 'silence') return;
      callback(failure ?? null, { header: header(7), kvs: [], more: false, count: 0n });
    },
    txn: (_: unknown, callback: (e: Failure | null, r?: TxnResponse) => void) => {
      const failure = fail('txn', ++calls.txn);
      if (failure === 'silence') return;
      callback(failure ?? null, { header: header(8), succeeded: true, responses: [] });
    },
    put: unimplemented,
    deleteRange: unimplemented,
    compact: unimplemented,
  });
  server.addService(MaintenanceService, {
    status: (_: unknown, callback: (e: Failure | null, r?: StatusResponse) => void) => {
      callback(statusFailure ?? null, {
        header: header(7),
        version: '3.5.30',
        dbSize: 1n,
        dbSizeInUse: 1n,
        leader: 1n,
        raftIndex: 1n,
        raftTerm: 1n,
        raftAppliedIndex: 1n,
        errors: [],
        isLearner: false,
      });
    },
    alarm: unimplemented,
    defragment: unimplemented,
    hash: unimplemented,
    hashKv: unimplemented,
    snapshot: () => {},
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => {
      if (error === null) resolve(bound);
      else reject(error);
    });
  });
  return {
    endpoint: `http://127.0.0.1:${port}`,
    calls,
    stop: () => {
      server.forceShutdown();
    },
  };
}
