// Goal: key material is imported, rotated, deleted and expires as AWS says. Method: the real SDK wraps material the way AWS's
// guide tells users to (RSA-OAEP, and AES-KWP by OpenSSL's own cipher), the clock is moved, the service is restarted.
import assert from 'node:assert/strict';
import {
  constants,
  createCipheriv,
  createPublicKey,
  generateKeyPairSync,
  publicEncrypt,
  randomBytes,
} from 'node:crypto';
import { test, type TestContext } from 'node:test';
import {
  CancelKeyDeletionCommand,
  CreateKeyCommand,
  type CreateKeyCommandInput,
  DecryptCommand,
  DeleteImportedKeyMaterialCommand,
  DescribeKeyCommand,
  EnableKeyCommand,
  EnableKeyRotationCommand,
  EncryptCommand,
  GetKeyRotationStatusCommand,
  GetParametersForImportCommand,
  ImportKeyMaterialCommand,
  type ImportKeyMaterialCommandInput,
  type ImportKeyMaterialCommandOutput,
  type KeyMetadata,
  type KMSClient,
  ListKeyRotationsCommand,
  RotateKeyOnDemandCommand,
  type RotationsListEntry,
  ScheduleKeyDeletionCommand,
} from '@aws-sdk/client-kms';
import { parseKeyRecord } from '../keys/key-record.js';
import { keyRecordKey } from '../keys/store-keys.js';
import { createMemoryStore, type MemoryStore } from '../testing/memory-store.js';
import { startTestService, type TestService } from '../testing/harness.js';
import { rejectsWith } from '../testing/rejects.js';

const START = Date.parse('2026-05-05T12:00:00Z');
const DAY_MS = 86_400_000;

type Algorithm =
  'RSAES_OAEP_SHA_1' | 'RSAES_OAEP_SHA_256' | 'RSA_AES_KEY_WRAP_SHA_1' | 'RSA_AES_KEY_WRAP_SHA_256';

interface Importing {
  readonly kms: TestService;
  readonly clock: { nowMs: number };
  readonly store: MemoryStore;
  readonly client: () => KMSClient;
}

async function start(t: TestContext): Promise<Importing> {
  const clock = { nowMs: START };
  const store = createMemoryStore();
  const kms = await startTestService({ store, now: () => clock.nowMs });
  t.after(() => kms.close());
  return { kms, clock, store, client: () => kms.client() };
}

async function createExternalKey(client: KMSClient, input: CreateKeyCommandInput = {}): Promise<KeyMetadata> {
  const { KeyMetadata } = await client.send(new CreateKeyCommand({ Origin: 'EXTERNAL', ...input }));
  assert.ok(KeyMetadata);
  return KeyMetadata;
}

function wrap(algorithm: Algorithm, spki: Uint8Array, material: Buffer): Buffer {
  const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
  const oaepHash = algorithm.endsWith('SHA_1') ? 'sha1' : 'sha256';
  const oaep = (message: Buffer): Buffer =>
    publicEncrypt({ key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash }, message);
  if (algorithm.startsWith('RSAES')) return oaep(material);
  const aesKey = randomBytes(32);
  const cipher = createCipheriv('id-aes256-wrap-pad', aesKey, Buffer.from('a65959a6', 'hex'));
  return Buffer.concat([oaep(aesKey), cipher.update(material), cipher.final()]);
}

async function importMaterial(
  client: KMSClient,
  KeyId: string | undefined,
  material: Buffer,
  input: Partial<ImportKeyMaterialCommandInput> = {},
  algorithm: Algorithm = 'RSAES_OAEP_SHA_256',
): Promise<ImportKeyMaterialCommandOutput> {
  const { ImportToken, PublicKey } = await client.send(
    new GetParametersForImportCommand({ KeyId, WrappingAlgorithm: algorithm, WrappingKeySpec: 'RSA_2048' }),
  );
  return client.send(
    new ImportKeyMaterialCommand({
      KeyId,
      ImportToken,
      EncryptedKeyMaterial: wrap(algorithm, PublicKey ?? Buffer.alloc(0), material),
      ...(input.ValidTo === undefined ? { ExpirationModel: 'KEY_MATERIAL_DOES_NOT_EXPIRE' } : {}),
      ...input,
    }),
  );
}

