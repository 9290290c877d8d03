// Goal: what an earlier version wrote opens: its records, root key file, audit log and backup. Method: a data directory made by that
// version (scripts/key-service-vectors.mjs), used as of the day it was made; then its backup, restored into an empty one.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { test, type TestContext } from 'node:test';
import { gunzipSync } from 'node:zlib';
import {
  CreateGrantCommand,
  DecryptCommand,
  DescribeKeyCommand,
  GetKeyRotationStatusCommand,
  KMSClient,
  ListGrantsCommand,
  ListKeyRotationsCommand,
  ListResourceTagsCommand,
  type MacAlgorithmSpec,
  type SigningAlgorithmSpec,
  VerifyCommand,
  VerifyMacCommand,
} from '@aws-sdk/client-kms';
import { openLmdbStore } from '@waxseal/storage';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { parsePrincipals } from './access/principals-file.js';
import { verifyAudit } from './audit/verify.js';
import { restoreBackup } from './backup/backup.js';
import { startKeyService } from './key-service.js';
import { createFileProtector } from './root-key/file-protector.js';

interface Vectors {
  readonly madeAtMs: number;
  readonly region: string;
  readonly principals: string;
  readonly plaintext: string;
  readonly symmetric: {
    readonly keyId: string;
    readonly ciphertexts: readonly string[];
    readonly encryptionContext: Record<string, string>;
    readonly grantId: string;
  };
  readonly multiRegion: { readonly keyId: string; readonly replicaRegion: string };
  readonly states: Readonly<Record<string, string>>;
  readonly hmac: { readonly keyId: string; readonly algorithm: MacAlgorithmSpec; readonly mac: string };
  readonly signing: Readonly<
    Record<
      string,
      { readonly keyId: string; readonly algorithm: SigningAlgorithmSpec; readonly signature: string }
    >
  >;
  readonly backupGzip: string;
  readonly filesGzip: Readonly<Record<string, string>>;
}

const vectors = JSON.parse(
  readFileSync(new URL('../../../test/vectors/key-service-data.json', import.meta.url), 'utf8'),
) as Vectors;
const bytes = (base64: string): Buffer => Buffer.from(base64, 'base64');
const unpacked = (base64: string): Buffer => gunzipSync(bytes(base64));

/** Of the data directory, those that are wanted. */
async function unpack(t: TestContext, wanted: (path: string) => boolean): Promise<string> {
  const dataDir = await mkdtemp(join(tmpdir(), 'waxseal-vectors-'));
  t.after(() => rm(dataDir, { recursive: true, force: true }));
  for (const [path, content] of Object.entries(vectors.filesGzip)) {
    if (!wanted(path)) continue;
    await mkdir(dirname(join(dataDir, path)), { recursive: true, mode: 0o700 });
    await writeFile(join(dataDir, path), unpacked(content), { mode: 0o600 });
  }
  return dataDir;
}

