/** Goal: files that belong to the operator are never overwritten, and those that are ours follow the data directory. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import {
  ensureEncryptionConfig,
  ensurePrincipals,
  ensureServiceAccountKeys,
  ensureTokens,
} from './client-files.js';
import { openDataDir, type DataDir } from './data-dir.js';

function dataDir(t: TestContext): DataDir {
  const path = mkdtempSync(join(tmpdir(), 'waxseal-data-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return openDataDir(path);
}

test('the encryption configuration follows a moved socket, unless somebody edited it', (t) => {
  const { encryptionConfig } = dataDir(t);
  ensureEncryptionConfig(encryptionConfig, '/a/kms.sock');
  assert.match(readFileSync(encryptionConfig, 'utf8'), /endpoint: unix:\/\/\/a\/kms\.sock/);
  ensureEncryptionConfig(encryptionConfig, '/b/kms.sock');
  assert.match(readFileSync(encryptionConfig, 'utf8'), /endpoint: unix:\/\/\/b\/kms\.sock/);
  const edited = readFileSync(encryptionConfig, 'utf8').replace('- "*.*"', '- secrets');
  assert.match(edited, /- secrets/);
  writeFileSync(encryptionConfig, edited);
  ensureEncryptionConfig(encryptionConfig, '/c/kms.sock');
  assert.equal(readFileSync(encryptionConfig, 'utf8'), edited);
});

test('principals are made once; the credentials file follows them', (t) => {
  const files = dataDir(t);
  ensurePrincipals(files);
  const principals = readFileSync(files.principals, 'utf8');
  const credentials = readFileSync(files.credentials, 'utf8');
  assert.match(
    credentials,
    /^\[default\]\naws_access_key_id = AKIA[A-Z2-7]{16}\naws_secret_access_key = \S{40}\n\n\[plugin\]\n/,
  );
  for (const file of [files.principals, files.credentials]) assert.equal(statSync(file).mode & 0o777, 0o600);
  rmSync(files.credentials);
  ensurePrincipals(files);
  assert.equal(readFileSync(files.principals, 'utf8'), principals);
  assert.equal(readFileSync(files.credentials, 'utf8'), credentials);
  writeFileSync(files.principals, 'accounts: []\n');
  assert.throws(() => ensurePrincipals(files), /has no user admin with an access key/);
  for (const broken of ['accounts: 3\n', '', 'accounts:\n  - [', '- a\n']) {
    writeFileSync(files.principals, broken);
    assert.throws(() => ensurePrincipals(files), { code: 'invalid-principals' }, broken);
  }
});

test('tokens and service account keys are kept', async (t) => {
  const files = dataDir(t);
  assert.match(
    await ensureTokens(files.tokens),
    /^[0-9a-f]{64},waxseal-admin,waxseal-admin,"system:masters"\n$/,
  );
  assert.equal(await ensureTokens(files.tokens), await ensureTokens(files.tokens));
  const serviceAccountKey = join(files.path, 'sa.key');
  const keys = await ensureServiceAccountKeys(serviceAccountKey);
  assert.match(keys.publicKey, /^-----BEGIN PUBLIC KEY-----/);
  assert.deepEqual(await ensureServiceAccountKeys(serviceAccountKey), keys);
});

test('a data directory with a long path keeps its socket in a short private folder', (t) => {
  const path = join(mkdtempSync(join(tmpdir(), 'waxseal-long-')), 'x'.repeat(120));
  t.after(() => rmSync(join(path, '..'), { recursive: true, force: true }));
  const { pluginSocket } = openDataDir(path);
  t.after(() => rmSync(join(pluginSocket, '..'), { recursive: true, force: true }));
  assert.ok(Buffer.byteLength(pluginSocket) <= 107, pluginSocket);
  assert.equal(statSync(join(pluginSocket, '..')).mode & 0o777, 0o700);
  assert.equal(openDataDir(path).pluginSocket, pluginSocket);
});
