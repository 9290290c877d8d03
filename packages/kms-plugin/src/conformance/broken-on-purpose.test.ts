/**
 * The conformance kit is worth what it finds: plugins that are broken in one way each fail the check that is meant for it, and no
 * other.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { macOf, openSealed, sealWith, startBrokenPlugin, type Behaviour } from '../testing/broken-plugins.js';
import { check, idsOf, trouble } from '../testing/conformance.js';

let calls = 0;
let lastPlaintext: Buffer | undefined;
let busy = false;

const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

/** Broken in one way each, and the checks that must fail. */
const broken: Readonly<Record<string, readonly [Partial<Behaviour>, readonly string[]]>> = {
  'nothing is broken': [{}, []],
  'the key id changes': [
    { status: () => ({ version: 'v2', healthz: 'ok', keyId: `key-${calls++}` }) },
    ['status.key-id-stable'],
  ],
  'Encrypt names another key': [{ keyId: () => 'key-2' }, ['status.encrypt-agrees', 'load.encrypt-agrees']],
  'Encrypt names another key under load only': [
    {
      keyId: () => (busy ? 'key-2' : 'key-1'),
      around: async ({ inFlight }, answer) => {
        await pause();
        busy = inFlight > 4;
        return answer();
      },
    },
    ['load.encrypt-agrees'],
  ],
  'the version flips': [
    { status: () => ({ version: calls++ % 2 === 0 ? 'v2' : 'v2beta1', healthz: 'ok', keyId: 'key-1' }) },
    ['status.version-constant'],
  ],
  'the version is of no contract': [
    { status: () => ({ version: 'v3', healthz: 'ok', keyId: 'key-1' }) },
    ['status.version'],
  ],
  'healthz is empty': [
    { status: () => ({ version: 'v2', healthz: '', keyId: 'key-1' }) },
    ['status.healthz'],
  ],
  'healthz is OK in capitals': [
    { status: () => ({ version: 'v2', healthz: 'OK', keyId: 'key-1' }) },
    ['status.healthz'],
  ],
  'the v1 version is of no contract': [
    { v1Version: () => ({ version: 'v1', runtimeName: 'double', runtimeVersion: '1' }) },
    ['version.fields'],
  ],
  'the key id is too long': [
    {
      status: () => ({ version: 'v2', healthz: 'ok', keyId: 'k'.repeat(1025) }),
      keyId: () => 'k'.repeat(1025),
    },
    ['limits.key-id'],
  ],
  'the ciphertext has 1025 bytes': [
    {
      seal: (plaintext) => padded(sealWith(randomBytes(12), plaintext), 1025),
      open: (ciphertext) => (ciphertext.length === 1025 ? unpadded(ciphertext) : undefined),
    },
    ['limits.ciphertext'],
  ],
  'the v1 ciphertext has 65536 bytes': [
    {
      served: ['v1'],
      seal: (plaintext) => padded(sealWith(randomBytes(12), plaintext), 65_536),
      open: (ciphertext) => (ciphertext.length === 65_536 ? unpadded(ciphertext) : undefined),
    },
    ['limits.v1-cipher'],
  ],
  'with another key id something else opens': [
    {
      open: (ciphertext, { keyId }) => (keyId.endsWith('exist') ? Buffer.alloc(32) : openSealed(ciphertext)),
    },
    ['v2.other-key-id'],
  ],
  'without its annotations something else opens': [
    {
      served: ['v2'],
      open: (ciphertext, { annotations }) =>
        annotations.size === 0 && ciphertext.length === 60 && openSealed(ciphertext) !== undefined
          ? Buffer.alloc(32)
          : openSealed(ciphertext),
    },
    ['v2.other-annotations'],
  ],
  'only localhost is served': [
    { authority: (authority) => authority === 'localhost' },
    ['connections.authority'],
  ],
  'no more than 20 connections': [
    {
      connected: (connection, { connections }) => {
        if (connections > 20) connection.destroy();
      },
    },
    ['connections.many'],
  ],
  'an annotation has no domain name': [
    { annotations: () => new Map([['Version', Buffer.from('1')]]) },
    ['limits.annotations'],
  ],
  'annotations are too large': [
    { annotations: () => new Map([['big.double.example', Buffer.alloc(32 * 1024)]]) },
    ['limits.annotations'],
  ],
  'the plaintext lies in the ciphertext': [
    {
      seal: (plaintext) => {
        const body = Buffer.concat([randomBytes(12), plaintext]);
        return Buffer.concat([body, macOf(body)]);
      },
      open: (ciphertext) => {
        const body = ciphertext.subarray(0, -32);
        return macOf(body).equals(ciphertext.subarray(-32)) ? body.subarray(12) : undefined;
      },
    },
    ['v2.hidden-plaintext', 'v1.hidden-plaintext'],
  ],
  'the plaintext lies in an annotation': [
    {
      seal: (plaintext) => {
        lastPlaintext = Buffer.from(plaintext);
        return sealWith(randomBytes(12), plaintext);
      },
      annotations: () =>
        new Map([['dek.double.example', Buffer.from(lastPlaintext?.toString('base64') ?? '')]]),
    },
    ['v2.hidden-plaintext'],
  ],
  'equal plaintexts are equal ciphertexts': [
    { seal: (plaintext) => sealWith(macOf(plaintext).subarray(0, 12), plaintext) },
    ['v2.fresh-ciphertexts', 'v1.fresh-ciphertexts'],
  ],
  'the plaintext comes back shorter': [
    { open: (ciphertext) => openSealed(ciphertext)?.subarray(0, 40) },
    ['v2.round-trip', 'v1.round-trip'],
  ],
  'an empty ciphertext opens': [
    { open: (ciphertext) => (ciphertext.length === 0 ? Buffer.alloc(32) : openSealed(ciphertext)) },
    ['v2.empty-ciphertext', 'v1.empty-ciphertext'],
  ],
  'a truncated ciphertext opens': [
    {
      seal: (plaintext) => Buffer.concat([sealWith(randomBytes(12), plaintext), Buffer.alloc(1, 7)]),
      open: (ciphertext) => openSealed(ciphertext) ?? openSealed(ciphertext.subarray(0, -1)),
    },
    ['v2.truncated-ciphertext', 'v1.truncated-ciphertext'],
  ],
  'a changed ciphertext opens as something else': [
    {
      open: (ciphertext) =>
        openSealed(ciphertext) ?? (ciphertext.length === 60 ? randomBytes(32) : undefined),
    },
    // Random bytes of the very same length are no more readable than flipped bits.
    ['v2.changed-ciphertext', 'v2.garbage-ciphertext', 'v1.changed-ciphertext', 'v1.garbage-ciphertext'],
  ],
  'what other plugins made opens': [
    {
      open: (ciphertext) =>
        ciphertext.toString('latin1').startsWith('vault:') ? Buffer.alloc(32) : openSealed(ciphertext),
    },
    ['v2.foreign-ciphertext', 'v1.foreign-ciphertext'],
  ],
  'requests that are no message are answered': [
    {
      served: ['v2'],
      around: (_call, answer) => {
        try {
          return Promise.resolve(answer());
        } catch (error) {
          return error instanceof RangeError || (error instanceof Error && /wire type/.test(error.message))
            ? Promise.resolve(Buffer.alloc(0))
            : Promise.reject(error);
        }
      },
    },
    ['v2.not-protobuf'],
  ],
  'unknown fields are refused': [
    {
      served: ['v2'],
      received: (message) => {
        if (message.includes('unknown')) throw new Error('unknown field');
      },
    },
    ['v2.unknown-fields'],
  ],
  "another's plaintext is answered under load": [
    {
      around: async ({ method, inFlight }, answer) => {
        // So that calls come together, however slow the machine is.
        await pause();
        const own = answer();
        if (inFlight <= 16 || !method.endsWith('Decrypt')) return own;
        const given = lastPlaintext ?? own;
        lastPlaintext = own;
        return given;
      },
    },
    ['load.own-answers'],
  ],
};

