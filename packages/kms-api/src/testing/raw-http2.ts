/**
 * HTTP/2 by hand (RFC 9113, HPACK without compression RFC 7541 §6.2.2), for tests that must send what no client library
 * lets them send.
 */
import { connect, type Socket } from 'node:net';

export const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

const frameTypes = { data: 0, headers: 1, rstStream: 3, settings: 4, goaway: 7 } as const;
const endStream = 1;
const endHeaders = 4;

function frame(type: keyof typeof frameTypes, flags: number, streamId: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(payload.length, 0, 3);
  header.writeUInt8(frameTypes[type], 3);
  header.writeUInt8(flags, 4);
  header.writeUInt32BE(streamId, 5);
  return Buffer.concat([header, payload]);
}

export const settings = frame('settings', 0, 0, Buffer.alloc(0));

/** The HEADERS frame of a gRPC call. */
export function callHeaders(path: string, authority: string): Buffer {
  const fields: readonly (readonly [string, string])[] = [
    [':method', 'POST'],
    [':scheme', 'http'],
    [':path', path],
    [':authority', authority],
    ['content-type', 'application/grpc'],
    ['te', 'trailers'],
  ];
  const block = Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]));
  return frame('headers', endHeaders, 1, block);
}

/** DATA frames of one gRPC message (length-prefixed), split at HTTP/2's default frame size. */
export function callMessage(message: Buffer): Buffer {
  const prefixed = Buffer.alloc(5 + message.length);
  prefixed.writeUInt32BE(message.length, 1);
  message.copy(prefixed, 5);
  const frameMaxBytes = 16384;
  const frames: Buffer[] = [];
  for (let at = 0; at < prefixed.length; at += frameMaxBytes) {
    const last = at + frameMaxBytes >= prefixed.length;
    frames.push(frame('data', last ? endStream : 0, 1, prefixed.subarray(at, at + frameMaxBytes)));
  }
  return Buffer.concat(frames);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  const sevenBits = 127;
  if (bytes.length < sevenBits) return Buffer.concat([Buffer.from([bytes.length]), bytes]);
  // RFC 7541 §5.1: a prefix of ones, then the rest in groups of seven bits.
  const rest = bytes.length - sevenBits;
  const length = rest < 128 ? [sevenBits, rest] : [sevenBits, (rest & 127) | 128, rest >> 7];
  return Buffer.concat([Buffer.from(length), bytes]);
}

export interface ReceivedFrame {
  readonly type: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

/** Sends the bytes and collects what comes back until the server ends stream 1 or the connection. */
export async function exchange(netPath: string, bytes: Buffer): Promise<readonly ReceivedFrame[]> {
  const socket = await open(netPath);
  const frames: ReceivedFrame[] = [];
  let rest = Buffer.alloc(0);
  await new Promise<void>((resolve) => {
    socket.on('error', () => {});
    socket.on('close', () => {
      resolve();
    });
    socket.on('data', (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk]);
      while (rest.length >= 9) {
        const length = rest.readUIntBE(0, 3);
        if (rest.length < 9 + length) break;
        const type = rest.readUInt8(3);
        const ended =
          (type === frameTypes.headers && (rest.readUInt8(4) & endStream) !== 0) ||
          type === frameTypes.rstStream;
        frames.push({ type, streamId: rest.readUInt32BE(5), payload: rest.subarray(9, 9 + length) });
        rest = rest.subarray(9 + length);
        if (ended) resolve();
      }
    });
    socket.write(bytes);
  });
  socket.destroy();
  return frames;
}

/** The payload of the first gRPC message among the frames. */
export function firstMessage(frames: readonly ReceivedFrame[]): Buffer | undefined {
  return frames.find((received) => received.type === frameTypes.data)?.payload.subarray(5);
}

export function isReset(frames: readonly ReceivedFrame[]): boolean {
  return frames.some((received) => received.type === frameTypes.rstStream);
}

export function open(netPath: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(netPath);
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.removeListener('error', reject);
      resolve(socket);
    });
  });
}