const describe = async (client: KMSClient, KeyId: string | undefined): Promise<KeyMetadata> => {
  const { KeyMetadata } = await client.send(new DescribeKeyCommand({ KeyId }));
  assert.ok(KeyMetadata);
  return KeyMetadata;
};

const listMaterials = async (
  client: KMSClient,
  KeyId: string | undefined,
): Promise<readonly RotationsListEntry[]> => {
  const { Rotations = [] } = await client.send(
    new ListKeyRotationsCommand({ KeyId, IncludeKeyMaterial: 'ALL_KEY_MATERIAL' }),
  );
  return Rotations;
};

const encrypt = async (client: KMSClient, KeyId: string | undefined): Promise<Uint8Array> => {
  const { CiphertextBlob } = await client.send(new EncryptCommand({ KeyId, Plaintext: Buffer.from('kept') }));
  assert.ok(CiphertextBlob);
  return CiphertextBlob;
};

const decrypt = async (client: KMSClient, CiphertextBlob: Uint8Array): Promise<string> => {
  const { Plaintext } = await client.send(new DecryptCommand({ CiphertextBlob }));
  return Buffer.from(Plaintext ?? []).toString();
};

test('a key of origin EXTERNAL waits for its material, takes it, and loses it again', async (t) => {
  const { client: clientOf } = await start(t);
  const client = clientOf();
  const created = await createExternalKey(client);
  const { KeyId, Arn } = created;
  assert.equal(created.KeyState, 'PendingImport');
  assert.equal(created.Enabled, false);
  assert.equal(created.Origin, 'EXTERNAL');
  assert.equal(created.CurrentKeyMaterialId, undefined);
  assert.equal(created.ExpirationModel, undefined);
  await rejectsWith(encrypt(client, KeyId), 'KMSInvalidStateException', `${Arn} is pending import.`);
  await rejectsWith(
    client.send(new EnableKeyCommand({ KeyId })),
    'KMSInvalidStateException',
    `${Arn} is pending import.`,
  );

  const material = randomBytes(32);
  const imported = await importMaterial(client, KeyId, material, {
    KeyMaterialDescription: 'made in a vault',
  });
  assert.equal(imported.KeyId, Arn);
  assert.match(imported.KeyMaterialId ?? '', /^[0-9a-f]{64}$/);
  const ready = await describe(client, KeyId);
  assert.equal(ready.KeyState, 'Enabled');
  assert.equal(ready.ExpirationModel, 'KEY_MATERIAL_DOES_NOT_EXPIRE');
  assert.equal(ready.ValidTo, undefined);
  assert.equal(ready.CurrentKeyMaterialId, imported.KeyMaterialId);
  const blob = await encrypt(client, KeyId);

  const deleted = await client.send(new DeleteImportedKeyMaterialCommand({ KeyId }));
  assert.deepEqual([deleted.KeyId, deleted.KeyMaterialId], [Arn, imported.KeyMaterialId]);
  const gone = await describe(client, KeyId);
  assert.equal(gone.KeyState, 'PendingImport');
  assert.equal(gone.ExpirationModel, undefined);
  await rejectsWith(
    client.send(new DecryptCommand({ CiphertextBlob: blob })),
    'KMSInvalidStateException',
    `${Arn} is pending import.`,
  );
  await client.send(new DeleteImportedKeyMaterialCommand({ KeyId }));

  await rejectsWith(importMaterial(client, KeyId, randomBytes(32)), 'IncorrectKeyMaterialException');
  await rejectsWith(
    importMaterial(client, KeyId, material, { KeyMaterialId: 'a'.repeat(64) }),
    'IncorrectKeyMaterialException',
  );
  const again = await importMaterial(client, KeyId, material, {
    ImportType: 'EXISTING_KEY_MATERIAL',
    KeyMaterialId: imported.KeyMaterialId,
  });
  assert.equal(again.KeyMaterialId, imported.KeyMaterialId);
  assert.equal(await decrypt(client, blob), 'kept');
  const [entry] = await listMaterials(client, KeyId);
  assert.deepEqual(entry, {
    ExpirationModel: 'KEY_MATERIAL_DOES_NOT_EXPIRE',
    ImportState: 'IMPORTED',
    KeyId,
    KeyMaterialDescription: 'made in a vault',
    KeyMaterialId: imported.KeyMaterialId,
    KeyMaterialState: 'CURRENT',
  });
});

