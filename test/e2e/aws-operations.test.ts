/**
 * Goal: the real aws CLI drives the whole API: what it prints, in its formats, and what other programs make of it. Method: every
 * operation that docs/key-service.md lists is called, with the CLI where its model has it, else with the AWS SDK; openssl and
 * node:crypto judge signatures, MACs, public keys and imports.
 */
import assert from 'node:assert/strict';
import {
  constants,
  createCipheriv,
  createHmac,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  publicEncrypt,
  randomBytes,
} from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import {
  DecapsulateCommand,
  DeriveSharedSecretCommand,
  EncapsulateCommand,
  GetKeyLastUsageCommand,
  type KMSClient,
  ListKeyRotationsCommand,
  RotateKeyOnDemandCommand,
} from '@aws-sdk/client-kms';
import {
  ACCOUNT,
  OTHER_REGION,
  REGION,
  startKeyService,
  type KeyServiceUnderTest,
} from '../support/key-service.js';
import { succeed } from '../support/programs.js';
import { repository } from '../support/waxseal.js';

type Answer = Readonly<Record<string, unknown>>;

let kms: KeyServiceUnderTest;
let sdk: KMSClient;
const called = new Set<string>();

before(async () => {
  kms = await startKeyService();
  sdk = kms.client();
});
after(() => kms.close());

/** `create-key` as the API names it. */
const operationOf = (command: string): string =>
  command
    .split('-')
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
    .join('');

/** Runs `aws kms …`, which must succeed, and gives what it printed. */
async function text(command: string, ...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await kms.aws('kms', command, ...args);
  assert.equal(code, 0, `aws kms ${command}: ${stderr}`);
  called.add(operationOf(command));
  return stdout.trim();
}

async function aws(command: string, ...args: readonly string[]): Promise<Answer> {
  const printed = await text(command, ...args, '--output', 'json');
  return printed === '' ? {} : (JSON.parse(printed) as Answer);
}

/** What the CLI finds at `path` (JMESPath) in the answer. */
const query = async (path: string, command: string, ...args: readonly string[]): Promise<string> =>
  text(command, ...args, '--output', 'text', '--query', path);

const createKey = async (...args: readonly string[]): Promise<string> =>
  query('KeyMetadata.KeyId', 'create-key', ...args);

/** For `fileb://`, and for other programs. */
async function file(name: string, content: string | Buffer): Promise<string> {
  const path = join(kms.folder, name);
  await writeFile(path, content);
  return path;
}
const blob = async (name: string, content: string | Buffer): Promise<string> =>
  `fileb://${await file(name, content)}`;
const bytes = (value: unknown): Buffer => Buffer.from(String(value), 'base64');

test('symmetric keys: data keys, contexts, aliases, re-encryption', async () => {
  const [key, other] = await Promise.all([createKey('--description', 'one'), createKey()]);
  const arn = `arn:aws:kms:${REGION}:${ACCOUNT}:key/${key}`;
  assert.equal(await text('create-alias', '--alias-name', 'alias/cli', '--target-key-id', key), '');
  const context = ['--encryption-context', 'app=shop,env=test'];
  const sealed = await aws(
    'encrypt',
    '--key-id',
    'alias/cli',
    '--plaintext',
    await blob('plain', 'hello'),
    ...context,
  );
  assert.deepEqual(
    { ...sealed, CiphertextBlob: '' },
    { CiphertextBlob: '', KeyId: arn, EncryptionAlgorithm: 'SYMMETRIC_DEFAULT' },
  );
  const ciphertext = await blob('sealed', bytes(sealed['CiphertextBlob']));
  const [opened, moved, dataKey, bare, pair, barePair, random] = await Promise.all([
    aws('decrypt', '--ciphertext-blob', ciphertext, ...context),
    aws(
      're-encrypt',
      '--ciphertext-blob',
      ciphertext,
      '--source-encryption-context',
      'app=shop,env=test',
      '--destination-key-id',
      other,
    ),
    aws('generate-data-key', '--key-id', key, '--key-spec', 'AES_128'),
    aws('generate-data-key-without-plaintext', '--key-id', key, '--number-of-bytes', '40'),
    aws('generate-data-key-pair', '--key-id', key, '--key-pair-spec', 'ECC_NIST_P256'),
    aws('generate-data-key-pair-without-plaintext', '--key-id', key, '--key-pair-spec', 'ECC_SECG_P256K1'),
    aws('generate-random', '--number-of-bytes', '24'),
  ]);
  assert.equal(bytes(opened['Plaintext']).toString(), 'hello');
  assert.deepEqual([moved['SourceKeyId'], moved['KeyId']], [arn, arn.replace(key, other)]);
  assert.equal(bytes(dataKey['Plaintext']).length, 16);
  assert.deepEqual(
    Object.keys(bare)
      .toSorted()
      .filter((name) => name !== 'KeyMaterialId'),
    ['CiphertextBlob', 'KeyId'],
  );
  const made = createPublicKey({ key: bytes(pair['PublicKey']), format: 'der', type: 'spki' });
  assert.equal(made.asymmetricKeyDetails?.namedCurve, 'prime256v1');
  assert.equal(barePair['PrivateKeyPlaintext'], undefined);
  assert.equal(bytes(random['Plaintext']).length, 24);

  const table = await text(
    'list-aliases',
    '--key-id',
    key,
    '--output',
    'table',
    '--query',
    'Aliases[].[AliasName,TargetKeyId]',
  );
  assert.match(table, new RegExp(`\\| *alias/cli *\\| *${key} *\\|`));
  await text('update-alias', '--alias-name', 'alias/cli', '--target-key-id', other);
  const described = await query(
    'KeyMetadata.[KeyId,KeyState,KeySpec]',
    'describe-key',
    '--key-id',
    'alias/cli',
  );
  assert.equal(described, `${other}\tEnabled\tSYMMETRIC_DEFAULT`);
  await text('delete-alias', '--alias-name', 'alias/cli');
  const gone = await kms.aws('kms', 'describe-key', '--key-id', 'alias/cli');
  assert.equal(gone.code, 254);
  assert.match(
    gone.stderr,
    /An error occurred \(NotFoundException\) when calling the DescribeKey operation: Alias /,
  );
});

