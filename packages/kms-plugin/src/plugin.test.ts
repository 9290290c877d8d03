/** The whole plugin over its socket, with a provider that does what each test needs. */
import assert from 'node:assert/strict';
import { once, EventEmitter } from 'node:events';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import {
  connectKmsV1,
  connectKmsV2,
  KmsApiError,
  type KmsApiErrorCode,
  type KmsV2Client,
} from '@waxseal/kms-api';
import { KmsPluginError, ProviderError, type Failure } from './errors.js';
import type { Logger } from './logger.js';
import { startPlugin, type Plugin, type PluginOptions } from './plugin.js';
import { createSnapshot } from './snapshot.js';
import { createLocalProvider } from './providers/local.js';
import { createKeyring, rotateKeyring } from './providers/local-keyring.js';
import { createFakeClock } from './testing/fake-clock.js';
import { createFakeProvider } from './testing/fake-provider.js';
import { tempFolder } from './testing/temp-folder.js';

const down: Failure = { class: 'unavailable', code: 'unavailable', advice: 'The backend is down.' };
const disabled: Failure = {
  class: 'user-induced',
  code: 'failed_precondition',
  advice: 'The key is disabled.',
};
const damaged: Failure = { class: 'corrupt', code: 'invalid_argument', advice: 'It is damaged.' };

interface Running {
  readonly plugin: Plugin;
  readonly v2: KmsV2Client;
}

async function running(t: TestContext, options: Partial<PluginOptions> = {}): Promise<Running> {
  const listen = join(await tempFolder(t), 'kms.sock');
  const plugin = await startPlugin({ listen, provider: createFakeProvider(), ...options });
  const v2 = connectKmsV2({ endpoint: `unix://${listen}` });
  t.after(async () => {
    v2.close();
    await plugin.close();
  });
  return { plugin, v2 };
}