for (const [algorithm, WrappingKeySpec, modulusBytes] of [
  ['RSAES_OAEP_SHA_1', 'RSA_2048', 256],
  ['RSAES_OAEP_SHA_256', 'RSA_3072', 384],
  ['RSA_AES_KEY_WRAP_SHA_1', 'RSA_2048', 256],
  ['RSA_AES_KEY_WRAP_SHA_256', 'RSA_2048', 256],
] as const) {
  test(`material wrapped with ${algorithm} is taken, and anything else is InvalidCiphertextException`, async (t) => {
    const { client: clientOf } = await start(t);
    const client = clientOf();
    const { KeyId } = await createExternalKey(client);
    const { ImportToken, PublicKey, ParametersValidTo } = await client.send(
      new GetParametersForImportCommand({ KeyId, WrappingAlgorithm: algorithm, WrappingKeySpec }),
    );
    assert.equal(ParametersValidTo?.getTime(), START + DAY_MS);
    const wrapped = wrap(algorithm, PublicKey ?? Buffer.alloc(0), randomBytes(32));
    const send = (EncryptedKeyMaterial: Buffer): Promise<unknown> =>
      client.send(
        new ImportKeyMaterialCommand({
          KeyId,
          ImportToken,
          EncryptedKeyMaterial,
          ExpirationModel: 'KEY_MATERIAL_DOES_NOT_EXPIRE',
        }),
      );
    for (const at of [0, 200, wrapped.length - 1]) {
      const broken = Buffer.from(wrapped);
      broken.writeUInt8(broken.readUInt8(at) ^ 1, at);
      await rejectsWith(send(broken), 'InvalidCiphertextException');
    }
    for (const length of [1, modulusBytes - 1, wrapped.length - 1]) {
      await rejectsWith(send(wrapped.subarray(0, length)), 'InvalidCiphertextException');
    }
    await send(wrapped);
    assert.equal((await describe(client, KeyId)).KeyState, 'Enabled');
  });
}

test('import tokens belong to one key, last a day, and survive a restart', async (t) => {
  const { kms, clock, client } = await start(t);
  const { KeyId } = await createExternalKey(client());
  const other = await createExternalKey(client());
  const parameters = await client().send(
    new GetParametersForImportCommand({
      KeyId,
      WrappingAlgorithm: 'RSAES_OAEP_SHA_256',
      WrappingKeySpec: 'RSA_2048',
    }),
  );
  const ImportToken = Buffer.from(parameters.ImportToken ?? []);
  const material = wrap('RSAES_OAEP_SHA_256', parameters.PublicKey ?? Buffer.alloc(0), randomBytes(32));
  const send = (id: string | undefined, token: Buffer): Promise<unknown> =>
    client().send(
      new ImportKeyMaterialCommand({
        KeyId: id,
        ImportToken: token,
        EncryptedKeyMaterial: material,
        ExpirationModel: 'KEY_MATERIAL_DOES_NOT_EXPIRE',
      }),
    );
  await rejectsWith(send(other.KeyId, ImportToken), 'InvalidImportTokenException');
  for (const token of [ImportToken.subarray(0, -1), Buffer.alloc(1), Buffer.alloc(6144)]) {
    await rejectsWith(send(KeyId, token), 'InvalidImportTokenException');
  }
  clock.nowMs = START + DAY_MS;
  await rejectsWith(send(KeyId, ImportToken), 'ExpiredImportTokenException');
  clock.nowMs = START + DAY_MS - 1;
  await kms.restart();
  await send(KeyId, ImportToken);
  assert.equal((await describe(client(), KeyId)).KeyState, 'Enabled');
});

