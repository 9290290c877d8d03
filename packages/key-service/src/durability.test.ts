// Goal: nothing acknowledged is lost by a restart, what is due by date happens also when the process was down, a wrong root
// key starts nothing, and no secret byte is in any file, log or metric. Method: the LMDB store, real restarts, a moved clock.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, readdir, readFile, rm, stat, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { gunzipSync } from 'node:zlib';
import {
  CreateAliasCommand,
  CreateKeyCommand,
  DecryptCommand,
  DescribeKeyCommand,
  EnableKeyRotationCommand,
  EncryptCommand,
  GenerateDataKeyCommand,
  GetKeyRotationStatusCommand,
  type KMSClient,
  ListAliasesCommand,
  ListKeyRotationsCommand,
  PutKeyPolicyCommand,
  ReEncryptCommand,
  RotateKeyOnDemandCommand,
  ScheduleKeyDeletionCommand,
  TagResourceCommand,
} from '@aws-sdk/client-kms';
import { openLmdbStore, type Store } from '@waxseal/storage';
import { KeyServiceError, type KeyServiceErrorCode } from './errors.js';
import { ACCOUNT, REGION, startTestService, type TestService } from './testing/harness.js';
import { rejectsWith } from './testing/rejects.js';

const START = Date.parse('2026-01-01T00:00:00Z');
const DAY_MS = 86_400_000;

interface Durable {
  readonly kms: TestService;
  readonly storePath: string;
  readonly store: Store;
  readonly clock: { nowMs: number };
}

async function startDurable(t: TestContext): Promise<Durable> {
  const folder = await mkdtemp(join(tmpdir(), 'waxseal-key-store-'));
  const storePath = join(folder, 'store');
  const store = await openLmdbStore({ path: storePath });
  const clock = { nowMs: START };
  const kms = await startTestService({ store, now: () => clock.nowMs });
  t.after(async () => {
    await kms.close();
    await rm(folder, { recursive: true, force: true });
  });
  return { kms, storePath, store, clock };
}

async function createKey(client: KMSClient): Promise<string> {
  const { KeyMetadata } = await client.send(new CreateKeyCommand({ Description: 'durable' }));
  return KeyMetadata?.KeyId ?? '';
}

async function encrypt(client: KMSClient, KeyId: string): Promise<Uint8Array> {
  const { CiphertextBlob } = await client.send(new EncryptCommand({ KeyId, Plaintext: Buffer.from('kept') }));
  return CiphertextBlob as Uint8Array;
}

test('keys, aliases, tags, settings and every backing key survive a restart', async (t) => {
  const { kms } = await startDurable(t);
  const before = kms.client();
  const KeyId = await createKey(before);
  const first = await encrypt(before, KeyId);
  await before.send(new RotateKeyOnDemandCommand({ KeyId }));
  const second = await encrypt(before, KeyId);
  await before.send(new CreateAliasCommand({ AliasName: 'alias/kept', TargetKeyId: KeyId }));
  await before.send(new TagResourceCommand({ KeyId, Tags: [{ TagKey: 'a', TagValue: 'b' }] }));
  await before.send(new EnableKeyRotationCommand({ KeyId, RotationPeriodInDays: 100 }));
  const { KeyMetadata } = await before.send(new DescribeKeyCommand({ KeyId }));
  await kms.restart();

  const after = kms.client();
  assert.deepEqual(
    (await after.send(new DescribeKeyCommand({ KeyId: 'alias/kept' }))).KeyMetadata,
    KeyMetadata,
  );
  for (const CiphertextBlob of [first, second]) {
    const { Plaintext } = await after.send(new DecryptCommand({ CiphertextBlob }));
    assert.equal(Buffer.from(Plaintext ?? []).toString(), 'kept');
  }
  const status = await after.send(new GetKeyRotationStatusCommand({ KeyId }));
  assert.equal(status.RotationPeriodInDays, 100);
});

