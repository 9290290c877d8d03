/** Serves one method: the answer, or the gRPC status of whatever was thrown. */
import { status, type handleUnaryCall, type sendUnaryData, type ServerUnaryCall } from '@grpc/grpc-js';
import { toGrpcFailure } from '../etcd/errors.js';
import type { EtcdLogger } from '../etcd/logger.js';

export function unary<Request, Response>(
  serve: (request: Request) => Promise<Response>,
  logger: EtcdLogger | undefined,
): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    void answer(serve, call, callback, logger);
  };
}

async function answer<Request, Response>(
  serve: (request: Request) => Promise<Response>,
  call: ServerUnaryCall<Request, Response>,
  callback: sendUnaryData<Response>,
  logger: EtcdLogger | undefined,
): Promise<void> {
  let response: Response;
  try {
    response = await serve(call.request);
  } catch (error) {
    const failure = toGrpcFailure(error);
    if (failure.code === status.INTERNAL || failure.code === status.DATA_LOSS) {
      logger?.warn({ rpc: call.getPath(), error: String(error) }, 'etcd request failed');
    }
    callback(failure);
    return;
  }
  callback(null, response);
}