test('material expires at its date, also while the process is down', async (t) => {
  const { kms, clock, client } = await start(t);
  const { KeyId, Arn } = await createExternalKey(client());
  const material = randomBytes(32);
  const ValidTo = new Date(START + 10 * DAY_MS);
  await importMaterial(client(), KeyId, material, { ValidTo });
  const ready = await describe(client(), KeyId);
  assert.deepEqual([ready.ExpirationModel, ready.ValidTo], ['KEY_MATERIAL_EXPIRES', ValidTo]);
  const blob = await encrypt(client(), KeyId);

  clock.nowMs = START + 10 * DAY_MS - 1;
  assert.equal(await decrypt(client(), blob), 'kept');
  clock.nowMs = START + 10 * DAY_MS;
  await rejectsWith(decrypt(client(), blob), 'KMSInvalidStateException', `${Arn} is pending import.`);
  assert.equal((await describe(client(), KeyId)).KeyState, 'PendingImport');

  await importMaterial(client(), KeyId, material, { ValidTo: new Date(START + 20 * DAY_MS) });
  assert.equal(await decrypt(client(), blob), 'kept');
  clock.nowMs = START + 30 * DAY_MS;
  await kms.restart();
  assert.match(kms.log(), /imported key material has expired and is deleted/);
  assert.equal((await describe(client(), KeyId)).KeyState, 'PendingImport');
  assert.deepEqual(
    (await listMaterials(client(), KeyId)).map(({ ImportState, ValidTo: until }) => [ImportState, until]),
    [['PENDING_IMPORT', undefined]],
  );
});

test('imported keys are rotated on demand, and need every material they ever had', async (t) => {
  const { client: clientOf } = await start(t);
  const client = clientOf();
  const { KeyId, Arn } = await createExternalKey(client);
  const [first, second] = [randomBytes(32), randomBytes(32)];
  const rotate = (): Promise<unknown> => client.send(new RotateKeyOnDemandCommand({ KeyId }));
  await rejectsWith(rotate(), 'KMSInvalidStateException', `${Arn} is pending import.`);
  const { KeyMaterialId: firstId } = await importMaterial(client, KeyId, first);
  await rejectsWith(
    rotate(),
    'KMSInvalidStateException',
    `No available key material pending rotation for the key: ${Arn}.`,
  );
  const old = await encrypt(client, KeyId);

  await rejectsWith(importMaterial(client, KeyId, second), 'IncorrectKeyMaterialException');
  await rejectsWith(
    importMaterial(client, KeyId, first, { ImportType: 'NEW_KEY_MATERIAL' }),
    'IncorrectKeyMaterialException',
  );
  const { KeyMaterialId: secondId } = await importMaterial(client, KeyId, second, {
    ImportType: 'NEW_KEY_MATERIAL',
  });
  await rejectsWith(
    importMaterial(client, KeyId, randomBytes(32), { ImportType: 'NEW_KEY_MATERIAL' }),
    'KMSInvalidStateException',
  );
  const states = async (): Promise<unknown> =>
    (await listMaterials(client, KeyId)).map(
      ({ KeyMaterialId, KeyMaterialState, ImportState, RotationType }) => [
        KeyMaterialId,
        KeyMaterialState,
        ImportState,
        RotationType,
      ],
    );
  assert.deepEqual(await states(), [
    [firstId, 'CURRENT', 'IMPORTED', undefined],
    [secondId, 'PENDING_ROTATION', 'IMPORTED', undefined],
  ]);
  await client.send(new DeleteImportedKeyMaterialCommand({ KeyId, KeyMaterialId: secondId }));
  assert.deepEqual(await states(), [[firstId, 'CURRENT', 'IMPORTED', undefined]]);
  assert.equal((await describe(client, KeyId)).KeyState, 'Enabled');

  await importMaterial(client, KeyId, second, { ImportType: 'NEW_KEY_MATERIAL' });
  await rotate();
  assert.deepEqual(await states(), [
    [firstId, 'NON_CURRENT', 'IMPORTED', undefined],
    [secondId, 'CURRENT', 'IMPORTED', 'ON_DEMAND'],
  ]);
  assert.equal(await decrypt(client, old), 'kept');
  assert.equal(await decrypt(client, await encrypt(client, KeyId)), 'kept');

  await client.send(new DeleteImportedKeyMaterialCommand({ KeyId, KeyMaterialId: firstId }));
  await client.send(new DeleteImportedKeyMaterialCommand({ KeyId }));
  await importMaterial(client, KeyId, second);
  assert.equal((await describe(client, KeyId)).KeyState, 'PendingImport');
  await importMaterial(client, KeyId, first);
  assert.equal((await describe(client, KeyId)).KeyState, 'Enabled');
  assert.equal(await decrypt(client, old), 'kept');
  await rejectsWith(
    client.send(new EnableKeyRotationCommand({ KeyId })),
    'UnsupportedOperationException',
    `${Arn} origin is EXTERNAL which is not valid for this operation.`,
  );
  await rejectsWith(client.send(new GetKeyRotationStatusCommand({ KeyId })), 'UnsupportedOperationException');
});

