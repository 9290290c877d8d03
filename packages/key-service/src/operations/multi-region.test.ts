// Goal: a multi-Region key is one key in several Regions: replicas decrypt each other's blobs, rotate together, differ in policy,
// tags and state, and the primary goes last. Method: real SDK clients of several Regions on one endpoint, a moved clock.
import assert from 'node:assert/strict';
import { constants, createPublicKey, publicEncrypt, randomBytes } from 'node:crypto';
import { test, type TestContext } from 'node:test';
import {
  CancelKeyDeletionCommand,
  CreateAliasCommand,
  CreateKeyCommand,
  type CreateKeyCommandInput,
  DecryptCommand,
  DeleteImportedKeyMaterialCommand,
  DescribeKeyCommand,
  DisableKeyCommand,
  EnableKeyRotationCommand,
  EncryptCommand,
  GetKeyPolicyCommand,
  GetKeyRotationStatusCommand,
  GetParametersForImportCommand,
  ImportKeyMaterialCommand,
  type ImportType,
  type KeyMetadata,
  ListAliasesCommand,
  ListKeyRotationsCommand,
  ListKeysCommand,
  ListResourceTagsCommand,
  ReplicateKeyCommand,
  type ReplicateKeyCommandOutput,
  RotateKeyOnDemandCommand,
  ScheduleKeyDeletionCommand,
  UpdatePrimaryRegionCommand,
} from '@aws-sdk/client-kms';
import { ACCOUNT, REGION, startTestService, type TestService } from '../testing/harness.js';
import { rejectsWith } from '../testing/rejects.js';

const START = Date.parse('2026-05-05T12:00:00Z');
const DAY_MS = 86_400_000;
const [WEST, SOUTH] = ['us-west-2', 'sa-east-1'] as const;

interface Family {
  readonly kms: TestService;
  readonly clock: { nowMs: number };
  readonly KeyId: string;
}

async function start(t: TestContext, input: CreateKeyCommandInput = {}): Promise<Family> {
  const clock = { nowMs: START };
  const kms = await startTestService({ now: () => clock.nowMs });
  t.after(() => kms.close());
  const { KeyMetadata } = await kms.client().send(new CreateKeyCommand({ MultiRegion: true, ...input }));
  return { kms, clock, KeyId: KeyMetadata?.KeyId ?? '' };
}

const client = ({ kms }: Family, region: string = REGION): ReturnType<TestService['client']> =>
  kms.client('admin', region);

const replicate = (family: Family, ReplicaRegion: string): Promise<ReplicateKeyCommandOutput> =>
  client(family).send(new ReplicateKeyCommand({ KeyId: family.KeyId, ReplicaRegion }));

async function describe(family: Family, region: string = REGION): Promise<KeyMetadata> {
  const { KeyMetadata } = await client(family, region).send(new DescribeKeyCommand({ KeyId: family.KeyId }));
  assert.ok(KeyMetadata);
  return KeyMetadata;
}

async function encrypt(family: Family, region: string = REGION): Promise<Uint8Array> {
  const { CiphertextBlob } = await client(family, region).send(
    new EncryptCommand({ KeyId: family.KeyId, Plaintext: Buffer.from('kept') }),
  );
  assert.ok(CiphertextBlob);
  return CiphertextBlob;
}

async function decrypt(family: Family, region: string, CiphertextBlob: Uint8Array): Promise<string> {
  const { Plaintext, KeyId } = await client(family, region).send(new DecryptCommand({ CiphertextBlob }));
  assert.equal(KeyId, arn(family.KeyId, region));
  return Buffer.from(Plaintext ?? []).toString();
}

const arn = (keyId: string, region: string): string => `arn:aws:kms:${region}:${ACCOUNT}:key/${keyId}`;
const member = (keyId: string, Region: string): object => ({ Arn: arn(keyId, Region), Region });

