/**
 * The etcd v3 gRPC API over any Store, so that etcdctl and a kube-apiserver that wants an etcd work unmodified.
 *
 * @see docs/formats/etcd-front.md for what is served and where it differs from etcd
 */
import { Server, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js';
import type { Socket } from 'node:net';
import { isIP } from 'node:net';
import { tmpdir } from 'node:os';
import { etcdErrors, grpcFailure } from '../etcd/errors.js';
import type { EtcdLogger } from '../etcd/logger.js';
import {
  AuthService,
  ClusterService,
  KVService,
  LeaseService,
  MaintenanceService,
  WatchService,
  type WatchRequest,
  type WatchResponse,
} from '../gen/etcd/rpc.js';
import { MAX_REQUEST_BYTES, StoreError, type Store } from '../store.js';
import { authService } from './auth.js';
import { clusterService } from './cluster.js';
import { kvService } from './kv.js';
import { leaseService } from './lease.js';
import { describeAddress, listen, type ListenAddress } from './listener.js';
import { maintenanceService } from './maintenance.js';
import { WatchStream } from './watch-stream.js';

export interface EtcdFrontOptions {
  readonly store: Store;
  readonly listen: ListenAddress;
  /** PEM. With `clientCa` every client must show a certificate it signed. Without TLS only loopback is listened on. */
  readonly tls?:
    { readonly cert: Buffer; readonly key: Buffer; readonly clientCa?: Buffer | undefined } | undefined;
  /** etcd's `--experimental-watch-progress-notify-interval`; default 5 s, as kubeadm sets it. */
  readonly progressNotifyIntervalMs?: number | undefined;
  /** Unsent bytes of one Watch stream at which its watches are held; default 4 MiB. */
  readonly maxUnsentWatchBytes?: number | undefined;
  /** Where snapshots are put together; default the system's. They are as large as the data. */
  readonly temporaryFolder?: string | undefined;
  readonly logger?: EtcdLogger | undefined;
}

export interface EtcdFront {
  /** What a client is given: `https://127.0.0.1:2379`, `http://…` or `unix:///…`. */
  readonly endpoint: string;
  /** 0 on a unix socket. */
  readonly port: number;
  /** Ends every stream with etcd's "server stopped" and lets calls under way finish, for a second at most. */
  close(): Promise<void>;
}

/** etcd's limit and its allowance for everything that is not key or value. */
const maxMessageBytes = MAX_REQUEST_BYTES + 512 * 1024;
const closeGraceMs = 1_000;

/** @throws StoreError `in-use` when the address is taken; `invalid-argument` for certificates or addresses that cannot be used */
export async function startEtcdFront(options: EtcdFrontOptions): Promise<EtcdFront> {
  const { store, tls, logger } = options;
  refuseOpenPlaintext(options);
  let endpoint = '';
  const streams = new Set<WatchStream>();
  const server = new Server({
    'grpc.max_receive_message_length': maxMessageBytes,
    'grpc.max_send_message_length': -1,
    // A client that vanished without closing is noticed, and its watches end.
    'grpc.keepalive_time_ms': 60_000,
    'grpc.keepalive_timeout_ms': 20_000,
  });
  server.addService(KVService, kvService(store, logger));
  server.addService(LeaseService, leaseService(store, logger));
  server.addService(
    ClusterService,
    clusterService(store, () => endpoint, logger),
  );
  server.addService(
    MaintenanceService,
    maintenanceService(store, options.temporaryFolder ?? tmpdir(), logger),
  );
  server.addService(AuthService, authService(store, logger));
  server.addService(WatchService, {
    watch: (call: ServerDuplexStream<WatchRequest, WatchResponse>) => {
      const stream = new WatchStream(call, store, {
        progressNotifyIntervalMs: options.progressNotifyIntervalMs ?? 5_000,
        maxUnsentBytes: options.maxUnsentWatchBytes ?? 4 * 1024 * 1024,
      });
      streams.add(stream);
      void stream.serve().finally(() => streams.delete(stream));
    },
  });

  const injector = connectionInjector(server, tls);
  const sockets = new Set<Socket>();
  const listener = await listen(options.listen, (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    socket.setNoDelay(true);
    injector.injectConnection(socket);
  });
  endpoint =
    'path' in options.listen
      ? describeAddress(options.listen)
      : `${tls === undefined ? 'http' : 'https'}://${urlHost(options.listen.host)}:${listener.port}`;
  logger?.info({ endpoint }, 'etcd API is served');

  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    const stopped = listener.close();
    for (const stream of streams) stream.fail(grpcFailure(etcdErrors.stopped));
    await new Promise<void>((resolve) => {
      const late = setTimeout(resolve, closeGraceMs);
      server.tryShutdown(() => {
        clearTimeout(late);
        resolve();
      });
    });
    server.forceShutdown();
    for (const socket of sockets) socket.destroy();
    await stopped;
  };
  return {
    endpoint,
    port: listener.port,
    close: () => (closing ??= close()),
  };
}

/** Takes connections into the server, through TLS if there is any. */
function connectionInjector(
  server: Server,
  tls: EtcdFrontOptions['tls'],
): ReturnType<Server['createConnectionInjector']> {
  if (tls === undefined) return server.createConnectionInjector(ServerCredentials.createInsecure());
  const { cert, key, clientCa } = tls;
  try {
    const pairs = [{ cert_chain: cert, private_key: key }];
    const credentials = ServerCredentials.createSsl(clientCa ?? null, pairs, clientCa !== undefined);
    return server.createConnectionInjector(credentials);
  } catch (cause) {
    throw new StoreError(
      'invalid-argument',
      "The etcd front's certificate, key and client CA must be PEM, and the key must belong to the certificate.",
      { cause },
    );
  }
}

/** Whoever reaches the front reads and writes everything. */
function refuseOpenPlaintext({ listen: address, tls }: EtcdFrontOptions): void {
  if (tls !== undefined || 'path' in address) return;
  const { host } = address;
  const loopback = host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
  if (!loopback) {
    throw new StoreError(
      'invalid-argument',
      `The etcd front does not listen on ${host} without TLS. Give it a certificate, or listen on 127.0.0.1.`,
    );
  }
}

function urlHost(host: string): string {
  return isIP(host) === 6 ? `[${host}]` : host;
}
