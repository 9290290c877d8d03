/**
 * KMS plugins for tests that are broken on purpose, each in one way: over node:http2, because the real server frame withholds answers
 * that break the contract.
 */
import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { kmsV1Messages, kmsV2Messages } from '@waxseal/kms-api';
import { tempFolder } from './temp-folder.js';

/** What Decrypt is asked with besides; empty with v1. */
interface OpenRequest {
  readonly keyId: string;
  readonly annotations: ReadonlyMap<string, Buffer>;
}

/** What a plugin does; every part can be exchanged for a broken one. */
export interface Behaviour {
  status(): kmsV2Messages.StatusResponse;
  v1Version(): kmsV1Messages.VersionResponse;
  seal(plaintext: Buffer): Buffer;
  /** Returns undefined for what it did not seal. */
  open(ciphertext: Buffer, request: OpenRequest): Buffer | undefined;
  keyId(): string;
  annotations(): Map<string, Buffer>;
  /** Around every call. */
  around(
    call: { readonly method: string; readonly inFlight: number; readonly timeout: string },
    answer: () => Buffer,
  ): Promise<Buffer>;
  /** The largest message it reads; what is larger gets its error, or nothing with `hangsOnLarge`. */
  readonly hangsOnLarge: boolean;
  /** Before anything is served. */
  readonly connected: (
    connection: Socket,
    plugin: { readonly connections: number; readonly crash: () => void },
  ) => void;
  /** Whether a call is served that is addressed like this. */
  readonly authority: (authority: string) => boolean;
  /** Bytes came that are no HTTP/2. */
  readonly garbled: (plugin: { readonly crash: () => void }) => void;
  /** After every message, before it is decoded. */
  readonly received: (message: Buffer, plugin: { readonly crash: () => void }) => void;
  /** After a caller has cancelled. */
  readonly cancelled: () => void;
  readonly served: readonly ('v1' | 'v2')[];
}

const messageMaxBytes = 256 * 1024;
const key = randomBytes(32);

/** nonce ‖ ciphertext ‖ tag */
export function sealWith(nonce: Buffer, plaintext: Buffer): Buffer {
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  return Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

export function openSealed(ciphertext: Buffer): Buffer | undefined {
  if (ciphertext.length < 28) return undefined;
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, ciphertext.subarray(0, 12));
    decipher.setAuthTag(ciphertext.subarray(-16));
    return Buffer.concat([decipher.update(ciphertext.subarray(12, -16)), decipher.final()]);
  } catch {
    return undefined;
  }
}

export const macOf = (bytes: Buffer): Buffer => createHmac('sha256', key).update(bytes).digest();

const sound: Behaviour = {
  status: () => ({ version: 'v2', healthz: 'ok', keyId: 'key-1' }),
  v1Version: () => ({ version: 'v1beta1', runtimeName: 'double', runtimeVersion: '1' }),
  seal: (plaintext) => sealWith(randomBytes(12), plaintext),
  open: openSealed,
  keyId: () => 'key-1',
  annotations: () => new Map([['version.double.example', Buffer.from('1')]]),
  around: (_call, answer) => Promise.resolve(answer()),
  hangsOnLarge: false,
  connected: () => {},
  authority: () => true,
  garbled: () => {},
  received: () => {},
  cancelled: () => {},
  served: ['v1', 'v2'],
};

