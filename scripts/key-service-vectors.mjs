#!/usr/bin/env node
/**
 * Makes `test/vectors/key-service-data.json`: a data directory and a backup as the present key service writes them, and what was put
 * in. Later versions must open it. Run it again only to add another file for a new version: `node scripts/key-service-vectors.mjs FILE`.
 */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { gzipSync } from 'node:zlib';
import { root } from './steps.mjs';

const [output] = process.argv.slice(2);
if (output === undefined) throw new Error('Say where to write: node scripts/key-service-vectors.mjs FILE');

const need = createRequire(join(root, 'packages/key-service/package.json'));
const { createBackup, openRootKey, parsePrincipals, startKeyService, createRootKeyProtector } = await import(
  join(root, 'packages/key-service/dist/index.js')
);
const { openLmdbStore } = await import(join(root, 'packages/storage/dist/index.js'));
const kms = need('@aws-sdk/client-kms');
const { pino } = need('pino');
const { Registry } = need('prom-client');

const region = 'eu-central-1';
const accessKey = { id: 'AKIAVECTORS000000001', secret: 'secret-of-the-vectors' };
const users = [{ name: 'admin', accessKeys: [accessKey], policies: ['AdministratorAccess'] }];
const principals = JSON.stringify({ accounts: [{ id: '111122223333', users }] });
const folder = mkdtempSync(join(tmpdir(), 'waxseal-vectors-'));
const dataDir = join(folder, 'data');
const store = await openLmdbStore({ path: join(dataDir, 'store') });
const service = await startKeyService({
  store,
  dataDir,
  insecureHttp: true,
  principals: parsePrincipals(principals),
  logger: pino({ level: 'error' }),
  registry: new Registry(),
  now: Date.now,
  randomBytes,
});
const client = new kms.KMSClient({
  endpoint: service.endpoint,
  region,
  credentials: { accessKeyId: accessKey.id, secretAccessKey: accessKey.secret },
});
const send = (name, input) => client.send(new kms[`${name}Command`](input));
const base64 = (bytes) => Buffer.from(bytes).toString('base64');
const create = async (input) => (await send('CreateKey', input)).KeyMetadata.KeyId;

const plaintext = Buffer.from('kept from version to version');
const EncryptionContext = { app: 'vectors' };
const symmetric = await create({ Description: 'symmetric', Tags: [{ TagKey: 'team', TagValue: 'red' }] });
await send('CreateAlias', { AliasName: 'alias/vectors', TargetKeyId: symmetric });
const ciphertexts = [];
for (let i = 0; i < 3; i++) {
  const answer = await send('Encrypt', { KeyId: symmetric, Plaintext: plaintext, EncryptionContext });
  ciphertexts.push(base64(answer.CiphertextBlob));
  if (i < 2) await send('RotateKeyOnDemand', { KeyId: symmetric });
}
await send('EnableKeyRotation', { KeyId: symmetric, RotationPeriodInDays: 100 });
const GranteePrincipal = 'arn:aws:iam::111122223333:user/admin';
const grant = await send('CreateGrant', {
  KeyId: symmetric,
  GranteePrincipal,
  Operations: ['Decrypt'],
  Name: 'vectors',
});
const multiRegion = await create({ MultiRegion: true });
await send('ReplicateKey', { KeyId: multiRegion, ReplicaRegion: 'us-east-1' });
const disabled = await create({ Description: 'disabled' });
await send('DisableKey', { KeyId: disabled });
const pendingDeletion = await create({ Description: 'pending deletion' });
await send('ScheduleKeyDeletion', { KeyId: pendingDeletion, PendingWindowInDays: 30 });
const pendingImport = await create({ Origin: 'EXTERNAL' });
const hmac = await create({ KeySpec: 'HMAC_256', KeyUsage: 'GENERATE_VERIFY_MAC' });
const macOf = { KeyId: hmac, Message: plaintext, MacAlgorithm: 'HMAC_SHA_256' };
const { Mac } = await send('GenerateMac', macOf);
const signing = {};
for (const [KeySpec, SigningAlgorithm] of [
  ['ECC_NIST_P256', 'ECDSA_SHA_256'],
  ['ECC_NIST_EDWARDS25519', 'ED25519_SHA_512'],
  ['RSA_2048', 'RSASSA_PSS_SHA_256'],
  ['ML_DSA_44', 'ML_DSA_SHAKE_256'],
]) {
  const KeyId = await create({ KeySpec, KeyUsage: 'SIGN_VERIFY' });
  const { Signature } = await send('Sign', { KeyId, Message: plaintext, SigningAlgorithm });
  signing[KeySpec] = { keyId: KeyId, algorithm: SigningAlgorithm, signature: base64(Signature) };
}
client.destroy();
await service.close();

const rootKey = await openRootKey(
  store,
  [createRootKeyProtector({ kind: 'file' }, dataDir, randomBytes)],
  randomBytes,
);
const backup = [];
for await (const piece of (await createBackup(store, rootKey, Date.now(), randomBytes)).file)
  backup.push(piece);
const madeAtMs = Date.now();
await store.close();

const files = {};
for (const entry of readdirSync(dataDir, { recursive: true, withFileTypes: true })) {
  const path = join(entry.parentPath, entry.name);
  // Locks belong to a process, the reserve is free space.
  if (!entry.isFile() || /(lock|reserve)/.test(entry.name)) continue;
  files[relative(dataDir, path)] = base64(gzipSync(readFileSync(path), { level: 9 }));
}
const version = JSON.parse(readFileSync(join(root, 'packages/key-service/package.json'), 'utf8')).version;
const vectors = {
  version,
  madeAtMs,
  region,
  principals,
  plaintext: base64(plaintext),
  symmetric: { keyId: symmetric, ciphertexts, encryptionContext: EncryptionContext, grantId: grant.GrantId },
  multiRegion: { keyId: multiRegion, replicaRegion: 'us-east-1' },
  states: { [disabled]: 'Disabled', [pendingDeletion]: 'PendingDeletion', [pendingImport]: 'PendingImport' },
  hmac: { keyId: hmac, algorithm: 'HMAC_SHA_256', mac: base64(Mac) },
  signing,
  backupGzip: base64(gzipSync(Buffer.concat(backup), { level: 9 })),
  filesGzip: files,
};
writeFileSync(output, `${JSON.stringify(vectors, null, 2)}\n`);
rmSync(folder, { recursive: true });
for (const [path, content] of Object.entries(files)) console.log(`${content.length} ${path}`);