test('signatures and MACs hold for openssl and node:crypto', async () => {
  const [ec, rsa, mac] = await Promise.all([
    createKey('--key-spec', 'ECC_NIST_P384', '--key-usage', 'SIGN_VERIFY'),
    createKey('--key-spec', 'RSA_2048', '--key-usage', 'SIGN_VERIFY'),
    createKey('--key-spec', 'HMAC_256', '--key-usage', 'GENERATE_VERIFY_MAC'),
  ]);
  const message = await file('message', 'signed');
  const opensslVerifies = async (
    key: string,
    algorithm: string,
    ...options: readonly string[]
  ): Promise<string> => {
    const [signature, publicKey] = await Promise.all([
      aws('sign', '--key-id', key, '--message', `fileb://${message}`, '--signing-algorithm', algorithm),
      aws('get-public-key', '--key-id', key),
    ]);
    const der = await file(`${key}.der`, bytes(publicKey['PublicKey']));
    const signed = await file(`${key}.sig`, bytes(signature['Signature']));
    const verified = await aws(
      'verify',
      '--key-id',
      key,
      '--message',
      `fileb://${message}`,
      '--signature',
      `fileb://${signed}`,
      '--signing-algorithm',
      algorithm,
    );
    assert.equal(verified['SignatureValid'], true);
    return succeed('openssl', [
      'dgst',
      ...options,
      '-verify',
      der,
      '-keyform',
      'DER',
      '-signature',
      signed,
      message,
    ]);
  };
  const pss = ['-sigopt', 'rsa_padding_mode:pss', '-sigopt', 'rsa_pss_saltlen:digest'];
  assert.match(await opensslVerifies(ec, 'ECDSA_SHA_384', '-sha384'), /Verified OK/);
  assert.match(await opensslVerifies(rsa, 'RSASSA_PSS_SHA_512', '-sha512', ...pss), /Verified OK/);
  const { Mac } = await aws(
    'generate-mac',
    '--key-id',
    mac,
    '--message',
    `fileb://${message}`,
    '--mac-algorithm',
    'HMAC_SHA_256',
  );
  const macFile = await blob('mac', bytes(Mac));
  const valid = await aws(
    'verify-mac',
    '--key-id',
    mac,
    '--message',
    `fileb://${message}`,
    '--mac',
    macFile,
    '--mac-algorithm',
    'HMAC_SHA_256',
  );
  assert.equal(valid['MacValid'], true);
  const other = await kms.aws(
    'kms',
    'verify',
    '--key-id',
    ec,
    '--message',
    'b3RoZXI=',
    '--signature',
    `fileb://${join(kms.folder, `${ec}.sig`)}`,
    '--signing-algorithm',
    'ECDSA_SHA_384',
  );
  assert.match(other.stderr, /KMSInvalidSignatureException/);
});

const importParameters = (key: string, algorithm: string): Promise<Answer> =>
  aws(
    'get-parameters-for-import',
    '--key-id',
    key,
    '--wrapping-algorithm',
    algorithm,
    '--wrapping-key-spec',
    'RSA_2048',
  );