test('deleted and expired material leaves the store, its history too', async (t) => {
  const { client, clock, kms, store } = await start(t);
  const { KeyId, AWSAccountId = '', Arn = '' } = await createExternalKey(client());
  const recordKey = keyRecordKey(AWSAccountId, Arn.split(':')[3] ?? '', KeyId ?? '');
  const sealedNow = async (): Promise<readonly unknown[]> => {
    const { kv } = await store.get(recordKey);
    const record = kv && parseKeyRecord(kv.value);
    return record?.materials.map(({ sealed }) => typeof sealed) ?? [];
  };
  const material = randomBytes(32);
  const ValidTo = new Date(START + DAY_MS);
  await importMaterial(client(), KeyId, material, { ValidTo });
  assert.deepEqual(await sealedNow(), ['string']);
  await client().send(new DeleteImportedKeyMaterialCommand({ KeyId }));
  assert.deepEqual(await sealedNow(), ['undefined']);
  assert.equal((await store.get(recordKey)).kv?.modRevision, store.compactions.at(-1));

  await importMaterial(client(), KeyId, material, { ValidTo });
  assert.deepEqual(await sealedNow(), ['string']);
  clock.nowMs = START + DAY_MS;
  await kms.restart();
  assert.deepEqual(await sealedNow(), ['undefined']);
  const { modRevision = Infinity } = (await store.get(recordKey)).kv ?? {};
  assert.ok((store.compactions.at(-1) ?? 0) >= modRevision, 'no version before the last is kept');
});

test('HMAC and private keys are imported, in the form their spec wants', async (t) => {
  const { client: clientOf } = await start(t);
  const client = clientOf();
  const hmac = await createExternalKey(client, { KeySpec: 'HMAC_384', KeyUsage: 'GENERATE_VERIFY_MAC' });
  await rejectsWith(importMaterial(client, hmac.KeyId, randomBytes(32)), 'IncorrectKeyMaterialException');
  assert.equal((await importMaterial(client, hmac.KeyId, randomBytes(48))).KeyMaterialId, undefined);
  assert.equal((await describe(client, hmac.KeyId)).KeyState, 'Enabled');

  const pkcs8 = { type: 'pkcs8', format: 'der' } as const;
  const ec = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey.export(pkcs8);
  const signing = await createExternalKey(client, { KeySpec: 'ECC_NIST_P256', KeyUsage: 'SIGN_VERIFY' });
  await rejectsWith(importMaterial(client, signing.KeyId, randomBytes(32)), 'IncorrectKeyMaterialException');
  await rejectsWith(
    importMaterial(client, signing.KeyId, ec, { ImportType: 'NEW_KEY_MATERIAL' }),
    'UnsupportedOperationException',
  );
  await importMaterial(client, signing.KeyId, ec);
  assert.equal((await describe(client, signing.KeyId)).KeyState, 'Enabled');

  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export(pkcs8);
  const decrypting = await createExternalKey(client, { KeySpec: 'RSA_2048', KeyUsage: 'ENCRYPT_DECRYPT' });
  await rejectsWith(
    importMaterial(client, decrypting.KeyId, Buffer.from('x')),
    'UnsupportedOperationException',
  );
  await importMaterial(client, decrypting.KeyId, rsa, {}, 'RSA_AES_KEY_WRAP_SHA_256');
  assert.equal((await describe(client, decrypting.KeyId)).KeyState, 'Enabled');
  await rejectsWith(
    importMaterial(client, decrypting.KeyId, ec, {}, 'RSA_AES_KEY_WRAP_SHA_256'),
    'IncorrectKeyMaterialException',
  );
});