test('a rotation that came due while the process was down happens at start, once', async (t) => {
  const { kms, clock } = await startDurable(t);
  const client = kms.client();
  const KeyId = await createKey(client);
  const old = await encrypt(client, KeyId);
  await client.send(new EnableKeyRotationCommand({ KeyId, RotationPeriodInDays: 90 }));
  clock.nowMs = START + 200 * DAY_MS;
  await kms.restart();

  const later = kms.client();
  const { Rotations } = await later.send(new ListKeyRotationsCommand({ KeyId }));
  assert.deepEqual(
    Rotations?.map(({ RotationType, RotationDate }) => [RotationType, RotationDate?.getTime()]),
    [['AUTOMATIC', clock.nowMs]],
  );
  const status = await later.send(new GetKeyRotationStatusCommand({ KeyId }));
  assert.equal(status.NextRotationDate?.getTime(), START + 270 * DAY_MS);
  const opened = await later.send(new DecryptCommand({ CiphertextBlob: old }));
  assert.equal(Buffer.from(opened.Plaintext ?? []).toString(), 'kept');
});

test('a rotation that comes due while the process runs happens before the next Encrypt', async (t) => {
  const { kms, clock } = await startDurable(t);
  const client = kms.client();
  const KeyId = await createKey(client);
  await client.send(new EnableKeyRotationCommand({ KeyId, RotationPeriodInDays: 90 }));
  clock.nowMs = START + 90 * DAY_MS;
  const later = kms.client();
  const blobs = await Promise.all(Array.from({ length: 8 }, () => encrypt(later, KeyId)));
  const { Rotations } = await later.send(new ListKeyRotationsCommand({ KeyId }));
  assert.equal(Rotations?.length, 1);
  for (const CiphertextBlob of blobs) {
    const { KeyMaterialId } = await later.send(new DecryptCommand({ CiphertextBlob }));
    assert.equal(KeyMaterialId, Rotations?.[0]?.KeyMaterialId);
  }
});

test('a waiting period runs on across restarts and ends with key, aliases and stored material gone', async (t) => {
  const { kms, clock, store, storePath } = await startDurable(t);
  const client = kms.client();
  const KeyId = await createKey(client);
  const CiphertextBlob = await encrypt(client, KeyId);
  await client.send(new CreateAliasCommand({ AliasName: 'alias/doomed', TargetKeyId: KeyId }));
  await client.send(new ScheduleKeyDeletionCommand({ KeyId, PendingWindowInDays: 7 }));
  const everything = { key: Buffer.from('/'), rangeEnd: Buffer.from('0') };
  const { kvs, revision } = await store.range(everything);
  const record = kvs.find(({ key }) => key.toString().endsWith(KeyId));
  const sealed = /"sealed":"([^"]+)"/.exec(record?.value.toString() ?? '')?.[1] ?? '';
  assert.ok(sealed.length > 50);

  clock.nowMs = START + 7 * DAY_MS - 1000;
  await kms.restart();
  const stillThere = await kms.client().send(new DescribeKeyCommand({ KeyId }));
  assert.equal(stillThere.KeyMetadata?.KeyState, 'PendingDeletion');

  clock.nowMs = START + 7 * DAY_MS;
  const late = kms.client();
  await rejectsWith(
    late.send(new DescribeKeyCommand({ KeyId })),
    'NotFoundException',
    `Key 'arn:aws:kms:${REGION}:${ACCOUNT}:key/${KeyId}' does not exist`,
  );
  await rejectsWith(late.send(new DecryptCommand({ CiphertextBlob })), 'AccessDeniedException');
  assert.deepEqual((await late.send(new ListAliasesCommand({}))).Aliases, []);
  const now = await store.range(everything);
  assert.equal(
    now.kvs.some(({ value }) => value.includes(sealed)),
    false,
  );
  await assert.rejects(store.range({ ...everything, revision }), { code: 'compacted' });
  await kms.restart();
  await rejectsWith(kms.client().send(new DescribeKeyCommand({ KeyId })), 'NotFoundException');
  assert.ok(storePath);
});

test('the root key file is for its owner only', async (t) => {
  const { kms } = await startDurable(t);
  const path = join(kms.dataDir, 'root.key');
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  await chmod(path, 0o640);
  await refusesToStart(kms, 'root-key-unreadable', /can be read by other users/);
  await chmod(path, 0o600);
  await kms.restart();
});

