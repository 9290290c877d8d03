// Goal: fixed keys are there from the first call on, the same in every data directory, once; whatever differs from what is stored,
// or is no key, refuses to start with a sentence that names it and never its material.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import {
  CreateAliasCommand,
  CreateKeyCommand,
  DecryptCommand,
  DescribeKeyCommand,
  EncryptCommand,
  GetKeyPolicyCommand,
  type KeyMetadata,
  ListKeysCommand,
  ListResourceTagsCommand,
  RotateKeyOnDemandCommand,
  SignCommand,
  TagResourceCommand,
  UpdateKeyDescriptionCommand,
} from '@aws-sdk/client-kms';
import { KeyServiceError, type KeyServiceErrorCode } from './errors.js';
import { type KeySeed, parseKeySeeds } from './keys/seed-file.js';
import { ACCOUNT, REGION, startTestService, type TestService } from './testing/harness.js';

const KEY_ID = '1234abcd-12ab-34cd-56ef-1234567890ab';
const MRK_ID = 'mrk-1234abcd12ab34cd56ef1234567890ab';
const MATERIAL = Buffer.alloc(32, 7).toString('base64');

const file = (...keys: readonly object[]): string =>
  JSON.stringify({ accounts: [{ id: ACCOUNT, keys: keys.map((key) => ({ region: REGION, ...key })) }] });

const seedsOf = (...keys: readonly object[]): readonly KeySeed[] =>
  parseKeySeeds(file(...keys), { allowPlaintext: true });

const seeded = (...keys: readonly object[]): Promise<TestService> =>
  startTestService({ seeds: seedsOf(...keys) });

async function describe(kms: TestService, KeyId: string, region: string = REGION): Promise<KeyMetadata> {
  const { KeyMetadata } = await kms.client('admin', region).send(new DescribeKeyCommand({ KeyId }));
  assert.ok(KeyMetadata);
  return KeyMetadata;
}

async function refuses(promise: Promise<unknown>, code: KeyServiceErrorCode, message: RegExp): Promise<void> {
  await assert.rejects(promise, (error) => {
    assert.ok(error instanceof KeyServiceError);
    assert.equal(error.code, code);
    assert.match(error.message, message);
    assert.ok(!error.message.includes(MATERIAL));
    return true;
  });
}

test('a fixed key has its id, alias, policy, tags and material', async (t) => {
  const policy = {
    Version: '2012-10-17',
    Statement: [
      { Effect: 'Allow', Principal: { AWS: `arn:aws:iam::${ACCOUNT}:root` }, Action: 'kms:*', Resource: '*' },
    ],
  };
  const kms = await seeded({
    keyId: KEY_ID,
    alias: 'alias/app',
    material: MATERIAL,
    description: 'fixed',
    tags: { team: 'a' },
    policy,
  });
  t.after(() => kms.close());
  const key = await describe(kms, 'alias/app');
  assert.deepEqual(
    [key.KeyId, key.Description, key.KeyState, key.Origin, key.KeySpec],
    [KEY_ID, 'fixed', 'Enabled', 'AWS_KMS', 'SYMMETRIC_DEFAULT'],
  );
  const { Policy } = await kms.client().send(new GetKeyPolicyCommand({ KeyId: KEY_ID }));
  assert.deepEqual(JSON.parse(Policy ?? ''), policy);
  const { Tags } = await kms.client().send(new ListResourceTagsCommand({ KeyId: KEY_ID }));
  assert.deepEqual(Tags, [{ TagKey: 'team', TagValue: 'a' }]);
});

test('data directories seeded alike read each other’s ciphertexts', async (t) => {
  const [one, other] = await Promise.all([
    seeded({ keyId: KEY_ID, material: MATERIAL }),
    seeded({ keyId: KEY_ID, material: MATERIAL }),
  ]);
  t.after(() => Promise.all([one.close(), other.close()]));
  const { CiphertextBlob } = await one
    .client()
    .send(new EncryptCommand({ KeyId: KEY_ID, Plaintext: Buffer.from('kept') }));
  const { Plaintext } = await other.client().send(new DecryptCommand({ CiphertextBlob }));
  assert.equal(Buffer.from(Plaintext ?? []).toString(), 'kept');
});