test('a multi-Region key is created and replicated as AWS answers it', async (t) => {
  const family = await start(t, { Description: 'primary', Tags: [{ TagKey: 'a', TagValue: 'b' }] });
  const { KeyId } = family;
  assert.match(KeyId, /^mrk-[0-9a-f]{32}$/);
  const created = await describe(family);
  assert.equal(created.MultiRegion, true);
  assert.deepEqual(created.MultiRegionConfiguration, {
    MultiRegionKeyType: 'PRIMARY',
    PrimaryKey: member(KeyId, REGION),
    ReplicaKeys: [],
  });
  await rejectsWith(
    client(family, WEST).send(new DescribeKeyCommand({ KeyId })),
    'NotFoundException',
    `Key '${arn(KeyId, WEST)}' does not exist`,
  );

  const { ReplicaKeyMetadata, ReplicaPolicy, ReplicaTags } = await replicate(family, WEST);
  const configuration = { PrimaryKey: member(KeyId, REGION), ReplicaKeys: [member(KeyId, WEST)] };
  assert.deepEqual(ReplicaKeyMetadata, {
    AWSAccountId: ACCOUNT,
    Arn: arn(KeyId, WEST),
    CreationDate: new Date(START),
    CurrentKeyMaterialId: created.CurrentKeyMaterialId,
    CustomerMasterKeySpec: 'SYMMETRIC_DEFAULT',
    Description: '',
    Enabled: false,
    EncryptionAlgorithms: ['SYMMETRIC_DEFAULT'],
    KeyId,
    KeyManager: 'CUSTOMER',
    KeySpec: 'SYMMETRIC_DEFAULT',
    KeyState: 'Creating',
    KeyUsage: 'ENCRYPT_DECRYPT',
    MultiRegion: true,
    MultiRegionConfiguration: { MultiRegionKeyType: 'REPLICA', ...configuration },
    Origin: 'AWS_KMS',
  });
  assert.match(ReplicaPolicy ?? '', /Enable IAM User Permissions/);
  assert.equal(ReplicaTags, undefined);
  assert.equal((await describe(family, WEST)).KeyState, 'Enabled');
  assert.deepEqual((await describe(family)).MultiRegionConfiguration, {
    MultiRegionKeyType: 'PRIMARY',
    ...configuration,
  });
  const { Tags } = await client(family, WEST).send(new ListResourceTagsCommand({ KeyId }));
  assert.deepEqual(Tags, []);
});

test('replicas decrypt each other’s blobs and are rotated together, by their primary', async (t) => {
  const family = await start(t);
  const { KeyId, clock } = family;
  await replicate(family, WEST);
  const old = await encrypt(family);
  await client(family).send(new RotateKeyOnDemandCommand({ KeyId }));
  await client(family).send(new EnableKeyRotationCommand({ KeyId, RotationPeriodInDays: 90 }));
  await replicate(family, SOUTH);
  const fromWest = await encrypt(family, WEST);
  for (const region of [REGION, WEST, SOUTH]) {
    assert.equal(await decrypt(family, region, old), 'kept');
    assert.equal(await decrypt(family, region, fromWest), 'kept');
    const status = await client(family, region).send(new GetKeyRotationStatusCommand({ KeyId }));
    assert.deepEqual([status.KeyRotationEnabled, status.RotationPeriodInDays], [true, 90]);
  }
  for (const command of [
    new RotateKeyOnDemandCommand({ KeyId }),
    new EnableKeyRotationCommand({ KeyId }),
    new ReplicateKeyCommand({ KeyId, ReplicaRegion: 'ap-south-1' }),
  ] as const) {
    await rejectsWith(
      client(family, WEST).send(command as EnableKeyRotationCommand),
      'UnsupportedOperationException',
    );
  }
  clock.nowMs = START + 90 * DAY_MS;
  await encrypt(family);
  const current = (await describe(family)).CurrentKeyMaterialId;
  for (const region of [REGION, WEST, SOUTH]) {
    assert.equal((await describe(family, region)).CurrentKeyMaterialId, current);
    const { Rotations } = await client(family, region).send(new ListKeyRotationsCommand({ KeyId }));
    assert.deepEqual(
      Rotations?.map(({ RotationType }) => RotationType),
      ['ON_DEMAND', 'AUTOMATIC'],
    );
  }
});

test('a family survives a restart, and its members are Region by Region what they were', async (t) => {
  const family = await start(t);
  const { KeyId, kms } = family;
  await client(family).send(
    new ReplicateKeyCommand({
      KeyId,
      ReplicaRegion: WEST,
      Description: 'there',
      Tags: [{ TagKey: 'where', TagValue: 'west' }],
    }),
  );
  await client(family, WEST).send(new CreateAliasCommand({ AliasName: 'alias/there', TargetKeyId: KeyId }));
  await client(family, WEST).send(new DisableKeyCommand({ KeyId }));
  const blob = await encrypt(family);
  await kms.restart();
  const there = await describe(family, WEST);
  assert.deepEqual([there.Description, there.KeyState], ['there', 'Disabled']);
  assert.equal((await describe(family)).KeyState, 'Enabled');
  const { Tags } = await client(family, WEST).send(new ListResourceTagsCommand({ KeyId }));
  assert.deepEqual(Tags, [{ TagKey: 'where', TagValue: 'west' }]);
  assert.equal(await decrypt(family, REGION, blob), 'kept');
  assert.equal((await client(family).send(new ListAliasesCommand({}))).Aliases?.length, 0);
});