const failing =
  (code: KmsApiErrorCode, message = /./) =>
  (error: unknown) => {
    assert.ok(error instanceof KmsApiError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    return true;
  };

const get = async (plugin: Plugin, path: string): Promise<{ status: number; body: string }> => {
  const response = await fetch(`${plugin.healthEndpoint ?? ''}${path}`);
  return { status: response.status, body: await response.text() };
};

/** Lets promises and sockets that are ready do their part. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('a fresh plugin answers its first Status with ok, and Encrypt with the same key', async (t) => {
  const { v2, plugin } = await running(t);
  assert.deepEqual(await v2.status(), { version: 'v2', healthz: 'ok', keyId: 'fake-key-1' });
  const sealed = await v2.encrypt('u', Buffer.from('dek'));
  assert.equal(sealed.keyId, 'fake-key-1');
  assert.equal((await v2.decrypt('u', sealed)).toString(), 'dek');
  assert.equal(plugin.keyId(), 'fake-key-1');
  assert.equal(plugin.healthz(), 'ok');
});

test('v1 and v2 share the socket; either can be left out; the v2 version is a setting', async (t) => {
  const both = await running(t, { statusVersion: 'v2beta1' });
  assert.equal((await both.v2.status()).version, 'v2beta1');
  const v1 = connectKmsV1({ endpoint: both.plugin.sockets[0] ?? '' });
  t.after(() => {
    v1.close();
  });
  assert.equal((await v1.version()).runtimeName, 'waxseal');
  assert.equal((await v1.decrypt(await v1.encrypt(Buffer.from('dek')))).toString(), 'dek');
  const onlyV1 = await running(t, { versions: ['v1'] });
  await assert.rejects(onlyV1.v2.status(), failing('unimplemented'));
  await assert.rejects(running(t, { versions: [] }), (error) => error instanceof KmsPluginError);
});

test('values of the local provider go through v1, v2, a rotation and a restart', async (t) => {
  const folder = await tempFolder(t);
  const keyringFile = join(folder, 'keyring.json');
  await createKeyring(keyringFile);
  const { v2, plugin } = await running(t, { provider: await createLocalProvider({ keyringFile }) });
  const first = await v2.encrypt('u', Buffer.from('dek-1'));
  await rotateKeyring(keyringFile);
  await plugin.reload();
  const status = await v2.status();
  assert.notEqual(status.keyId, first.keyId);
  const second = await v2.encrypt('u', Buffer.from('dek-2'));
  assert.equal(second.keyId, status.keyId);
  const again = await running(t, { provider: await createLocalProvider({ keyringFile }) });
  assert.equal((await again.v2.decrypt('u', first)).toString(), 'dek-1');
  assert.equal((await again.v2.decrypt('u', second)).toString(), 'dek-2');
});

test('Status and Encrypt never disagree while the key is being replaced', async (t) => {
  let snapshot = createSnapshot({ keyId: 'key-0' });
  const { v2 } = await running(t, {
    provider: createFakeProvider({
      snapshot: () => snapshot,
      encrypt: async (given) => {
        await settled();
        return { ciphertext: Buffer.from(given.keyId), annotations: {} };
      },
    }),
  });
  const answers = Array.from({ length: 50 }, async (_, i) => {
    const encrypting = v2.encrypt('u', Buffer.from('dek'));
    snapshot = createSnapshot({ keyId: `key-${i + 1}` });
    return encrypting;
  });
  for (const { ciphertext, keyId } of await Promise.all(answers)) assert.equal(ciphertext.toString(), keyId);
  assert.equal((await v2.status()).keyId, 'key-50');
});

test('started while the backend is down: Status says why, and heals by itself', async (t) => {
  const clock = createFakeClock();
  let up = false;
  const works = createFakeProvider();
  const probed = new EventEmitter();
  const { v2, plugin } = await running(t, {
    clock,
    limits: { attemptsMax: 1 },
    probeRetryMs: 5000,
    health: { host: '127.0.0.1', port: 0 },
    provider: createFakeProvider({
      encrypt: async (...args) => {
        setImmediate(() => probed.emit('probed'));
        if (!up) throw new ProviderError('ECONNREFUSED', down);
        return works.encrypt(...args);
      },
    }),
  });
  const status = await v2.status();
  assert.equal(status.healthz, 'encrypt: ECONNREFUSED: The backend is down.');
  assert.equal(status.keyId, '', 'no key to write with');
  await assert.rejects(v2.encrypt('u', Buffer.from('dek')), failing('unavailable'));
  assert.equal((await get(plugin, '/livez')).status, 200);
  assert.equal((await get(plugin, '/readyz')).status, 503);
  up = true;
  const next = once(probed, 'probed');
  clock.advance(5000);
  await next;
  await settled();
  assert.deepEqual(await v2.status(), { version: 'v2', healthz: 'ok', keyId: 'fake-key-1' });
  assert.deepEqual(await get(plugin, '/readyz'), {
    status: 200,
    body: '[+]fake encrypt ok\n[+]fake decrypt ok\n',
  });
});

test('a backend that hangs does not hold up Status or the calls beyond the deadline', async (t) => {
  const { v2, plugin } = await running(t, {
    operationTimeoutMs: 1000,
    health: { host: '127.0.0.1', port: 0 },
    provider: createFakeProvider({ encrypt: () => new Promise(() => {}) }),
  });
  assert.match((await v2.status()).healthz, /not been tried yet/);
  await assert.rejects(v2.encrypt('u', Buffer.from('dek')), failing('deadline_exceeded', /did not answer/));
  assert.match((await v2.status()).healthz, /encrypt: timeout/);
  const ready = await get(plugin, '/healthz');
  assert.equal(ready.status, 503);
  assert.match(ready.body, /\[-\]fake encrypt failed: timeout: .*\n\[-\]fake decrypt not tried yet/);
});

test('a failing call makes the key unhealthy, one success clears it at once', async (t) => {
  let failure: Failure | undefined;
  const works = createFakeProvider();
  const { v2 } = await running(t, {
    provider: createFakeProvider({
      decrypt: async (...args) => {
        if (failure !== undefined) throw new ProviderError('Refused', failure);
        return works.decrypt(...args);
      },
    }),
  });
  const sealed = await v2.encrypt('u', Buffer.from('dek'));
  assert.equal((await v2.status()).healthz, 'ok');
  failure = disabled;
  await assert.rejects(v2.decrypt('u', sealed), failing('failed_precondition', /disabled/));
  assert.equal((await v2.status()).healthz, 'decrypt: Refused: The key is disabled.');
  failure = undefined;
  await v2.decrypt('u', sealed);
  assert.equal((await v2.status()).healthz, 'ok');
  failure = damaged;
  await assert.rejects(v2.decrypt('u', sealed), failing('invalid_argument'));
  assert.equal((await v2.status()).healthz, 'ok', 'a damaged ciphertext says nothing about the key');
});

test('equal Decrypts at the same time cost one backend call, and each caller gets the whole plaintext', async (t) => {
  const gate = new EventEmitter();
  let calls = 0;
  const opened = once(gate, 'open');
  const { v2, plugin } = await running(t, {
    health: { host: '127.0.0.1', port: 0 },
    provider: createFakeProvider({
      decrypt: async ({ ciphertext, keyId }) => {
        if (keyId === 'k') {
          calls += 1;
          await opened;
        }
        return Buffer.from(ciphertext);
      },
    }),
  });
  const request = { ciphertext: Buffer.from('same'), keyId: 'k', annotations: { 'a.b': Buffer.from('x') } };
  const different = { ...request, annotations: { 'a.b': Buffer.from('y') } };
  const answers = [
    ...Array.from({ length: 20 }, () => v2.decrypt('u', request)),
    v2.decrypt('u', different),
    v2.decrypt('u', { ...request, ciphertext: Buffer.from('other') }),
  ];
  // Requests on one connection are served in order: when this is answered, all of them are under way.
  await v2.status();
  gate.emit('open');
  const texts = (await Promise.all(answers)).map(String);
  assert.deepEqual(texts, [...Array.from({ length: 21 }, () => 'same'), 'other']);
  assert.equal(calls, 3);
  assert.match(
    (await get(plugin, '/metrics')).body,
    /waxseal_kms_plugin_shared_decrypts_total\{key_set="fake"\} 19/,
  );
});

test('a start that fails says nothing of the key, though its provider is closed under the first probe', async (t) => {
  let fail = (_error: Error): void => {};
  const lines: string[] = [];
  const log = (_fields: object, message: string): void => {
    lines.push(message);
  };
  const provider = createFakeProvider({
    encrypt: () =>
      new Promise((_resolve, reject) => {
        fail = reject;
      }),
  });
  await assert.rejects(
    startPlugin({
      listen: join(await tempFolder(t), 'no-such-folder', 'kms.sock'),
      provider,
      limits: { attemptsMax: 1 },
      logger: { debug: log, info: log, warn: log },
    }),
    /does not exist/,
  );
  const stopping: Failure = { class: 'unavailable', code: 'unavailable', advice: 'The plugin is stopping.' };
  fail(new ProviderError('closed', stopping));
  await settled();
  assert.deepEqual(lines, []);
});

test('strangers errors keep their message; logs and metrics hold no secrets', async (t) => {
  const marker = 'TOP-SECRET-MARKER';
  const lines: string[] = [];
  const log = (fields: object, message: string): void => {
    lines.push(`${JSON.stringify(fields)} ${message}`);
  };
  const logger: Logger = { debug: log, info: log, warn: log };
  const { v2, plugin } = await running(t, {
    logger,
    health: { host: '127.0.0.1', port: 0 },
    provider: createFakeProvider({
      encrypt: (_snapshot, plaintext) => Promise.reject(new Error(`${marker} ${plaintext.toString()}`)),
      decrypt: () => Promise.reject(new ProviderError('broken', damaged, new Error(marker))),
    }),
  });
  await assert.rejects(v2.encrypt('u', Buffer.from(marker)), (error: unknown) => {
    assert.doesNotMatch(String(error), /MARKER/);
    return failing('internal', /its log says more/)(error);
  });
  await assert.rejects(
    v2.decrypt('u', { ciphertext: Buffer.from(marker), keyId: 'k', annotations: {} }),
    failing('invalid_argument'),
  );
  const status = await v2.status();
  const seen = [
    ...lines,
    status.healthz,
    (await get(plugin, '/metrics')).body,
    (await get(plugin, '/healthz')).body,
  ];
  assert.ok(lines.some((line) => line.includes('a ciphertext cannot be decrypted')));
  assert.ok(
    lines.some((line) => /"at":"Error at .*plugin\.test\.js:\d+/.test(line)),
    'a stranger is told by its place',
  );
  for (const text of seen) assert.doesNotMatch(text, /MARKER/);
});

test('the health port knows four paths and two methods', async (t) => {
  const { plugin, v2 } = await running(t, { health: { host: '127.0.0.1', port: 0 } });
  await v2.status();
  assert.deepEqual(await get(plugin, '/livez?verbose'), { status: 200, body: 'ok\n' });
  assert.equal((await get(plugin, '/')).status, 404);
  const post = await fetch(`${plugin.healthEndpoint ?? ''}/livez`, { method: 'POST', body: 'x' });
  assert.equal(post.status, 405);
  const metrics = await get(plugin, '/metrics');
  assert.match(
    metrics.body,
    /waxseal_kms_plugin_requests_total\{key_set="fake",version="v2",method="Status",code="ok"\} 1/,
  );
  assert.match(
    metrics.body,
    /waxseal_kms_provider_operations_total\{key_set="fake",provider="fake",key_id_hash="[0-9a-f]{16}",operation="decrypt",result="ok"\} 1/,
  );
  assert.match(
    metrics.body,
    /waxseal_kms_key_healthy\{key_set="fake",key_id_hash="[0-9a-f]{16}",operation="encrypt"\} 1/,
  );
  await assert.rejects(
    startPlugin({
      listen: join(await tempFolder(t), 'kms.sock'),
      provider: createFakeProvider(),
      health: { host: '127.0.0.1', port: Number(new URL(plugin.healthEndpoint ?? '').port) },
    }),
    (error) => error instanceof KmsPluginError && error.code === 'health_listen_failed',
  );
});

test('closing lets a call in flight finish and closes the provider', async (t) => {
  const gate = new EventEmitter();
  const [started, released] = [once(gate, 'started'), once(gate, 'released')];
  let closed = 0;
  const { v2, plugin } = await running(t, {
    provider: createFakeProvider({
      decrypt: async ({ ciphertext, keyId }) => {
        if (keyId === 'k') {
          gate.emit('started');
          await released;
        }
        return Buffer.from(ciphertext);
      },
      close: async () => {
        closed += 1;
      },
    }),
  });
  const inFlight = v2.decrypt('u', { ciphertext: Buffer.from('c'), keyId: 'k', annotations: {} });
  await started;
  const closing = plugin.close();
  assert.equal(closed, 0);
  gate.emit('released');
  assert.equal((await inFlight).toString(), 'c');
  await closing;
  await plugin.close();
  assert.equal(closed, 1);
});
