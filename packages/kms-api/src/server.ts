/**
 * The plugin's side of the socket: one gRPC server for v1beta1 and v2 over unix sockets.
 *
 * kube-apiserver from 1.29 on is served. Older ones send the raw socket path as HTTP/2 `:authority`, which Node's
 * HTTP/2 refuses with a protocol error before any code of ours runs.
 */
import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { Socket } from 'node:net';
import type { InheritedSockets } from './inherited-sockets.js';
import { messageMaxBytes } from './limits.js';
import { v1Implementation } from './server-v1.js';
import { v2Implementation } from './server-v2.js';
import type { KmsV1Service, KmsV2Service } from './service.js';
import { wiped, type ReportCall } from './server-call.js';
import { listenUnix, type UnixListener } from './unix-socket.js';
import {
  KeyManagementServiceService as v1Methods,
  type DecryptResponse as V1DecryptResponse,
} from './gen/kms/v1beta1/api.js';
import {
  KeyManagementServiceService as v2Methods,
  type DecryptResponse as V2DecryptResponse,
} from './gen/kms/v2/api.js';

export interface ServeKmsOptions {
  /**
   * What to serve; a version left out answers `unimplemented`. Bytes handed over change hands: the frame overwrites
   * a request's plaintext once `encrypt` has settled, and the plaintext `decrypt` resolved to once it is sent.
   */
  readonly services: { readonly v1?: KmsV1Service; readonly v2?: KmsV2Service };
  /**
   * Sockets to serve on: `unix:///path`, `unix:///@name`, `/path` or `@name`, and `fd://NAME` for one of `inheritedSockets`. Files get
   * mode 0600, or 0660 with `socketGroupId`.
   */
  readonly listen: string | readonly string[];
  /** Sockets that systemd handed over, from `inheritedSockets`; none by default. */
  readonly inheritedSockets?: InheritedSockets | undefined;
  /** The number of the group that may connect besides the owner; nobody by default. */
  readonly socketGroupId?: number | undefined;
  /** Called after every call, e.g. for metrics and logs. Must not throw. */
  readonly onCall?: ReportCall;
  /** Connections at one time per socket; 128 by default. An API server keeps one per provider. */
  readonly maxConnections?: number;
  /** A connection that has not sent the HTTP/2 preface by then is closed; 10,000 by default. */
  readonly handshakeTimeoutMs?: number;
  /** A quiet connection is pinged this often, and closed when the ping gets no answer in time; 30,000 by default. */
  readonly keepaliveTimeMs?: number;
  /** How long a ping may take; 10,000 by default. */
  readonly keepaliveTimeoutMs?: number;
}

export interface KmsServer {
  /** The sockets as `unix://` URLs, as an EncryptionConfiguration names them. */
  readonly sockets: readonly string[];
  /**
   * Stops listening at once, lets calls in flight finish, then closes the connections.
   *
   * @param graceMs calls that take longer are cut off; 3000 by default
   */
  close(graceMs?: number): Promise<void>;
}

// RFC 9113 §3.4: 24 octets of preface, then a SETTINGS frame of at least 9.
const http2PrefaceBytes = 24 + 9;
const maxConcurrentStreams = 1024;
const maxSessionMemoryMegabytes = 10;

/**
 * Serves the KMS contract.
 *
 * @throws KmsApiError `invalid_endpoint`, `socket_in_use`, `socket_path_taken` or `socket_failed`; then nothing listens
 */
export async function serveKms(options: ServeKmsOptions): Promise<KmsServer> {
  const server = new Server({
    'grpc.max_receive_message_length': messageMaxBytes,
    'grpc.max_send_message_length': messageMaxBytes,
    'grpc.max_concurrent_streams': maxConcurrentStreams,
    'grpc-node.max_session_memory': maxSessionMemoryMegabytes,
    'grpc.keepalive_time_ms': options.keepaliveTimeMs ?? 30_000,
    'grpc.keepalive_timeout_ms': options.keepaliveTimeoutMs ?? 10_000,
    'grpc.enable_channelz': 0,
  });
  const report: ReportCall = options.onCall ?? (() => {});
  const { v1, v2 } = options.services;
  if (v1 !== undefined) {
    const decrypt = wiped(v1Methods.decrypt, (response: V1DecryptResponse) => response.plain);
    server.addService({ ...v1Methods, decrypt }, v1Implementation(v1, report));
  }
  if (v2 !== undefined) {
    const decrypt = wiped(v2Methods.decrypt, (response: V2DecryptResponse) => response.plaintext);
    server.addService({ ...v2Methods, decrypt }, v2Implementation(v2, report));
  }
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());

  const sockets = new Set<Socket>();
  const handshakeTimeoutMs = options.handshakeTimeoutMs ?? 10_000;
  const onConnection = (socket: Socket): void => {
    sockets.add(socket);
    const handshake = setTimeout(() => {
      if (socket.bytesRead < http2PrefaceBytes) socket.destroy();
    }, handshakeTimeoutMs);
    handshake.unref();
    socket.once('close', () => {
      clearTimeout(handshake);
      sockets.delete(socket);
    });
    // The HTTP/2 session reports its own errors; a reset before it exists must not end the process.
    socket.on('error', () => {});
    injector.injectConnection(socket);
  };

  const listeners: UnixListener[] = [];
  const closeListeners = async (): Promise<void> => {
    await Promise.all(listeners.map((listener) => listener.close()));
  };
  try {
    for (const listen of typeof options.listen === 'string' ? [options.listen] : options.listen) {
      listeners.push(
        await listenUnix({
          listen,
          onConnection,
          maxConnections: options.maxConnections ?? 128,
          inherited: options.inheritedSockets,
          groupId: options.socketGroupId,
        }),
      );
    }
  } catch (error) {
    await closeListeners();
    server.forceShutdown();
    throw error;
  }

  let closing: Promise<void> | undefined;
  const shutDown = async (graceMs: number): Promise<void> => {
    await closeListeners();
    await new Promise<void>((resolve) => {
      const cutOff = setTimeout(resolve, graceMs);
      server.tryShutdown(() => {
        clearTimeout(cutOff);
        resolve();
      });
    });
    server.forceShutdown();
    for (const socket of sockets) socket.destroy();
  };

  return {
    sockets: listeners.map((listener) => listener.url),
    close: (graceMs = 3000) => (closing ??= shutDown(graceMs)),
  };
}