test('the primary moves to another Region', async (t) => {
  const family = await start(t);
  const { KeyId } = family;
  await replicate(family, WEST);
  await replicate(family, SOUTH);
  await rejectsWith(
    client(family).send(new UpdatePrimaryRegionCommand({ KeyId, PrimaryRegion: 'ap-south-1' })),
    'NotFoundException',
  );
  await rejectsWith(
    client(family, WEST).send(new UpdatePrimaryRegionCommand({ KeyId, PrimaryRegion: SOUTH })),
    'UnsupportedOperationException',
  );
  await client(family).send(new UpdatePrimaryRegionCommand({ KeyId, PrimaryRegion: WEST }));
  for (const [region, MultiRegionKeyType] of [
    [WEST, 'PRIMARY'],
    [REGION, 'REPLICA'],
    [SOUTH, 'REPLICA'],
  ] as const) {
    assert.deepEqual((await describe(family, region)).MultiRegionConfiguration, {
      MultiRegionKeyType,
      PrimaryKey: member(KeyId, WEST),
      ReplicaKeys: [member(KeyId, REGION), member(KeyId, SOUTH)],
    });
  }
  await client(family, WEST).send(new ReplicateKeyCommand({ KeyId, ReplicaRegion: 'ap-south-1' }));
  await client(family, WEST).send(new RotateKeyOnDemandCommand({ KeyId }));
});

test('a primary is deleted after its last replica, and waits its own time then', async (t) => {
  const family = await start(t);
  const { KeyId, clock } = family;
  await replicate(family, WEST);
  const blob = await encrypt(family, WEST);
  const schedule = async (region: string, PendingWindowInDays: number): Promise<object> => {
    const command = new ScheduleKeyDeletionCommand({ KeyId, PendingWindowInDays });
    const { $metadata: _, ...answer } = await client(family, region).send(command);
    return answer;
  };
  assert.deepEqual(await schedule(REGION, 10), {
    KeyId: arn(KeyId, REGION),
    KeyState: 'PendingReplicaDeletion',
    PendingWindowInDays: 10,
  });
  const waiting = await describe(family);
  assert.deepEqual(
    [waiting.KeyState, waiting.DeletionDate, waiting.PendingDeletionWindowInDays],
    ['PendingReplicaDeletion', undefined, 10],
  );
  await rejectsWith(encrypt(family), 'KMSInvalidStateException');
  assert.equal(await decrypt(family, WEST, blob), 'kept');

  await client(family).send(new CancelKeyDeletionCommand({ KeyId }));
  assert.equal((await describe(family)).KeyState, 'Disabled');
  await schedule(REGION, 10);
  await schedule(WEST, 7);
  clock.nowMs = START + 7 * DAY_MS;
  await rejectsWith(
    client(family, WEST).send(new DescribeKeyCommand({ KeyId })),
    'NotFoundException',
    `Key '${arn(KeyId, WEST)}' does not exist`,
  );
  const last = await describe(family);
  assert.deepEqual(
    [last.KeyState, last.DeletionDate?.getTime(), last.PendingDeletionWindowInDays],
    ['PendingDeletion', START + 17 * DAY_MS, undefined],
  );
  assert.deepEqual(last.MultiRegionConfiguration?.ReplicaKeys, []);
  clock.nowMs = START + 17 * DAY_MS;
  await rejectsWith(client(family).send(new DescribeKeyCommand({ KeyId })), 'NotFoundException');
  assert.deepEqual((await client(family).send(new ListKeysCommand({}))).Keys, []);
});

test('what cannot be replicated is refused by name', async (t) => {
  const family = await start(t);
  const { KeyId, kms } = family;
  await replicate(family, WEST);
  await rejectsWith(replicate(family, WEST), 'AlreadyExistsException');
  await rejectsWith(replicate(family, REGION), 'AlreadyExistsException');
  await rejectsWith(replicate(family, 'nowhere'), 'ValidationException');
  await rejectsWith(
    client(family).send(
      new ReplicateKeyCommand({ KeyId, ReplicaRegion: SOUTH, Tags: [{ TagKey: 'aws:x', TagValue: '' }] }),
    ),
    'TagException',
  );
  await rejectsWith(
    client(family).send(new ReplicateKeyCommand({ KeyId, ReplicaRegion: SOUTH, Policy: '{' })),
    'MalformedPolicyDocumentException',
  );
  await rejectsWith(
    kms.client('reader').send(new ReplicateKeyCommand({ KeyId, ReplicaRegion: SOUTH })),
    'AccessDeniedException',
  );
  const single = await client(family).send(new CreateKeyCommand({}));
  await rejectsWith(
    client(family).send(new ReplicateKeyCommand({ KeyId: single.KeyMetadata?.KeyId, ReplicaRegion: SOUTH })),
    'UnsupportedOperationException',
  );
  await client(family).send(new DisableKeyCommand({ KeyId }));
  await rejectsWith(replicate(family, SOUTH), 'DisabledException');
  await rejectsWith(client(family, SOUTH).send(new GetKeyPolicyCommand({ KeyId })), 'NotFoundException');
});

