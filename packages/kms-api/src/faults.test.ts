/** What a broken peer does to the other side: an error of the right code, and nothing else. */
import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { createServer as createHttp2Server } from 'node:http2';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import * as fc from 'fast-check';
import { connectKmsV2 } from './client-v2.js';
import { KmsApiError, type KmsApiErrorCode } from './errors.js';
import * as v2 from './gen/kms/v2/api.js';
import { messageMaxBytes } from './limits.js';
import { serveKms, type KmsServer, type ServeKmsOptions } from './server.js';
import {
  callHeaders,
  callMessage,
  exchange,
  firstMessage,
  isReset,
  open,
  preface,
  settings,
} from './testing/raw-http2.js';
import { socketFolder, turningV1, turningV2 } from './testing/services.js';

const statusPath = '/v2.KeyManagementService/Status';
const decryptPath = '/v2.KeyManagementService/Decrypt';

async function server(
  t: TestContext,
  more: Partial<ServeKmsOptions> = {},
): Promise<{ listen: string; server: KmsServer }> {
  const listen = join(await socketFolder(t), 'kms.sock');
  const running = await serveKms({ services: { v1: turningV1(), v2: turningV2() }, listen, ...more });
  t.after(() => running.close(100));
  return { listen, server: running };
}

function client(t: TestContext, endpoint: string, timeoutMs: number): ReturnType<typeof connectKmsV2> {
  const connected = connectKmsV2({ endpoint, timeoutMs });
  t.after(() => {
    connected.close();
  });
  return connected;
}

const failing =
  (code: KmsApiErrorCode, message = /./) =>
  (error: unknown) => {
    assert.ok(error instanceof KmsApiError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    return true;
  };

const call = (path: string, authority: string, message: Buffer): Buffer =>
  Buffer.concat([preface, settings, callHeaders(path, authority), callMessage(message)]);

test('every :authority that kube-apiserver 1.29 and later sends is served', async (t) => {
  const { listen } = await server(t);
  // v2: `localhost`. v1: the socket's path percent-encoded by grpc-go, or an abstract name as it is.
  for (const authority of ['localhost', encodeURIComponent(listen), '@waxseal', '%40waxseal']) {
    const message = firstMessage(await exchange(listen, call(statusPath, authority, Buffer.alloc(0))));
    assert.ok(message !== undefined, authority);
    assert.equal(v2.StatusResponse.decode(message).healthz, 'ok');
  }
});

test('a raw path as :authority (kube-apiserver before 1.29) is refused by the HTTP/2 layer, as documented', async (t) => {
  const { listen } = await server(t);
  const frames = await exchange(listen, call(statusPath, listen, Buffer.alloc(0)));
  assert.equal(firstMessage(frames), undefined);
  assert.ok(isReset(frames));
});

test('a socket that stays silent or stops within a frame is closed and disturbs nobody', async (t) => {
  const { listen } = await server(t, { handshakeTimeoutMs: 40, keepaliveTimeMs: 40, keepaliveTimeoutMs: 40 });
  const silent = await open(listen);
  const half = await open(listen);
  half.write(preface.subarray(0, 10));
  const halfFrame = await open(listen);
  halfFrame.resume();
  halfFrame.write(Buffer.concat([preface, settings, callHeaders(statusPath, 'localhost').subarray(0, 20)]));
  const closed = Promise.all([silent, half, halfFrame].map((socket) => once(socket.resume(), 'close')));
  const healthy = client(t, listen, 3000);
  assert.equal((await healthy.status()).healthz, 'ok');
  await closed;
  assert.equal((await healthy.status()).healthz, 'ok');
});

test('bytes that are no HTTP/2 close their own connection only', async (t) => {
  const { listen } = await server(t);
  const healthy = client(t, listen, 3000);
  for (const bytes of [
    Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
    Buffer.alloc(4096, 0xff),
    Buffer.concat([preface, Buffer.alloc(64, 0xff)]),
  ]) {
    await exchange(listen, bytes);
    assert.equal((await healthy.status()).healthz, 'ok');
  }
});

test('a message of 10 MiB is refused and the server goes on', async (t) => {
  const { listen } = await server(t);
  const message = Buffer.alloc(10 * 1024 * 1024);
  const frames = await exchange(listen, call(decryptPath, 'localhost', message));
  assert.equal(firstMessage(frames), undefined);
  assert.equal((await client(t, listen, 3000).status()).healthz, 'ok');
});

test('requests that are no protobuf of the method are refused and the server goes on', async (t) => {
  const { listen } = await server(t);
  const truncated = Buffer.from([0x0a, 0x7f, 1]);
  assert.equal(firstMessage(await exchange(listen, call(decryptPath, 'localhost', truncated))), undefined);
  const hiddenKey = v2.DecryptRequest.encode({
    ciphertext: Buffer.from('c'),
    uid: 'u',
    keyId: 'k',
    annotations: new Map([['__proto__', Buffer.from('x')]]),
  }).finish();
  const frames = await exchange(listen, call(decryptPath, 'localhost', Buffer.from(hiddenKey)));
  assert.equal(firstMessage(frames), undefined);
  assert.equal((await client(t, listen, 3000).status()).healthz, 'ok');
});

test('decoders give a message or an error for any bytes, every prefix and every flipped bit', () => {
  const message = Buffer.from(
    v2.DecryptRequest.encode({
      ciphertext: Buffer.from('ciphertext'),
      uid: 'uid',
      keyId: 'key',
      annotations: new Map([['a.b', Buffer.from('value')]]),
    }).finish(),
  );
  const decode = (bytes: Buffer): void => {
    try {
      v2.DecryptRequest.decode(bytes);
    } catch (error) {
      assert.ok(error instanceof Error);
    }
  };
  for (let length = 0; length <= message.length; length++) decode(message.subarray(0, length));
  for (let bit = 0; bit < message.length * 8; bit++) {
    const flipped = Buffer.from(message);
    flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
    decode(flipped);
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      decode(Buffer.from(bytes));
    }),
  );
  // Groups within groups, as deep as a message may be long.
  decode(Buffer.alloc(messageMaxBytes, 0x0b));
});

