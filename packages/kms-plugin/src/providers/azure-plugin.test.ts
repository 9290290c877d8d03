/** The whole plugin over an azure provider: what an API server sees of a start, a rotation, and a disabled key. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { connectKmsV1, connectKmsV2, type KmsV2Client } from '@waxseal/kms-api';
import { startPlugin, type Plugin } from '../plugin.js';
import { testKeyVersion } from '../testing/azure-key-vault-server.js';
import { createAzureTestMaterial, startAzureTest, type AzureTest } from '../testing/azure-provider.js';
import { tempFolder } from '../testing/temp-folder.js';
import { keyIdOf } from './azure-key-url.js';

const material = await createAzureTestMaterial();

interface Served extends AzureTest {
  readonly plugin: Plugin;
  readonly v2: KmsV2Client;
  readonly keyId: (version: string) => string;
  /** Time passes until the vault may be asked for versions again; then the plugin probes. */
  readonly poll: () => Promise<void>;
}

async function serve(t: TestContext): Promise<Served> {
  const time = { ms: Date.now() };
  const azure = await startAzureTest(t, material);
  const provider = await azure.create({ pollIntervalMs: 1000 }, { nowMs: () => time.ms });
  const listen = join(await tempFolder(t), 'kms.sock');
  const plugin = await startPlugin({ listen, provider, statusVersion: 'v2beta1' });
  const v2 = connectKmsV2({ endpoint: `unix://${listen}` });
  t.after(async () => {
    v2.close();
    await plugin.close();
  });
  return {
    ...azure,
    plugin,
    v2,
    keyId: (version) => keyIdOf(`${azure.vault.vaultUrl}/keys/k8s/${version}`),
    poll: async () => {
      time.ms += 1000;
      await provider.describe?.(new AbortController().signal);
      await plugin.reload();
    },
  };
}

test('the first Status already names the version, and Encrypt the same', async (t) => {
  const { v2, version, keyId, plugin } = await serve(t);
  assert.deepEqual(await v2.status(), { version: 'v2beta1', healthz: 'ok', keyId: keyId(version.version) });
  const sealed = await v2.encrypt('u', Buffer.from('dek'));
  assert.equal(sealed.keyId, keyId(version.version));
  assert.equal((await v2.decrypt('u', sealed)).toString(), 'dek');
  const v1 = connectKmsV1({ endpoint: plugin.sockets[0] ?? '' });
  t.after(() => {
    v1.close();
  });
  assert.equal((await v1.decrypt(await v1.encrypt(Buffer.from('dek')))).toString(), 'dek');
});

test('a rotation changes Status and Encrypt together, and what was sealed before opens', async (t) => {
  const { v2, vault, keyId, poll } = await serve(t);
  const old = await v2.encrypt('u', Buffer.from('old'));
  const second = testKeyVersion(material.rsa, { createdSeconds: 1_800_000_000 });
  vault.versions.push(second);
  await poll();
  assert.equal((await v2.status()).keyId, keyId(second.version));
  assert.equal((await v2.encrypt('u', Buffer.from('new'))).keyId, keyId(second.version));
  assert.equal((await v2.decrypt('u', old)).toString(), 'old');
});

test('under a disabled key Status says so, names no key, and heals', async (t) => {
  const { v2, version, keyId, poll } = await serve(t);
  await v2.status();
  version.enabled = false;
  await poll();
  const status = await v2.status();
  assert.match(status.healthz, /disabled; enable it/);
  assert.equal(status.keyId, '');
  version.enabled = true;
  await poll();
  assert.deepEqual(await v2.status(), { version: 'v2beta1', healthz: 'ok', keyId: keyId(version.version) });
});
