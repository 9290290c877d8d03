/** A front over LMDB and a bare connection to it, for tests that speak etcd's messages themselves. */
import { Client, credentials, Metadata, type ClientDuplexStream } from '@grpc/grpc-js';
import type { EtcdFrontOptions } from '../etcd-front/server.js';
import type { Rpc } from '../etcd/unary-call.js';
import { WatchService, type WatchRequest, type WatchResponse } from '../gen/etcd/rpc.js';
import { startLmdbFront, type LmdbFront } from './lmdb-front.js';

export interface FrontClient {
  readonly served: LmdbFront;
  call<Request, Response>(rpc: Rpc<Request, Response>, request: Request): Promise<Response>;
  watch(): ClientDuplexStream<WatchRequest, WatchResponse>;
  stop(): Promise<void>;
}

export async function startFrontClient(
  options: Partial<Omit<EtcdFrontOptions, 'store'>> = {},
): Promise<FrontClient> {
  const served = await startLmdbFront(options);
  const client = new Client(`127.0.0.1:${served.front.port}`, credentials.createInsecure(), {
    'grpc.max_send_message_length': -1,
    'grpc.use_local_subchannel_pool': 1,
  });
  return {
    served,
    call: <Request, Response>(rpc: Rpc<Request, Response>, request: Request) =>
      new Promise<Response>((resolve, reject) => {
        const { path, requestSerialize, responseDeserialize } = rpc;
        const metadata = new Metadata();
        client.makeUnaryRequest(
          path,
          requestSerialize,
          responseDeserialize,
          request,
          metadata,
          (error, value) => {
            if (error !== null) reject(error);
            else resolve(value as Response);
          },
        );
      }),
    watch: () => {
      const { path, requestSerialize, responseDeserialize } = WatchService.watch;
      return client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, new Metadata());
    },
    stop: async () => {
      client.close();
      await served.stop();
    },
  };
}