test('a plugin that hangs costs the deadline and no more', async (t) => {
  let aborted = false;
  const { listen } = await server(t, {
    services: {
      v2: turningV2({
        encrypt: (_uid, _plaintext, signal) =>
          new Promise((_resolve, reject) => {
            signal?.addEventListener('abort', () => {
              aborted = true;
              reject(new Error('given up'));
            });
          }),
      }),
    },
  });
  const hanging = client(t, listen, 100);
  await assert.rejects(hanging.encrypt('u', Buffer.from('p')), failing('deadline_exceeded', /within 100 ms/));
  assert.equal((await hanging.status()).healthz, 'ok');
  assert.ok(aborted, 'the service was told');
});

test('a caller that gives up cancels the call', async (t) => {
  const { listen } = await server(t, {
    services: { v2: turningV2({ encrypt: () => new Promise(() => {}) }) },
  });
  const abort = new AbortController();
  const call = client(t, listen, 3000).encrypt('u', Buffer.from('p'), abort.signal);
  setImmediate(() => {
    abort.abort(new Error('enough'));
  });
  await assert.rejects(call, failing('cancelled'));
});

test('an absent plugin is unavailable, and found soon after it starts', async (t) => {
  const listen = join(await socketFolder(t), 'kms.sock');
  await assert.rejects(client(t, listen, 50).status(), failing('unavailable', /Check that it runs/));
  const patient = client(t, listen, 3000);
  const answer = patient.status();
  const first = await serveKms({ services: { v2: turningV2() }, listen });
  assert.equal((await answer).healthz, 'ok');
  await first.close();
  const again = patient.status();
  const second = await serveKms({ services: { v2: turningV2() }, listen });
  t.after(() => second.close(100));
  assert.equal((await again).healthz, 'ok');
});

test('a silent plugin is unavailable', async (t) => {
  const listen = join(await socketFolder(t), 'kms.sock');
  const sockets: Socket[] = [];
  const silent = createServer((socket) => sockets.push(socket)).listen(listen);
  await once(silent, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    silent.close();
  });
  await assert.rejects(client(t, listen, 100).status(), failing('unavailable'));
});

test('answers that are too large, no protobuf, or against the contract are told apart', async (t) => {
  const listen = join(await socketFolder(t), 'kms.sock');
  let message: Buffer = Buffer.alloc(0);
  const broken = createHttp2Server();
  broken.on('stream', (stream) => {
    stream.on('error', () => {});
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => {
      stream.sendTrailers({ 'grpc-status': '0' });
    });
    const prefixed = Buffer.alloc(5 + message.length);
    prefixed.writeUInt32BE(message.length, 1);
    message.copy(prefixed, 5);
    stream.end(prefixed);
  });
  broken.listen(listen);
  await once(broken, 'listening');
  t.after(() => {
    broken.close();
  });
  const calling = client(t, listen, 3000);
  const encrypt = (): Promise<unknown> => calling.encrypt('u', Buffer.from('p'));

  message = Buffer.alloc(messageMaxBytes + 1);
  await assert.rejects(encrypt(), failing('resource_exhausted'));
  message = Buffer.from([0x0a, 0x7f, 1]);
  await assert.rejects(encrypt(), failing('invalid_response', /not a protobuf message/));
  message = Buffer.alloc(0);
  await assert.rejects(encrypt(), failing('invalid_response', /ciphertext is empty/));
  const sealed = { ciphertext: Buffer.from('c'), keyId: 'k', annotations: new Map<string, Buffer>() };
  const answer = (part: Partial<typeof sealed>): Buffer =>
    Buffer.from(v2.EncryptResponse.encode({ ...sealed, ...part }).finish());
  message = answer({ keyId: '' });
  await assert.rejects(encrypt(), failing('invalid_response', /keyId is empty/));
  message = answer({ ciphertext: Buffer.alloc(1025) });
  await assert.rejects(encrypt(), failing('invalid_response', /1025 bytes/));
  message = answer({ annotations: new Map([['__proto__', Buffer.from('x')]]) });
  await assert.rejects(encrypt(), failing('invalid_response', /fully qualified/));
  message = Buffer.from(v2.StatusResponse.encode({ version: 'v2', healthz: 'ok', keyId: '' }).finish());
  await assert.rejects(calling.status(), failing('invalid_response', /keyId is empty/));
  message = answer({});
  await encrypt();
});

test('closing lets calls in flight finish and refuses new ones', async (t) => {
  const gate = new EventEmitter();
  const started = once(gate, 'started');
  const released = once(gate, 'released');
  const { listen, server: running } = await server(t, {
    services: {
      v2: turningV2({
        decrypt: async (_uid, request) => {
          gate.emit('started');
          await released;
          return Buffer.from(request.ciphertext);
        },
      }),
    },
  });
  const calling = client(t, listen, 3000);
  const inFlight = calling.decrypt('u', { ciphertext: Buffer.from('c'), keyId: 'k', annotations: {} });
  await started;
  const closed = running.close(3000);
  await assert.rejects(client(t, listen, 50).status(), failing('unavailable'));
  gate.emit('released');
  assert.deepEqual(await inFlight, Buffer.from('c'));
  await closed;
});