test('what cannot be imported is refused by name', async (t) => {
  const { client: clientOf } = await start(t);
  const client = clientOf();
  const { KeyId } = await createExternalKey(client);
  const plain = await createExternalKey(client, { Origin: 'AWS_KMS' });
  const parameters = { WrappingAlgorithm: 'RSAES_OAEP_SHA_256', WrappingKeySpec: 'RSA_2048' } as const;
  await rejectsWith(
    client.send(new GetParametersForImportCommand({ KeyId: plain.KeyId, ...parameters })),
    'UnsupportedOperationException',
    `${plain.Arn} origin is AWS_KMS which is not valid for this operation.`,
  );
  await rejectsWith(
    client.send(new GetParametersForImportCommand({ ...parameters, KeyId, WrappingKeySpec: 'SM2' })),
    'UnsupportedOperationException',
  );
  const send = (input: Partial<ImportKeyMaterialCommandInput>): Promise<unknown> =>
    client.send(
      new ImportKeyMaterialCommand({
        KeyId,
        ImportToken: Buffer.alloc(16),
        EncryptedKeyMaterial: Buffer.alloc(16),
        ...input,
      }),
    );
  await rejectsWith(
    send({ ExpirationModel: 'KEY_MATERIAL_EXPIRES' }),
    'ValidationException',
    'A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES',
  );
  await rejectsWith(send({}), 'ValidationException');
  const ValidTo = new Date(START + DAY_MS);
  await rejectsWith(
    send({ ExpirationModel: 'KEY_MATERIAL_DOES_NOT_EXPIRE', ValidTo }),
    'ValidationException',
  );
  await rejectsWith(send({ ValidTo: new Date(START) }), 'ValidationException');
  await rejectsWith(send({ ValidTo: new Date(START + 366 * DAY_MS) }), 'ValidationException');
  await rejectsWith(
    send({ ValidTo, ImportType: 'NEW_KEY_MATERIAL', KeyMaterialId: 'a'.repeat(64) }),
    'ValidationException',
  );
  await rejectsWith(importMaterial(client, KeyId, randomBytes(16)), 'IncorrectKeyMaterialException');
});

test('a key whose material went while it waited for its deletion is pending import afterwards', async (t) => {
  const { client: clientOf } = await start(t);
  const client = clientOf();
  const { KeyId, Arn } = await createExternalKey(client);
  await importMaterial(client, KeyId, randomBytes(32));
  await client.send(new ScheduleKeyDeletionCommand({ KeyId }));
  await rejectsWith(
    importMaterial(client, KeyId, randomBytes(32)),
    'KMSInvalidStateException',
    `${Arn} is pending deletion.`,
  );
  await client.send(new DeleteImportedKeyMaterialCommand({ KeyId }));
  assert.equal((await describe(client, KeyId)).KeyState, 'PendingDeletion');
  await client.send(new CancelKeyDeletionCommand({ KeyId }));
  assert.equal((await describe(client, KeyId)).KeyState, 'PendingImport');
});
