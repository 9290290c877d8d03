/**
 * gRPC by hand over node:http2 (gRPC over HTTP2, github.com/grpc/grpc doc/PROTOCOL-HTTP2.md): the conformance kit sends what no gRPC
 * client lets it send, and must see exactly what comes back.
 */
import { connect as connectHttp2, constants, type ClientHttp2Session } from 'node:http2';
import { connect, type Socket } from 'node:net';

export type GrpcAnswer = (
  | { readonly kind: 'message'; readonly message: Buffer }
  /** The server's gRPC status, 0 with no message among them. */
  | { readonly kind: 'status'; readonly code: number; readonly details: string }
  /** The stream or the connection ended without a status. */
  | { readonly kind: 'ended'; readonly reason: string }
  /** Nothing came within the time allowed; the stream was cancelled. */
  | { readonly kind: 'timeout' }
) & { readonly durationMs: number };

export interface GrpcCallOptions {
  /** How long to wait for the answer. */
  readonly timeoutMs: number;
  /** What the `grpc-timeout` header says; as `timeoutMs` by default. */
  readonly announcedTimeoutMs?: number | undefined;
  /** `localhost` by default. */
  readonly authority?: string | undefined;
  /** Aborting resets the stream (CANCEL), as a client that gives up does. */
  readonly signal?: AbortSignal | undefined;
}

export interface GrpcConnection {
  /** Never rejects. Connects first, or again, when there is no connection. */
  call(path: string, message: Buffer, options: GrpcCallOptions): Promise<GrpcAnswer>;
  close(): void;
}

/** More than any lawful answer; a plugin that sends more is cut off. */
const answerMaxBytes = 4 * 1024 * 1024;
/** Trailers may be told a moment after the end of the data. */
const trailersGraceMs = 100;
/** gRPC's length prefix: one byte of compression flag, four of length. */
const prefixBytes = 5;

export function openGrpcConnection(netPath: string): GrpcConnection {
  let session: ClientHttp2Session | undefined;
  let closed = false;
  /** Why the connection failed; its streams only hear that they were cancelled. */
  let socketError: string | undefined;

  const connected = (): ClientHttp2Session => {
    if (session !== undefined && !session.closed && !session.destroyed) return session;
    socketError = undefined;
    const fresh = connectHttp2('http://localhost', {
      createConnection: (): Socket =>
        connect(netPath).once('error', (error: NodeJS.ErrnoException) => {
          socketError = error.code;
        }),
    });
    // What breaks the connection ends its streams too, and they report it.
    fresh.on('error', () => {});
    fresh.unref();
    session = fresh;
    return fresh;
  };

  return {
    close: () => {
      closed = true;
      session?.destroy();
    },
    call: (path, message, options) =>
      new Promise((resolve) => {
        const startMs = performance.now();
        const settle = (answer: AnswerParts): void => {
          clearTimeout(timer);
          options.signal?.removeEventListener('abort', cancel);
          resolve({ ...answer, durationMs: performance.now() - startMs });
        };
        const cancel = (): void => {
          settle({ kind: 'ended', reason: 'given up by the client' });
          stream?.close(constants.NGHTTP2_CANCEL);
        };
        const timer = setTimeout(() => {
          settle({ kind: 'timeout' });
          stream?.close(constants.NGHTTP2_CANCEL);
        }, options.timeoutMs);
        const stream = closed ? undefined : request(connected(), path, options);
        if (stream === undefined) {
          settle({ kind: 'ended', reason: 'the connection is closed' });
          return;
        }
        options.signal?.addEventListener('abort', cancel, { once: true });
        const chunks: Buffer[] = [];
        let received = 0;
        let headers: Record<string, unknown> = {};
        let reason = 'the plugin closed the stream without a status';
        stream.on('response', (sent) => {
          headers = { ...headers, ...sent };
        });
        stream.on('trailers', (sent) => {
          headers = { ...headers, ...sent };
        });
        stream.on('data', (chunk: Buffer) => {
          received += chunk.length;
          if (received <= answerMaxBytes) chunks.push(chunk);
          else stream.close(constants.NGHTTP2_CANCEL);
        });
        stream.on('error', (error: NodeJS.ErrnoException) => {
          reason = error.code ?? error.name;
        });
        const finish = (): void => {
          settle(
            received > answerMaxBytes
              ? { kind: 'ended', reason: `the answer is longer than ${answerMaxBytes} bytes` }
              : answerOf(headers, Buffer.concat(chunks), socketError ?? reason),
          );
        };
        stream.on('close', finish);
        // A server may answer, or end the stream, before it has read the request, and never read the rest: 'close' would not come.
        stream.on('end', () => {
          setTimeout(
            () => {
              finish();
              stream.close(constants.NGHTTP2_NO_ERROR);
            },
            headers['grpc-status'] === undefined ? trailersGraceMs : 0,
          ).unref();
        });
        stream.end(prefixed(message));
      }),
  };
}

type WithoutDuration<Answer> = Answer extends unknown ? Omit<Answer, 'durationMs'> : never;
type AnswerParts = WithoutDuration<GrpcAnswer>;

function request(
  session: ClientHttp2Session,
  path: string,
  options: GrpcCallOptions,
): ReturnType<ClientHttp2Session['request']> | undefined {
  try {
    return session.request({
      ':method': 'POST',
      ':path': path,
      ':authority': options.authority ?? 'localhost',
      'content-type': 'application/grpc',
      te: 'trailers',
      'grpc-timeout': `${Math.max(1, Math.round(options.announcedTimeoutMs ?? options.timeoutMs))}m`,
    });
  } catch {
    return undefined;
  }
}

function prefixed(message: Buffer): Buffer {
  const bytes = Buffer.alloc(prefixBytes + message.length);
  bytes.writeUInt32BE(message.length, 1);
  message.copy(bytes, prefixBytes);
  return bytes;
}

function answerOf(headers: Readonly<Record<string, unknown>>, body: Buffer, reason: string): AnswerParts {
  const status = headers['grpc-status'];
  if (typeof status !== 'string' || !/^\d{1,3}$/.test(status)) return { kind: 'ended', reason };
  const code = Number(status);
  const details = decodeDetails(headers['grpc-message']);
  if (code !== 0) return { kind: 'status', code, details };
  if (body.length < prefixBytes || body.readUInt32BE(1) !== body.length - prefixBytes || body[0] !== 0) {
    return { kind: 'status', code, details: 'success without one whole message' };
  }
  return { kind: 'message', message: body.subarray(prefixBytes) };
}

function decodeDetails(text: unknown): string {
  if (typeof text !== 'string') return '';
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