test('material wrapped outside is imported, used, deleted, and imported again', async () => {
  const material = randomBytes(32);
  const key = await createKey(
    '--origin',
    'EXTERNAL',
    '--key-spec',
    'HMAC_256',
    '--key-usage',
    'GENERATE_VERIFY_MAC',
  );
  const wrapping = await importParameters(key, 'RSAES_OAEP_SHA_256');
  const publicKey = await file('wrapping.der', bytes(wrapping['PublicKey']));
  const wrapped = join(kms.folder, 'wrapped');
  const oaep = ['rsa_padding_mode:oaep', 'rsa_oaep_md:sha256', 'rsa_mgf1_md:sha256'].flatMap((option) => [
    '-pkeyopt',
    option,
  ]);
  await succeed('openssl', [
    'pkeyutl',
    '-encrypt',
    '-pubin',
    '-keyform',
    'DER',
    '-inkey',
    publicKey,
    '-in',
    await file('material', material),
    '-out',
    wrapped,
    ...oaep,
  ]);
  const token = await blob('token', bytes(wrapping['ImportToken']));
  await text(
    'import-key-material',
    '--key-id',
    key,
    '--encrypted-key-material',
    `fileb://${wrapped}`,
    '--import-token',
    token,
    '--expiration-model',
    'KEY_MATERIAL_DOES_NOT_EXPIRE',
  );
  const { Mac } = await aws(
    'generate-mac',
    '--key-id',
    key,
    '--message',
    await blob('m', 'm'),
    '--mac-algorithm',
    'HMAC_SHA_256',
  );
  assert.deepEqual(bytes(Mac), createHmac('sha256', material).update('m').digest());
  await text('delete-imported-key-material', '--key-id', key);
  assert.equal(await query('KeyMetadata.KeyState', 'describe-key', '--key-id', key), 'PendingImport');

  // RSA_AES_KEY_WRAP (RFC 5649), which an older CLI's model does not know as an enumeration, but sends.
  const again = await importParameters(key, 'RSA_AES_KEY_WRAP_SHA_256');
  const aesKey = randomBytes(32);
  const cipher = createCipheriv('id-aes256-wrap-pad', aesKey, Buffer.from('a65959a6', 'hex'));
  const both = Buffer.concat([
    publicEncrypt(
      {
        key: createPublicKey({ key: bytes(again['PublicKey']), format: 'der', type: 'spki' }),
        padding: constants.RSA_PKCS1_OAEP_PADDING,
        oaepHash: 'sha256',
      },
      aesKey,
    ),
    cipher.update(material),
    cipher.final(),
  ]);
  await text(
    'import-key-material',
    '--key-id',
    key,
    '--encrypted-key-material',
    await blob('both', both),
    '--import-token',
    await blob('token2', bytes(again['ImportToken'])),
    '--expiration-model',
    'KEY_MATERIAL_EXPIRES',
    '--valid-to',
    new Date(Date.now() + 3_600_000).toISOString(),
  );
  assert.equal(
    await query('KeyMetadata.ExpirationModel', 'describe-key', '--key-id', key),
    'KEY_MATERIAL_EXPIRES',
  );
});