/** @returns the socket it listens on */
export async function startBrokenPlugin(t: TestContext, broken: Partial<Behaviour>): Promise<string> {
  const plugin: Behaviour = { ...sound, ...broken };
  const path = join(await tempFolder(t), 'kms.sock');
  const connections = new Set<Socket>();
  let inFlight = 0;
  const server = createServer();
  const crash = (): void => {
    server.close();
    for (const connection of connections) connection.destroy();
  };
  server.on('connection', (connection: Socket) => {
    connections.add(connection);
    connection.once('close', () => connections.delete(connection));
    plugin.connected(connection, { connections: connections.size, crash });
  });
  server.on('sessionError', () => {
    plugin.garbled({ crash });
  });
  server.on('stream', (stream, headers) => {
    const method = String(headers[':path']);
    let answered = false;
    stream.on('error', () => {});
    stream.on('aborted', () => {
      if (!answered) plugin.cancelled();
    });
    const serve = async (): Promise<void> => {
      const message = await read(stream);
      if (!plugin.authority(String(headers[':authority']))) {
        end(stream, 14, 'another authority');
        return;
      }
      if (message === undefined) {
        if (plugin.hangsOnLarge) return;
        end(stream, 8, 'message larger than max');
        return;
      }
      plugin.received(message, { crash });
      inFlight += 1;
      try {
        const answer = await plugin.around(
          { method, inFlight, timeout: String(headers['grpc-timeout']) },
          () => answerOf(plugin, method, message),
        );
        answered = true;
        end(stream, 0, '', answer);
      } catch (error) {
        answered = true;
        end(stream, error instanceof Refusal ? error.code : 13, 'refused');
      } finally {
        inFlight -= 1;
      }
    };
    void serve().catch(() => {
      stream.close();
    });
  });
  server.listen(path);
  await once(server, 'listening');
  t.after(crash);
  return path;
}

class Refusal extends Error {
  readonly code: number;

  constructor(code: number) {
    super('refused');
    this.code = code;
  }
}

function answerOf(plugin: Behaviour, path: string, message: Buffer): Buffer {
  const [, service = '', method = ''] = /^\/(v2|v1beta1)\.KeyManagementService\/(\w+)$/.exec(path) ?? [];
  if (!plugin.served.includes(service === 'v2' ? 'v2' : 'v1')) throw new Refusal(12);
  switch (`${service} ${method}`) {
    case 'v2 Status':
      return Buffer.from(kmsV2Messages.StatusResponse.encode(plugin.status()).finish());
    case 'v2 Encrypt': {
      const ciphertext = plugin.seal(kmsV2Messages.EncryptRequest.decode(message).plaintext);
      const answer = { ciphertext, keyId: plugin.keyId(), annotations: plugin.annotations() };
      return Buffer.from(kmsV2Messages.EncryptResponse.encode(answer).finish());
    }
    case 'v2 Decrypt': {
      const { ciphertext, ...request } = kmsV2Messages.DecryptRequest.decode(message);
      const plaintext = opened(plugin, ciphertext, request);
      return Buffer.from(kmsV2Messages.DecryptResponse.encode({ plaintext }).finish());
    }
    case 'v1beta1 Version':
      return Buffer.from(kmsV1Messages.VersionResponse.encode(plugin.v1Version()).finish());
    case 'v1beta1 Encrypt': {
      const cipher = plugin.seal(kmsV1Messages.EncryptRequest.decode(message).plain);
      return Buffer.from(kmsV1Messages.EncryptResponse.encode({ cipher }).finish());
    }
    case 'v1beta1 Decrypt': {
      const plain = opened(plugin, kmsV1Messages.DecryptRequest.decode(message).cipher, {
        keyId: '',
        annotations: new Map(),
      });
      return Buffer.from(kmsV1Messages.DecryptResponse.encode({ plain }).finish());
    }
    default:
      throw new Refusal(12);
  }
}

function opened(plugin: Behaviour, ciphertext: Buffer, request: OpenRequest): Buffer {
  const plaintext = plugin.open(ciphertext, request);
  if (plaintext === undefined) throw new Refusal(3);
  return plaintext;
}

/** The message without its prefix; undefined when it is too long. */
async function read(stream: ServerHttp2Stream): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    length += chunk.length;
    // Read to the end all the same: leaving the loop would end the stream.
    if (length <= messageMaxBytes) chunks.push(chunk);
  }
  if (length > messageMaxBytes) return undefined;
  return Buffer.concat(chunks).subarray(5);
}

function end(stream: ServerHttp2Stream, code: number, details: string, message?: Buffer): void {
  if (stream.destroyed || stream.closed) return;
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
  stream.on('wantTrailers', () => {
    stream.sendTrailers({ 'grpc-status': String(code), 'grpc-message': details });
  });
  if (message === undefined) {
    stream.end();
    return;
  }
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  stream.end(Buffer.concat([prefix, message]));
}