test('a missing, wrong or damaged root key starts nothing, and says what to do', async (t) => {
  const { kms } = await startDurable(t);
  const KeyId = await createKey(kms.client());
  const path = join(kms.dataDir, 'root.key');
  const good = await readFile(path);

  await unlink(path);
  await refusesToStart(
    kms,
    'root-key-missing',
    /is missing, but the store holds keys .* Put the file back from your backup/,
  );
  assert.equal((await readdir(kms.dataDir)).includes('root.key'), false);

  await writeFile(path, `waxseal-root-key-v1:${randomBytes(32).toString('base64')}\n`, { mode: 0o600 });
  await refusesToStart(kms, 'root-key-wrong', /is not the one that sealed the keys in this store/);

  for (const text of ['', 'x', good.toString().slice(0, -10), `${good.toString()}x`]) {
    await writeFile(path, text);
    await refusesToStart(kms, 'root-key-unreadable', /is not a root key file/);
  }
  await writeFile(path, good);
  await kms.restart();
  assert.ok(await encrypt(kms.client(), KeyId));
});

async function refusesToStart(kms: TestService, code: KeyServiceErrorCode, message: RegExp): Promise<void> {
  await assert.rejects(kms.restart(), (error) => {
    assert.ok(error instanceof KeyServiceError);
    assert.equal(error.code, code);
    assert.match(error.message, message);
    return true;
  });
}

test('plaintexts, data keys, root key and signing secrets are in no file, log or metric', async (t) => {
  const { kms, storePath } = await startDurable(t);
  const client = kms.client();
  const KeyId = await createKey(client);
  const marker = randomBytes(24);
  const { CiphertextBlob } = await client.send(new EncryptCommand({ KeyId, Plaintext: marker }));
  await client.send(new DecryptCommand({ CiphertextBlob }));
  await client.send(new ReEncryptCommand({ CiphertextBlob, DestinationKeyId: KeyId }));
  const dataKey = await client.send(new GenerateDataKeyCommand({ KeyId, KeySpec: 'AES_256' }));
  // Failing calls carry the marker too: as a plaintext that is too long, as a wrong type, as a policy.
  const long = Buffer.concat([marker, Buffer.alloc(4096)]);
  await rejectsWith(client.send(new EncryptCommand({ KeyId, Plaintext: long })), 'ValidationException');
  await rejectsWith(
    client.send(new PutKeyPolicyCommand({ KeyId, Policy: '{not a policy' })),
    'MalformedPolicyDocumentException',
  );
  const metrics = await kms.registry.metrics();
  const rootKey = Buffer.from(
    (await readFile(join(kms.dataDir, 'root.key'), 'latin1')).split(':')[1] ?? '',
    'base64',
  );
  await kms.restart();

  const secrets = [
    marker,
    Buffer.from(dataKey.Plaintext ?? []),
    rootKey,
    Buffer.from('test-secret-access-key'),
  ];
  const files = [...(await filesUnder(kms.dataDir)), ...(await filesUnder(storePath))].filter(
    (path) => !path.endsWith('/root.key'),
  );
  assert.ok(files.some((path) => path.endsWith('.json.gz')));
  for (const path of files) {
    const raw = await readFile(path);
    holdsNone(path.endsWith('.gz') ? gunzipSync(raw) : raw, secrets, path);
  }
  holdsNone(Buffer.from(kms.log()), secrets, 'log');
  holdsNone(Buffer.from(metrics), secrets, 'metrics');
  assert.equal(metrics.includes(KeyId), false);
});

async function filesUnder(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

function holdsNone(content: Buffer, secrets: readonly Buffer[], where: string): void {
  const text = content.toString('latin1');
  secrets.forEach((secret, index) => {
    for (const form of [
      secret.toString('latin1'),
      secret.toString('hex'),
      secret.toString('base64').replace(/=+$/, ''),
    ]) {
      assert.equal(text.includes(form), false, `secret ${index} is in ${where}`);
    }
  });
}

test('a store that was lost beside its audit log is not begun anew', async (t) => {
  const { kms, store } = await startDurable(t);
  const keyId = await createKey(kms.client());
  const kept = await store.range({ key: Buffer.from([0]), rangeEnd: Buffer.from([0xff]) });
  const remove = kept.kvs.map(({ key }) => ({ kind: 'delete', key }) as const);
  await kms.service.close();
  await store.txn({ compare: [], success: remove, failure: [] });
  await assert.rejects(
    kms.restart(),
    /The key store is empty, but .*audit holds the records of one that was used/,
  );
  const restore = kept.kvs.map(({ key, value }) => ({ kind: 'put', key, value }) as const);
  await store.txn({ compare: [], success: restore, failure: [] });
  await kms.restart();
  assert.equal((await kms.client().send(new DescribeKeyCommand({ KeyId: keyId }))).KeyMetadata?.KeyId, keyId);
});