const padded = (bytes: Buffer, size: number): Buffer => {
  const frame = Buffer.alloc(size);
  frame.writeUInt16BE(bytes.length);
  bytes.copy(frame, 2);
  macOf(bytes).copy(frame, size - 32);
  // The rest is authenticated too: every byte of it follows from the sealed ones.
  for (let at = bytes.length + 2; at < size - 32; at++) frame[at] = 0x55;
  return frame;
};

const unpadded = (frame: Buffer): Buffer | undefined => {
  const length = frame.readUInt16BE();
  if (length > frame.length - 34) return undefined;
  const bytes = frame.subarray(2, 2 + length);
  return padded(bytes, frame.length).equals(frame) ? openSealed(bytes) : undefined;
};

for (const [what, [behaviour, failed]] of Object.entries(broken)) {
  test(`broken on purpose: ${what}`, async (t) => {
    calls = 0;
    busy = false;
    lastPlaintext = undefined;
    const socket = await startBrokenPlugin(t, behaviour);
    // 10 MiB take their time, and have a test of their own.
    const skip = ['v2.oversized-message', 'v1.oversized-message'];
    const report = await check(socket, failed.length === 0 ? {} : { skip });
    assert.deepEqual(idsOf(report, 'failed'), failed, trouble(report));
    assert.equal(report.conforms, failed.length === 0);
  });
}

test('broken on purpose: garbage ends the process; what comes later is not judged', async (t) => {
  const socket = await startBrokenPlugin(t, {
    served: ['v2'],
    received: (message, { crash }) => {
      if (message.length > 1000 && message.length < 1200) crash();
    },
  });
  const report = await check(socket, { waitMs: 100 });
  assert.deepEqual(idsOf(report, 'failed'), ['v2.garbage-ciphertext'], trouble(report));
  const later = idsOf(report, 'not-judged');
  assert.deepEqual(later.slice(0, 2), ['v2.oversized-message', 'v2.unknown-fields']);
  assert.equal(report.conforms, false);
});