test('seeding again changes nothing, also after the key was changed through the API', async (t) => {
  const seeds = [
    { keyId: KEY_ID, alias: 'alias/app', description: 'fixed', material: MATERIAL },
    { keyId: MRK_ID },
    { keyId: MRK_ID, region: 'us-west-2' },
  ];
  const kms = await seeded(...seeds);
  t.after(() => kms.close());
  const before = await describe(kms, KEY_ID);
  await kms.restart();
  assert.deepEqual(await describe(kms, KEY_ID), before);
  const client = kms.client();
  await client.send(new UpdateKeyDescriptionCommand({ KeyId: KEY_ID, Description: 'changed' }));
  await client.send(new TagResourceCommand({ KeyId: KEY_ID, Tags: [{ TagKey: 'a', TagValue: 'b' }] }));
  await client.send(new RotateKeyOnDemandCommand({ KeyId: KEY_ID }));
  await kms.restart();
  assert.equal((await describe(kms, KEY_ID)).Description, 'changed');
  assert.equal((await kms.client().send(new ListKeysCommand({}))).Keys?.length, 2);
});

test('a multi-Region key is seeded Region by Region, the first one is the primary', async (t) => {
  const kms = await seeded({ keyId: MRK_ID, material: MATERIAL }, { keyId: MRK_ID, region: 'us-west-2' });
  t.after(() => kms.close());
  const [here, there] = [await describe(kms, MRK_ID), await describe(kms, MRK_ID, 'us-west-2')];
  assert.equal(here.MultiRegionConfiguration?.MultiRegionKeyType, 'PRIMARY');
  assert.equal(there.MultiRegionConfiguration?.MultiRegionKeyType, 'REPLICA');
  assert.equal(here.CurrentKeyMaterialId, there.CurrentKeyMaterialId);
});

test('keys of other specs, and keys that wait for an import, are seeded', async (t) => {
  const pkcs8 = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey.export({
    type: 'pkcs8',
    format: 'der',
  });
  const signing = { keyId: KEY_ID, spec: 'ECC_NIST_P256', usage: 'SIGN_VERIFY' };
  const external = KEY_ID.replace('1234', '4321');
  const kms = await seeded(
    { ...signing, material: pkcs8.toString('base64') },
    { keyId: external, origin: 'EXTERNAL' },
  );
  t.after(() => kms.close());
  const { Signature } = await kms.client().send(
    new SignCommand({
      KeyId: KEY_ID,
      Message: Buffer.from('x'),
      SigningAlgorithm: 'ECDSA_SHA_256',
    }),
  );
  assert.ok(Signature);
  assert.equal((await describe(kms, external)).KeyState, 'PendingImport');
});

test('what differs from the stored key refuses to start, and says what', async (t) => {
  const kms = await seeded({ keyId: KEY_ID, alias: 'alias/app', material: MATERIAL });
  t.after(() => kms.close());
  await kms.client().send(new CreateAliasCommand({ AliasName: 'alias/taken', TargetKeyId: KEY_ID }));
  const { KeyMetadata } = await kms.client().send(new CreateKeyCommand({}));
  const other = KEY_ID.replace('1234', '4321');
  const arn = `arn:aws:kms:${REGION}:${ACCOUNT}:key/${KEY_ID}`;
  for (const [seed, what] of [
    [{ keyId: KEY_ID, material: Buffer.alloc(32, 8).toString('base64') }, /its material is another/],
    [{ keyId: KEY_ID, spec: 'HMAC_256' }, /its spec is SYMMETRIC_DEFAULT there/],
    [{ keyId: KEY_ID, origin: 'EXTERNAL' }, /its origin is AWS_KMS there/],
    [{ keyId: KEY_ID, alias: 'alias/another' }, /its alias is different/],
    [{ keyId: KEY_ID, description: 'new', tags: { a: 'b' } }, /its description, tags are different/],
    [{ keyId: other, alias: 'alias/taken' }, /its alias alias\/taken points to another key/],
    [{ keyId: KeyMetadata?.KeyId, material: MATERIAL }, /its material is another/],
  ] as const) {
    await refuses(kms.restart(seedsOf(seed)), 'seed-conflict', what);
  }
  await refuses(kms.restart(seedsOf({ keyId: KEY_ID, alias: 'alias/x' })), 'seed-conflict', new RegExp(arn));
  await kms.restart(seedsOf({ keyId: KEY_ID, alias: 'alias/app' }));
  assert.equal((await describe(kms, 'alias/app')).KeyId, KEY_ID);
});

