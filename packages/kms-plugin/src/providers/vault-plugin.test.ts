/**
 * Goal: an API server behind the plugin with a Vault key sees one key id at a time through a cold start, a rotation and a sealed Vault. Method:
 * the plugin's socket, with the client an API server would be.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { connectKmsV2, KmsApiError } from '@waxseal/kms-api';
import { startPlugin } from '../plugin.js';
import { tempFolder } from '../testing/temp-folder.js';
import { rotateTransitKey } from '../testing/vault-transit-engine.js';
import {
  startTestVault,
  testKeyMadeAtSeconds,
  testKeyName,
  testRoleId,
} from '../testing/vault-transit-server.js';
import { createVaultProvider } from './vault.js';

test('Status and Encrypt name one version through rotation and a sealed Vault', async (t) => {
  const vault = await startTestVault(t);
  vault.addToken('hvs.token');
  const provider = createVaultProvider({
    address: vault.address,
    keyName: testKeyName,
    auth: { kind: 'token', token: 'hvs.token' },
  });
  const socket = join(await tempFolder(t), 'kms.sock');
  const plugin = await startPlugin({ listen: socket, provider, statusVersion: 'v2' });
  t.after(() => plugin.close());
  const client = connectKmsV2({ endpoint: socket });
  t.after(() => {
    client.close();
  });

  const first = `vault:transit/${testKeyName}:v1:${testKeyMadeAtSeconds}`;
  assert.deepEqual(await client.status(), { version: 'v2', healthz: 'ok', keyId: first });
  const old = await client.encrypt('1', Buffer.from('seed'));
  assert.equal(old.keyId, first);
  assert.deepEqual(old.annotations, {});

  const key = vault.keys.get(testKeyName);
  assert.ok(key !== undefined);
  rotateTransitKey(key, testKeyMadeAtSeconds + 60);
  await plugin.reload();
  const second = `vault:transit/${testKeyName}:v2:${testKeyMadeAtSeconds + 60}`;
  assert.equal((await client.status()).keyId, second);
  const fresh = await client.encrypt('2', Buffer.from('seed'));
  assert.equal(fresh.keyId, second);
  assert.match(fresh.ciphertext.toString(), /^vault:v2:/);
  for (const stored of [old, fresh]) assert.equal((await client.decrypt('3', stored)).toString(), 'seed');

  vault.sealed = true;
  await assert.rejects(
    client.encrypt('4', Buffer.from('seed')),
    (error) => error instanceof KmsApiError && /Vault is sealed; unseal it/.test(error.message),
  );
  const sealed = await client.status();
  assert.match(sealed.healthz, /sealed/);
  assert.equal(sealed.keyId, '');
  vault.sealed = false;
  await client.encrypt('5', Buffer.from('seed'));
  assert.equal((await client.status()).keyId, second);
});

test('nothing of token, secret id or data key is in what the plugin says', async (t) => {
  const vault = await startTestVault(t);
  const lines: string[] = [];
  const note = (...args: unknown[]): void => {
    lines.push(JSON.stringify(args));
  };
  vault.interfere = (call, response) => {
    response.writeHead(400, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ errors: [`marker-echo ${JSON.stringify(call)}`] }));
    return true;
  };
  const socket = join(await tempFolder(t), 'kms.sock');
  const plugin = await startPlugin({
    listen: socket,
    provider: createVaultProvider({
      address: vault.address,
      keyName: testKeyName,
      auth: { kind: 'approle', roleId: `marker-${testRoleId}` },
    }),
    health: { host: '127.0.0.1', port: 0 },
    logger: { debug: note, info: note, warn: note },
  });
  t.after(() => plugin.close());
  const client = connectKmsV2({ endpoint: socket });
  t.after(() => {
    client.close();
  });
  note(await client.status());
  note(String(await client.encrypt('1', Buffer.from('marker-seed')).catch((error: unknown) => error)));
  for (const path of ['readyz', 'metrics'])
    note(await (await fetch(`${plugin.healthEndpoint ?? ''}/${path}`)).text());
  assert.ok(lines.length > 4);
  assert.doesNotMatch(lines.join('\n'), /marker|bWFya2VyLXNlZWQ/);
});
