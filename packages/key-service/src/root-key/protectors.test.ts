// Goal: each protector gives the root key back, says clearly when it cannot, and reseal moves between them without a moment in
// which no protector has it. Method: a memory store, a store that fails or ends at each step, another key service as KMS.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { StoreError } from '@waxseal/storage';
import { KeyServiceError } from '../errors.js';
import { ROOT_KEY_RECORD } from '../keys/store-keys.js';
import { ACCOUNT, REGION, SECRET, startTestService } from '../testing/harness.js';
import { createMemoryStore, type MemoryStore } from '../testing/memory-store.js';
import { createAwsKmsProtector } from './aws-kms-protector.js';
import { createFileProtector } from './file-protector.js';
import { createPassphraseProtector } from './passphrase-protector.js';
import { openRootKey, resealRootKey, rootKeyProtectorOf } from './root-key.js';

const passphrase = (text: string) => createPassphraseProtector(async () => Buffer.from(text), randomBytes);

async function makeFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'waxseal-root-key-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof KeyServiceError, String(error));
  return error.code;
}

const storedRecord = async (store: MemoryStore): Promise<string> =>
  (await store.get(ROOT_KEY_RECORD)).kv?.value.toString() ?? '';

test('a passphrase keeps the root key; a wrong one is told as such', async () => {
  const store = createMemoryStore();
  const rootKey = await openRootKey(store, [passphrase('correct horse')], randomBytes);
  assert.deepEqual(await openRootKey(store, [passphrase('correct horse')], randomBytes), rootKey);
  await assert.rejects(
    openRootKey(store, [passphrase('wrong horse!')], randomBytes),
    /The passphrase is not the one that protects the root key/,
  );
  const record = JSON.parse(await storedRecord(store)) as { sealed: string; protector: string };
  assert.equal(record.protector, 'passphrase');
  const { kdf, N, r, p } = JSON.parse(Buffer.from(record.sealed, 'base64').toString()) as Record<
    string,
    unknown
  >;
  assert.deepEqual({ kdf, N, r, p }, { kdf: 'scrypt', N: 131_072, r: 8, p: 1 });
  assert.equal((await storedRecord(store)).includes(rootKey.toString('base64')), false);
});

test('a short passphrase is refused, and damaged parameters cost nothing', async () => {
  assert.equal(
    await codeOf(openRootKey(createMemoryStore(), [passphrase('short')], randomBytes)),
    'invalid-option',
  );
  const sealed = await passphrase('long enough').seal(randomBytes(32));
  const good = JSON.parse(sealed.toString()) as Record<string, unknown>;
  for (const bad of [
    { ...good, N: 2 ** 30 },
    { ...good, N: 1000 },
    { ...good, r: 1e9 },
    { ...good, kdf: 'md5' },
    { ...good, salt: 1 },
    null,
  ]) {
    const opened = passphrase('long enough').open(Buffer.from(JSON.stringify(bad)));
    assert.equal(await codeOf(opened), 'store-corrupt');
  }
});

test('reseal moves the root key from file to passphrase and back, and removes the file', async (t) => {
  const path = join(await makeFolder(t), 'root.key');
  const file = createFileProtector(path);
  const store = createMemoryStore();
  const rootKey = await openRootKey(store, [file], randomBytes);
  await resealRootKey(store, rootKey, passphrase('correct horse'), [file], randomBytes);
  assert.equal(await rootKeyProtectorOf(store), 'passphrase');
  assert.equal(existsSync(path), false);
  assert.equal(store.compactions.length, 1);
  assert.equal(await codeOf(openRootKey(store, [file], randomBytes)), 'root-key-wrong');
  assert.deepEqual(await openRootKey(store, [file, passphrase('correct horse')], randomBytes), rootKey);

  await resealRootKey(store, rootKey, file, [file, passphrase('correct horse')], randomBytes);
  assert.deepEqual(await openRootKey(store, [file], randomBytes), rootKey);
});

test('a reseal that cannot be written, or was cut short, leaves the old protector', async (t) => {
  const path = join(await makeFolder(t), 'root.key');
  const file = createFileProtector(path);
  const store = createMemoryStore();
  const rootKey = await openRootKey(store, [passphrase('correct horse')], randomBytes);
  store.failWrites = new StoreError('no-space', 'full');
  await assert.rejects(resealRootKey(store, rootKey, file, [file], randomBytes), { code: 'no-space' });
  store.failWrites = undefined;
  // The new file was written already, as by a process that ended there: it is no way in, and the next start removes it.
  assert.equal(existsSync(path), true);
  assert.deepEqual(await openRootKey(store, [file, passphrase('correct horse')], randomBytes), rootKey);
  assert.equal(existsSync(path), false);
});

test('a file with another root key is never overwritten nor removed', async (t) => {
  const path = join(await makeFolder(t), 'root.key');
  const text = `waxseal-root-key-v1:${randomBytes(32).toString('base64')}\n`;
  await writeFile(path, text, { mode: 0o600 });
  const file = createFileProtector(path);
  const store = createMemoryStore();
  const rootKey = await openRootKey(store, [passphrase('correct horse'), file], randomBytes);
  assert.equal(await codeOf(resealRootKey(store, rootKey, file, [file], randomBytes)), 'root-key-wrong');
  await openRootKey(store, [passphrase('correct horse'), file], randomBytes);
  assert.equal(existsSync(path), true);
});

test('another KMS wraps the root key, and unwraps it at start', async (t) => {
  const other = await startTestService();
  t.after(() => other.close());
  const caFile = join(other.dataDir, 'ca.pem');
  await writeFile(caFile, other.ca);
  const { keyId } = await other.service.ensureKey({
    accountId: ACCOUNT,
    region: REGION,
    aliasName: 'alias/unseal',
  });
  const connection = { caFile, credentials: { accessKeyId: 'admin', secretAccessKey: SECRET } };
  const first = createAwsKmsProtector({
    ...connection,
    keyId: 'alias/unseal',
    region: REGION,
    endpoint: other.service.endpoint,
  });
  const store = createMemoryStore();
  const rootKey = await openRootKey(store, [first], randomBytes);
  // Which key, where, is stored; who asks is not.
  const later = createAwsKmsProtector(connection);
  assert.deepEqual(await openRootKey(store, [later], randomBytes), rootKey);
  assert.equal((await storedRecord(store)).includes(SECRET), false);

  const nobody = { caFile, credentials: { accessKeyId: 'nobody', secretAccessKey: SECRET } };
  await assert.rejects(
    openRootKey(store, [createAwsKmsProtector(nobody)], randomBytes),
    /The KMS that wraps the root key does not give it \(AccessDeniedException/,
  );
  assert.ok(keyId);
});
