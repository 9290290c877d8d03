/** Goal: key sets of one process share nothing that lets one hurt another, and are exchanged under calls that are under way. */
import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { connectKmsV2, type KmsV2Client } from '@waxseal/kms-api';
import { KmsPluginError, ProviderError, type Failure } from './errors.js';
import type { KeySetOptions } from './key-set.js';
import { startKeySets, type Plugin } from './plugin.js';
import { createSnapshot } from './snapshot.js';
import { createFakeProvider } from './testing/fake-provider.js';
import { tempFolder } from './testing/temp-folder.js';

const disabled: Failure = { class: 'user-induced', code: 'failed_precondition', advice: 'It is disabled.' };

async function running(
  t: TestContext,
  keySets: (folder: string) => readonly KeySetOptions[],
): Promise<{ plugin: Plugin; folder: string; client: (name: string) => KmsV2Client }> {
  const folder = await tempFolder(t);
  const plugin = await startKeySets({ keySets: keySets(folder), health: { host: '127.0.0.1', port: 0 } });
  t.after(() => plugin.close());
  return {
    plugin,
    folder,
    client: (name) => {
      const client = connectKmsV2({ endpoint: join(folder, name) });
      t.after(() => {
        client.close();
      });
      return client;
    },
  };
}

const get = async (plugin: Plugin, path: string): Promise<{ status: number; body: string }> => {
  const response = await fetch(`${plugin.healthEndpoint ?? ''}${path}`);
  return { status: response.status, body: await response.text() };
};

test('a failing old key leaves the new one healthy, on its socket and on the health port', async (t) => {
  const broken = createFakeProvider({
    encrypt: () => Promise.reject(new ProviderError('DisabledException', disabled)),
    decrypt: () => Promise.reject(new ProviderError('DisabledException', disabled)),
  });
  const { plugin, client } = await running(t, (folder) => [
    { name: 'old', listen: join(folder, 'old'), provider: broken, statusVersion: 'v2beta1' },
    { name: 'new', listen: [join(folder, 'new'), join(folder, 'too')], provider: createFakeProvider() },
  ]);
  assert.match((await client('old').status()).healthz, /DisabledException/);
  for (const name of ['new', 'too']) {
    assert.deepEqual(await client(name).status(), { version: 'v2', healthz: 'ok', keyId: 'fake-key-1' });
  }
  assert.equal((await get(plugin, '/readyz')).status, 503);
  assert.equal((await get(plugin, '/readyz/new')).status, 200);
  assert.equal((await get(plugin, '/readyz/old')).status, 503);
  const lenient = await get(plugin, '/healthz');
  assert.equal(lenient.status, 200);
  assert.match(lenient.body, /\[-\]old encrypt failed: DisabledException.*\n.*\n\[\+\]new encrypt ok/);
  assert.deepEqual(
    plugin.keySets().map(({ name, sockets }) => [name, sockets.length]),
    [
      ['old', 1],
      ['new', 2],
    ],
  );
});

test('a key set is exchanged under a call: the call ends with its provider, which is closed after it', async (t) => {
  const gate = new EventEmitter();
  const [started, released] = [once(gate, 'started'), once(gate, 'released')];
  const closed: string[] = [];
  const slow = createFakeProvider({
    decrypt: async ({ ciphertext, keyId }) => {
      if (keyId === 'k') {
        gate.emit('started');
        await released;
      }
      return Buffer.from(ciphertext);
    },
    close: async () => {
      closed.push('slow');
    },
  });
  const next = createFakeProvider({ snapshot: () => createSnapshot({ keyId: 'next' }) });
  const { plugin, client, folder } = await running(t, (in_) => [
    { name: 'a', listen: join(in_, 'a'), provider: slow },
  ]);
  const a = client('a');
  const inFlight = a.decrypt('u', { ciphertext: Buffer.from('c'), keyId: 'k', annotations: {} });
  await started;
  const replaced = plugin.replace([{ name: 'a', listen: join(folder, 'a'), provider: next }]);
  while ((await a.status()).keyId !== 'next') await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(closed, []);
  gate.emit('released');
  assert.equal((await inFlight).toString(), 'c');
  await replaced;
  assert.deepEqual(closed, ['slow']);
});

test('names and sockets are used once, and there is at least one key set', async (t) => {
  const folder = await tempFolder(t);
  const keySet = (name: string, socket: string): KeySetOptions => ({
    name,
    listen: join(folder, socket),
    provider: createFakeProvider(),
  });
  for (const keySets of [
    [],
    [keySet('a', 'a'), keySet('a', 'b')],
    [keySet('a', 'a'), keySet('b', 'a')],
    [{ ...keySet('a', 'a'), listen: [] }],
  ]) {
    await assert.rejects(
      startKeySets({ keySets }),
      (error) => error instanceof KmsPluginError && error.code === 'invalid_options',
    );
  }
});