test('policies, grants, tags, rotation, Regions, deletion', async () => {
  const [key, primary] = await Promise.all([
    createKey('--tags', 'TagKey=a,TagValue=1'),
    createKey('--multi-region'),
  ]);
  await Promise.all([
    text('tag-resource', '--key-id', key, '--tags', 'TagKey=b,TagValue=2'),
    text('update-key-description', '--key-id', key, '--description', 'described'),
    text('enable-key-rotation', '--key-id', key),
  ]);
  await text('untag-resource', '--key-id', key, '--tag-keys', 'a');
  assert.equal(await query('Tags[].[TagKey,TagValue]', 'list-resource-tags', '--key-id', key), 'b\t2');
  assert.equal((await aws('get-key-rotation-status', '--key-id', key))['KeyRotationEnabled'], true);
  await text('disable-key-rotation', '--key-id', key);

  const policy = JSON.parse(
    await text('get-key-policy', '--key-id', key, '--policy-name', 'default', '--output', 'text'),
  ) as Answer;
  await text(
    'put-key-policy',
    '--key-id',
    key,
    '--policy-name',
    'default',
    '--policy',
    `file://${await file('policy.json', JSON.stringify({ ...policy, Id: 'cli' }))}`,
  );
  assert.deepEqual((await aws('list-key-policies', '--key-id', key))['PolicyNames'], ['default']);

  const reader = `arn:aws:iam::${ACCOUNT}:user/reader`;
  const root = `arn:aws:iam::${ACCOUNT}:root`;
  const [granted, revoked] = await Promise.all([
    aws(
      'create-grant',
      '--key-id',
      key,
      '--grantee-principal',
      reader,
      '--retiring-principal',
      root,
      '--operations',
      'Decrypt',
      'Encrypt',
      '--constraints',
      'EncryptionContextSubset={app=shop}',
    ),
    aws(
      'create-grant',
      '--key-id',
      key,
      '--grantee-principal',
      reader,
      '--operations',
      'DescribeKey',
      '--name',
      'named',
    ),
  ]);
  const grants = (await aws('list-grants', '--key-id', key))['Grants'] as readonly Answer[];
  assert.deepEqual(grants.map((grant) => grant['Name']).filter(Boolean), ['named']);
  assert.equal(
    ((await aws('list-retirable-grants', '--retiring-principal', root))['Grants'] as readonly Answer[])
      .length,
    1,
  );
  await Promise.all([
    text('retire-grant', '--grant-token', String(granted['GrantToken'])),
    text('revoke-grant', '--key-id', key, '--grant-id', String(revoked['GrantId'])),
  ]);

  await aws('replicate-key', '--key-id', primary, '--replica-region', OTHER_REGION);
  await text('update-primary-region', '--key-id', primary, '--primary-region', OTHER_REGION);
  const members = await query(
    'KeyMetadata.MultiRegionConfiguration.[MultiRegionKeyType,PrimaryKey.Region,ReplicaKeys[0].Region]',
    'describe-key',
    '--region',
    OTHER_REGION,
    '--key-id',
    primary,
  );
  assert.equal(members, `PRIMARY\t${OTHER_REGION}\t${REGION}`);

  await text('disable-key', '--key-id', key);
  await text('enable-key', '--key-id', key);
  const scheduled = await aws('schedule-key-deletion', '--key-id', key, '--pending-window-in-days', '7');
  assert.deepEqual([scheduled['KeyState'], scheduled['PendingWindowInDays']], ['PendingDeletion', 7]);
  await text('cancel-key-deletion', '--key-id', key);
  const listed = await query(`Keys[?KeyId=='${key}'].KeyArn`, 'list-keys', '--page-size', '2');
  assert.equal(listed, `arn:aws:kms:${REGION}:${ACCOUNT}:key/${key}`);
});

test('operations younger than the CLI', async () => {
  const [key, agreement, kem] = await Promise.all([
    createKey(),
    createKey('--key-spec', 'ECC_NIST_P256', '--key-usage', 'KEY_AGREEMENT'),
    createKey('--key-spec', 'ML_KEM_768', '--key-usage', 'ENCAPSULATE_DECAPSULATE'),
  ]);
  await sdk.send(new RotateKeyOnDemandCommand({ KeyId: key }));
  called.add('RotateKeyOnDemand');
  const { Rotations = [] } = await sdk.send(new ListKeyRotationsCommand({ KeyId: key }));
  called.add('ListKeyRotations');
  assert.deepEqual(
    Rotations.map(({ RotationType }) => RotationType),
    ['ON_DEMAND'],
  );
  const usage = await sdk.send(new GetKeyLastUsageCommand({ KeyId: key }));
  called.add('GetKeyLastUsage');
  assert.equal(usage.$metadata.httpStatusCode, 200);

  const mine = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { SharedSecret } = await sdk.send(
    new DeriveSharedSecretCommand({
      KeyId: agreement,
      KeyAgreementAlgorithm: 'ECDH',
      PublicKey: mine.publicKey.export({ type: 'spki', format: 'der' }),
    }),
  );
  called.add('DeriveSharedSecret');
  const theirs = createPublicKey({
    key: bytes((await aws('get-public-key', '--key-id', agreement))['PublicKey']),
    format: 'der',
    type: 'spki',
  });
  assert.deepEqual(
    Buffer.from(SharedSecret ?? []),
    diffieHellman({ privateKey: mine.privateKey, publicKey: theirs }),
  );

  const EncapsulationAlgorithm = 'ML_KEM';
  const made = await sdk.send(new EncapsulateCommand({ KeyId: kem, EncapsulationAlgorithm }));
  called.add('Encapsulate');
  const opened = await sdk.send(
    new DecapsulateCommand({
      KeyId: kem,
      SharedSecretCiphertextBlob: made.SharedSecretCiphertextBlob,
      EncapsulationAlgorithm,
    }),
  );
  called.add('Decapsulate');
  assert.deepEqual(opened.SharedSecret, made.SharedSecret);
});

test('every operation of the documentation was called', async () => {
  const documentation = await readFile(join(repository, 'docs/key-service.md'), 'utf8');
  const section = /## Operations\n([\s\S]*?);/.exec(documentation)?.[1] ?? '';
  const listed = section.split(/[\s,]+/).filter((word) => /^[A-Z]/.test(word));
  assert.ok(listed.length >= 48, listed.join());
  // Custom key stores need a token: their own tests have one.
  const missed = listed.filter((name) => !called.has(name) && !name.includes('CustomKeyStore'));
  assert.deepEqual(missed, []);
});