test('broken on purpose: a cancelled call blocks the plugin', async (t) => {
  let blocked = false;
  const socket = await startBrokenPlugin(t, {
    served: ['v2'],
    cancelled: () => {
      blocked = true;
    },
    around: async ({ method }, answer) => {
      await new Promise((resolve) => setTimeout(resolve, 5));
      return blocked && !method.endsWith('Status') ? new Promise(() => {}) : answer();
    },
  });
  const report = await check(socket, { only: ['deadlines.cancelled'], hangMs: 300 });
  assert.deepEqual(idsOf(report, 'failed'), ['deadlines.cancelled'], trouble(report));
});

test('broken on purpose: some calls are slower than the caller waits', async (t) => {
  const socket = await startBrokenPlugin(t, {
    served: ['v2'],
    around: async ({ method }, answer) => {
      if (method.endsWith('Encrypt') && calls++ % 12 === 11) {
        await new Promise((resolve) => setTimeout(resolve, 600));
      }
      return answer();
    },
  });
  const report = await check(socket, { budgetMs: 400, only: ['status', 'limits', 'connections', 'load'] });
  assert.deepEqual(idsOf(report, 'failed'), ['load.latency'], trouble(report));
});

test('broken on purpose: a peer that says nothing holds up the others', async (t) => {
  // As a server with a thread for each connection, and ten of them.
  let open = 0;
  const socket = await startBrokenPlugin(t, {
    connected: (connection, { connections }) => {
      open = connections;
      connection.once('close', () => {
        open -= 1;
      });
    },
    around: (_call, answer) => (open > 10 ? new Promise(() => {}) : Promise.resolve(answer())),
  });
  const report = await check(socket, { only: ['status', 'connections.silent'], hangMs: 400, waitMs: 3000 });
  assert.deepEqual(idsOf(report, 'failed'), ['connections.silent'], trouble(report));
});

test('broken on purpose: bytes that are no HTTP/2 end the process', async (t) => {
  const socket = await startBrokenPlugin(t, {
    garbled: ({ crash }) => {
      crash();
    },
  });
  const report = await check(socket, { only: ['connections', 'deadlines'], waitMs: 100 });
  assert.deepEqual(idsOf(report, 'failed'), ['connections.not-http2'], trouble(report));
  assert.deepEqual(idsOf(report, 'not-judged'), ['deadlines.cancelled', 'deadlines.short']);
});

test('broken on purpose: a short deadline is never answered', async (t) => {
  const socket = await startBrokenPlugin(t, {
    served: ['v2'],
    around: ({ method, timeout }, answer) =>
      method.endsWith('Encrypt') && timeout === '1m' ? new Promise(() => {}) : Promise.resolve(answer()),
  });
  const report = await check(socket, { only: ['deadlines'], hangMs: 300 });
  assert.deepEqual(idsOf(report, 'failed'), ['deadlines.short'], trouble(report));
});

test('broken on purpose: 10 MiB hang', async (t) => {
  const socket = await startBrokenPlugin(t, { hangsOnLarge: true });
  const report = await check(socket, { only: ['v2', 'v1'], hangMs: 1000 });
  assert.deepEqual(
    idsOf(report, 'failed'),
    ['v2.oversized-message', 'v1.oversized-message'],
    trouble(report),
  );
});

test('broken on purpose: an outage blames the caller, and is never over', async (t) => {
  let up = true;
  let wasDown = false;
  const socket = await startBrokenPlugin(t, {
    served: ['v2'],
    status: () => ({ version: 'v2', healthz: up && !wasDown ? 'ok' : 'away', keyId: 'key-1' }),
    // The double answers INVALID_ARGUMENT for what it cannot open.
    open: (ciphertext) => (up ? openSealed(ciphertext) : undefined),
  });
  const commands = {
    breakBackend: (): Promise<void> => {
      up = false;
      wasDown = true;
      return Promise.resolve();
    },
    healBackend: (): Promise<void> => {
      up = true;
      return Promise.resolve();
    },
  };
  const report = await check(socket, { only: ['outage'], commands, waitMs: 300 });
  assert.deepEqual(idsOf(report, 'failed'), ['outage.calls', 'outage.heals'], trouble(report));
});

test('broken on purpose: a request that is no message hangs', async (t) => {
  const socket = await startBrokenPlugin(t, {
    served: ['v2'],
    around: ({ method }, answer) =>
      method.endsWith('Decrypt') ? new Promise(() => {}) : Promise.resolve(answer()),
  });
  const report = await check(socket, { only: ['v2.not-protobuf'], hangMs: 200 });
  assert.deepEqual(idsOf(report, 'failed'), ['v2.not-protobuf'], trouble(report));
});
