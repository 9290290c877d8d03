/** The whole plugin over a gcp provider: what an API server sees of a start, a rotation, a disabled version, and Cloud KMS away. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { connectKmsV1, connectKmsV2, type KmsV2Client } from '@waxseal/kms-api';
import { startPlugin, type Plugin } from '../plugin.js';
import {
  fail,
  startTestCloudKms,
  testGcpKey,
  type TestCloudKms,
} from '../testing/google-cloud-kms-server.js';
import { tempFolder } from '../testing/temp-folder.js';
import { createGcpProvider } from './gcp.js';

interface Served {
  readonly kms: TestCloudKms;
  readonly plugin: Plugin;
  readonly v2: KmsV2Client;
}

const versionName = (version: number): string => `${testGcpKey}/cryptoKeyVersions/${version}`;

async function serve(t: TestContext, prepare: (kms: TestCloudKms) => void = () => {}): Promise<Served> {
  const kms = await startTestCloudKms(t);
  prepare(kms);
  const { endpoint, credentialsFile } = kms;
  const provider = createGcpProvider({ key: testGcpKey, endpoint, credentialsFile });
  const listen = join(await tempFolder(t), 'kms.sock');
  const plugin = await startPlugin({ listen, provider, statusVersion: 'v2beta1' });
  const v2 = connectKmsV2({ endpoint: `unix://${listen}` });
  t.after(async () => {
    v2.close();
    await plugin.close();
  });
  return { kms, plugin, v2 };
}

test('the first Status already names the version, and Encrypt the same', async (t) => {
  const { kms, plugin, v2 } = await serve(t);
  assert.deepEqual(await v2.status(), { version: 'v2beta1', healthz: 'ok', keyId: versionName(1) });
  const sealed = await v2.encrypt('u', Buffer.from('dek'));
  assert.equal(sealed.keyId, versionName(1));
  assert.deepEqual(sealed.annotations, {});
  assert.equal((await v2.decrypt('u', sealed)).toString(), 'dek');
  const v1 = connectKmsV1({ endpoint: plugin.sockets[0] ?? '' });
  t.after(() => {
    v1.close();
  });
  assert.equal((await v1.decrypt(await v1.encrypt(Buffer.from('dek')))).toString(), 'dek');
  assert.deepEqual(kms.problems, []);
});

test('a rotation changes Status and Encrypt together at the next probe, and what was sealed before opens', async (t) => {
  const { kms, plugin, v2 } = await serve(t);
  await v2.status();
  const old = await v2.encrypt('u', Buffer.from('old'));
  kms.addVersion();
  await plugin.reload();
  assert.equal((await v2.status()).keyId, versionName(2));
  assert.equal((await v2.encrypt('u', Buffer.from('new'))).keyId, versionName(2));
  assert.equal((await v2.decrypt('u', old)).toString(), 'old');
});

test('under a disabled version Status says so, names no key, and heals', async (t) => {
  const { kms, plugin, v2 } = await serve(t);
  await v2.status();
  const version = kms.versions.get(1);
  assert.ok(version !== undefined);
  version.state = 'DISABLED';
  await plugin.reload();
  const status = await v2.status();
  assert.match(status.healthz, /FAILED_PRECONDITION: .*disabled/);
  assert.equal(status.keyId, '');
  version.state = 'ENABLED';
  await plugin.reload();
  assert.deepEqual(await v2.status(), { version: 'v2beta1', healthz: 'ok', keyId: versionName(1) });
});

test('a start without Cloud KMS: Status says why, and heals', async (t) => {
  const { kms, plugin, v2 } = await serve(t, (away) => {
    away.interfere = (_call, response) => {
      fail(response, 503, 'UNAVAILABLE');
      return true;
    };
  });
  const status = await v2.status();
  assert.notEqual(status.healthz, 'ok');
  kms.interfere = () => false;
  await plugin.reload();
  assert.deepEqual(await v2.status(), { version: 'v2beta1', healthz: 'ok', keyId: versionName(1) });
});