/** Starts the service on it, on the day it was made, and asks for everything that was put in. */
async function opensWhole(t: TestContext, dataDir: string): Promise<void> {
  const now = (): number => vectors.madeAtMs;
  const store = await openLmdbStore({ path: join(dataDir, 'store') });
  const service = await startKeyService({
    store,
    dataDir,
    insecureHttp: true,
    principals: parsePrincipals(vectors.principals),
    logger: pino({ level: 'silent' }),
    registry: new Registry(),
    now,
    randomBytes,
  });
  const [accessKey] = vectors.principals.match(/AKIA\w+/) ?? [''];
  const [, secret = ''] = /"secret":"([^"]+)"/.exec(vectors.principals) ?? [];
  const connect = (region: string): KMSClient => {
    const { endpoint } = service;
    const credentials = { accessKeyId: accessKey, secretAccessKey: secret };
    const client = new KMSClient({ endpoint, region, credentials, maxAttempts: 1 });
    Object.assign(client.config, { systemClockOffset: now() - Date.now() });
    return client;
  };
  const client = connect(vectors.region);
  const replicaClient = connect(vectors.multiRegion.replicaRegion);
  t.after(async () => {
    client.destroy();
    replicaClient.destroy();
    await service.close();
    await store.close();
  });

  const { keyId: KeyId, ciphertexts, encryptionContext: EncryptionContext, grantId } = vectors.symmetric;
  const described = await client.send(new DescribeKeyCommand({ KeyId: 'alias/vectors' }));
  assert.equal(described.KeyMetadata?.KeyId, KeyId);
  const { Tags } = await client.send(new ListResourceTagsCommand({ KeyId }));
  assert.deepEqual(Tags, [{ TagKey: 'team', TagValue: 'red' }]);
  for (const ciphertext of ciphertexts) {
    const { Plaintext } = await client.send(
      new DecryptCommand({ CiphertextBlob: bytes(ciphertext), EncryptionContext }),
    );
    assert.deepEqual(Buffer.from(Plaintext ?? []), bytes(vectors.plaintext));
  }
  const { Rotations } = await client.send(new ListKeyRotationsCommand({ KeyId }));
  assert.equal(Rotations?.length, ciphertexts.length - 1);
  const status = await client.send(new GetKeyRotationStatusCommand({ KeyId }));
  assert.equal(status.RotationPeriodInDays, 100);

  const { Grants } = await client.send(new ListGrantsCommand({ KeyId }));
  assert.deepEqual(
    Grants?.map(({ GrantId }) => GrantId),
    [grantId],
  );
  const { GranteePrincipal } = Grants?.[0] ?? {};
  const again = { KeyId, GranteePrincipal, Operations: ['Decrypt'] as ['Decrypt'], Name: 'vectors' };
  assert.equal((await client.send(new CreateGrantCommand(again))).GrantId, grantId);

  const { keyId, replicaRegion } = vectors.multiRegion;
  const replica = await replicaClient.send(new DescribeKeyCommand({ KeyId: keyId }));
  assert.equal(replica.KeyMetadata?.MultiRegionConfiguration?.PrimaryKey?.Region, vectors.region);
  assert.equal(replica.KeyMetadata.MultiRegionConfiguration.ReplicaKeys?.[0]?.Region, replicaRegion);

  for (const [id, state] of Object.entries(vectors.states)) {
    const { KeyMetadata } = await client.send(new DescribeKeyCommand({ KeyId: id }));
    assert.equal(KeyMetadata?.KeyState, state);
  }
  const { hmac } = vectors;
  const Message = bytes(vectors.plaintext);
  const mac = { KeyId: hmac.keyId, MacAlgorithm: hmac.algorithm, Mac: bytes(hmac.mac), Message };
  assert.equal((await client.send(new VerifyMacCommand(mac))).MacValid, true);
  for (const { keyId: id, algorithm, signature } of Object.values(vectors.signing)) {
    const verified = await client.send(
      new VerifyCommand({ KeyId: id, SigningAlgorithm: algorithm, Signature: bytes(signature), Message }),
    );
    assert.equal(verified.SignatureValid, true);
  }
}

test('a data directory of version 0.1.0 opens', async (t) => {
  const dataDir = await unpack(t, () => true);
  const before = await verifyAudit({ folder: join(dataDir, 'audit') });
  assert.deepEqual(before.findings, []);
  assert.ok(before.records > 20);
  await opensWhole(t, dataDir);
});

test('a backup of version 0.1.0 is restored', async (t) => {
  const dataDir = await unpack(t, (path) => path === 'root.key');
  const store = await openLmdbStore({ path: join(dataDir, 'store') });
  const file = unpacked(vectors.backupGzip);
  await restoreBackup(store, () => Readable.from([file]), [createFileProtector(join(dataDir, 'root.key'))]);
  await store.close();
  await opensWhole(t, dataDir);
});