test('replicating and rotating at once leaves every member with every material', async (t) => {
  const family = await start(t);
  const { KeyId } = family;
  const regions = [WEST, SOUTH, 'ap-south-1', 'eu-west-1'];
  await Promise.all([
    ...regions.map((region) => replicate(family, region)),
    client(family).send(new RotateKeyOnDemandCommand({ KeyId })),
    client(family).send(new RotateKeyOnDemandCommand({ KeyId })),
  ]);
  const blob = await encrypt(family);
  for (const region of regions) assert.equal(await decrypt(family, region, blob), 'kept');
  assert.equal((await describe(family)).MultiRegionConfiguration?.ReplicaKeys?.length, 4);
});

test('imported material is imported into every member, and rotated when all have it', async (t) => {
  const family = await start(t, { Origin: 'EXTERNAL' });
  const { KeyId } = family;
  const [first, second] = [randomBytes(32), randomBytes(32)];
  const importInto = async (region: string, material: Buffer, type?: ImportType): Promise<unknown> => {
    const { ImportToken, PublicKey } = await client(family, region).send(
      new GetParametersForImportCommand({
        KeyId,
        WrappingAlgorithm: 'RSAES_OAEP_SHA_256',
        WrappingKeySpec: 'RSA_2048',
      }),
    );
    const key = createPublicKey({ key: Buffer.from(PublicKey ?? []), format: 'der', type: 'spki' });
    return client(family, region).send(
      new ImportKeyMaterialCommand({
        KeyId,
        ImportToken,
        EncryptedKeyMaterial: publicEncrypt(
          { key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' },
          material,
        ),
        ExpirationModel: 'KEY_MATERIAL_DOES_NOT_EXPIRE',
        ...(type === undefined ? {} : { ImportType: type }),
      }),
    );
  };
  const states = async (region: string): Promise<unknown> => {
    const { Rotations } = await client(family, region).send(
      new ListKeyRotationsCommand({ KeyId, IncludeKeyMaterial: 'ALL_KEY_MATERIAL' }),
    );
    return Rotations?.map(({ KeyMaterialState, ImportState }) => `${KeyMaterialState} ${ImportState}`);
  };
  await importInto(REGION, first);
  await replicate(family, WEST);
  const blob = await encrypt(family);
  assert.equal((await describe(family, WEST)).KeyState, 'PendingImport');
  await rejectsWith(decrypt(family, WEST, blob), 'KMSInvalidStateException');
  await rejectsWith(importInto(WEST, second, 'NEW_KEY_MATERIAL'), 'UnsupportedOperationException');
  await rejectsWith(importInto(WEST, second), 'IncorrectKeyMaterialException');
  await importInto(WEST, first);
  assert.equal(await decrypt(family, WEST, blob), 'kept');

  await importInto(REGION, second, 'NEW_KEY_MATERIAL');
  assert.deepEqual(await states(REGION), [
    'CURRENT IMPORTED',
    'PENDING_MULTI_REGION_IMPORT_AND_ROTATION IMPORTED',
  ]);
  assert.deepEqual(await states(WEST), [
    'CURRENT IMPORTED',
    'PENDING_MULTI_REGION_IMPORT_AND_ROTATION PENDING_IMPORT',
  ]);
  const rotate = (): Promise<unknown> => client(family).send(new RotateKeyOnDemandCommand({ KeyId }));
  await rejectsWith(rotate(), 'KMSInvalidStateException');
  await importInto(WEST, second);
  assert.deepEqual(await states(REGION), ['CURRENT IMPORTED', 'PENDING_ROTATION IMPORTED']);
  await rotate();
  assert.deepEqual(await states(WEST), ['NON_CURRENT IMPORTED', 'CURRENT IMPORTED']);
  assert.equal(await decrypt(family, REGION, await encrypt(family, WEST)), 'kept');

  await client(family, WEST).send(new DeleteImportedKeyMaterialCommand({ KeyId }));
  assert.equal((await describe(family, WEST)).KeyState, 'PendingImport');
  assert.equal((await describe(family)).KeyState, 'Enabled');
  assert.equal(await decrypt(family, REGION, blob), 'kept');
});