test('a policy that cannot be a key policy refuses to start', async () => {
  const Statement = [
    {
      Effect: 'Allow',
      Principal: { AWS: `arn:aws:iam::${ACCOUNT}:user/nobody-here` },
      Action: 'kms:*',
      Resource: '*',
    },
  ];
  for (const policy of ['{', { Version: '2012-10-17', Statement }]) {
    await refuses(seeded({ keyId: KEY_ID, policy }), 'invalid-seeds', /cannot be made/);
  }
});

test('the file is read strictly', () => {
  for (const [key, what] of [
    [{ keyId: 'fixed' }, /keys\[0\]\.keyId must be a UUID/],
    [{ keyId: KEY_ID, region: 'here' }, /keys\[0\]\.region must be a Region/],
    [{ keyId: KEY_ID, spec: 'AES' }, /keys\[0\]\.spec must be a key spec/],
    [{ keyId: KEY_ID, spec: 'RSA_2048' }, /usage must be ENCRYPT_DECRYPT or SIGN_VERIFY for RSA_2048/],
    [{ keyId: KEY_ID, usage: 'SIGN_VERIFY' }, /usage must be ENCRYPT_DECRYPT for SYMMETRIC_DEFAULT/],
    [{ keyId: KEY_ID, material: 'not base64' }, /material must be base64/],
    [
      { keyId: KEY_ID, material: 'AAAA' },
      /material is not key material of SYMMETRIC_DEFAULT: 32 bytes, in base64/,
    ],
    [{ keyId: KEY_ID, material: MATERIAL, origin: 'EXTERNAL' }, /import it/],
    [{ keyId: KEY_ID, alias: 'app' }, /alias must be alias\//],
    [{ keyId: KEY_ID, alias: 'alias/aws/x' }, /not alias\/aws\//],
    [{ keyId: KEY_ID, tags: ['a'] }, /tags must be a mapping/],
    [{ keyId: KEY_ID, policy: 7 }, /policy must be a policy document/],
    [{ keyId: KEY_ID, materials: [] }, /has an unknown member 'materials'/],
  ] as const) {
    assert.throws(() => seedsOf(key), { code: 'invalid-seeds', message: what });
  }
  assert.throws(() => seedsOf({ keyId: KEY_ID }, { keyId: KEY_ID }), /is there twice/);
  const alias = 'alias/app';
  const other = KEY_ID.replace(/^./, (digit) => (digit === 'f' ? '0' : 'f'));
  assert.throws(
    () => seedsOf({ keyId: KEY_ID, alias }, { keyId: other, alias }),
    /alias\/app is given to two keys/,
  );
  assert.throws(
    () => parseKeySeeds(file({ keyId: KEY_ID, material: MATERIAL }), { allowPlaintext: false }),
    /keys\[0\]\.material is key material in plaintext\. Start with --allow-plaintext-seeds/,
  );
  assert.deepEqual(parseKeySeeds('accounts: []', { allowPlaintext: false }), []);
  assert.throws(() => parseKeySeeds('accounts: [', { allowPlaintext: false }), { code: 'invalid-seeds' });
});
