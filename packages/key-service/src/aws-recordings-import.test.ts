// Goal: keys whose material is imported answer what AWS answers. Method: every call of the recordings that applies is made again, with
// material wrapped as AWS's guide says, and its answer compared member by member, its refusal word by word.
import assert from 'node:assert/strict';
import {
  constants,
  createCipheriv,
  createPublicKey,
  generateKeyPairSync,
  publicEncrypt,
  randomBytes,
} from 'node:crypto';
import { after, before, test } from 'node:test';
import { ACCOUNT, REGION, startTestService, type TestService } from './testing/harness.js';
import {
  answers,
  BLOB,
  call,
  createKey,
  DATE,
  MATERIAL_ID,
  type Members,
  refuses,
} from './testing/recordings.js';

const MESSAGE = randomBytes(40).toString('base64');
const DIGEST = randomBytes(32).toString('base64');

let kms: TestService;
before(async () => {
  kms = await startTestService();
});
after(() => kms.close());

const keyArn = (keyId: string): string => `arn:aws:kms:${REGION}:${ACCOUNT}:key/${keyId}`;

/** KeyMetadata of a key that waits for its material; `more` replaces and adds. */
const pendingImport = (keyId: string | RegExp, spec: string, more: Members): Members => ({
  AWSAccountId: ACCOUNT,
  Arn: typeof keyId === 'string' ? keyArn(keyId) : /^arn:/,
  CreationDate: DATE,
  CustomerMasterKeySpec: spec,
  Description: '',
  Enabled: false,
  KeyId: keyId,
  KeyManager: 'CUSTOMER',
  KeySpec: spec,
  KeyState: 'PendingImport',
  MultiRegion: false,
  Origin: 'EXTERNAL',
  ...more,
});

const IMPORTED = { Enabled: true, ExpirationModel: 'KEY_MATERIAL_DOES_NOT_EXPIRE', KeyState: 'Enabled' };

async function createExternal(spec: string, usage: string, more: Members): Promise<string> {
  const input = { Origin: 'EXTERNAL', KeySpec: spec, KeyUsage: usage };
  const KeyMetadata = pendingImport(/^[0-9a-f-]{36}$/, spec, { KeyUsage: usage, ...more });
  const created = await answers(kms, 'CreateKey', input, { KeyMetadata });
  return (created as { KeyMetadata: { KeyId: string } }).KeyMetadata.KeyId;
}

interface Parameters {
  readonly ImportToken: string;
  readonly PublicKey: string;
}

async function parametersForImport(keyId: string, algorithm: string): Promise<Parameters> {
  const input = { KeyId: keyId, WrappingAlgorithm: algorithm, WrappingKeySpec: 'RSA_2048' };
  const expected = { ImportToken: BLOB, KeyId: keyArn(keyId), ParametersValidTo: DATE, PublicKey: BLOB };
  return (await answers(kms, 'GetParametersForImport', input, expected)) as unknown as Parameters;
}

function wrap(material: Buffer, algorithm: string, publicKey: string): string {
  const key = createPublicKey({ key: Buffer.from(publicKey, 'base64'), format: 'der', type: 'spki' });
  const oaep = (message: Buffer): Buffer =>
    publicEncrypt({ key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' }, message);
  if (algorithm === 'RSAES_OAEP_SHA_256') return oaep(material).toString('base64');
  const aesKey = randomBytes(32);
  const cipher = createCipheriv('id-aes256-wrap-pad', aesKey, Buffer.from('a65959a6', 'hex'));
  return Buffer.concat([oaep(aesKey), cipher.update(material), cipher.final()]).toString('base64');
}

async function importInput(
  keyId: string,
  material: Buffer,
  algorithm = 'RSAES_OAEP_SHA_256',
): Promise<Members> {
  const { ImportToken, PublicKey } = await parametersForImport(keyId, algorithm);
  return { KeyId: keyId, ImportToken, EncryptedKeyMaterial: wrap(material, algorithm, PublicKey) };
}

const LASTING = { ExpirationModel: 'KEY_MATERIAL_DOES_NOT_EXPIRE' };
const pending = (keyId: string): string => `${keyArn(keyId)} is pending import.`;

test('a symmetric key: before its import, with its material, and after its deletion', async () => {
  const members = { EncryptionAlgorithms: ['SYMMETRIC_DEFAULT'], KeyUsage: 'ENCRYPT_DECRYPT' };
  const keyId = await createExternal('SYMMETRIC_DEFAULT', 'ENCRYPT_DECRYPT', members);
  const metadata = (more: Members = {}): Members => ({
    KeyMetadata: pendingImport(keyId, 'SYMMETRIC_DEFAULT', { ...members, ...more }),
  });
  const encrypt = { KeyId: keyId, Plaintext: MESSAGE };
  const named = { KeyId: keyId };
  const input = await importInput(keyId, randomBytes(32));
  await answers(kms, 'DescribeKey', named, metadata());
  await refuses(kms, 'Encrypt', encrypt, 'KMSInvalidStateException', pending(keyId));
  await refuses(
    kms,
    'ImportKeyMaterial',
    input,
    'ValidationException',
    'A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES',
  );
  const ids = { KeyId: keyArn(keyId), KeyMaterialId: MATERIAL_ID };
  const imported = await answers(kms, 'ImportKeyMaterial', { ...input, ...LASTING }, ids);
  const CurrentKeyMaterialId = imported['KeyMaterialId'];
  await answers(kms, 'DescribeKey', named, metadata({ ...IMPORTED, CurrentKeyMaterialId }));

  const common = { EncryptionAlgorithm: 'SYMMETRIC_DEFAULT', KeyId: keyArn(keyId) };
  const blob = await answers(kms, 'Encrypt', encrypt, { ...common, CiphertextBlob: BLOB });
  const { CiphertextBlob } = blob;
  await answers(
    kms,
    'Decrypt',
    { KeyId: keyId, CiphertextBlob },
    { ...common, KeyMaterialId: MATERIAL_ID, Plaintext: MESSAGE },
  );

  await answers(kms, 'DeleteImportedKeyMaterial', named, ids);
  const { KeyMetadata } = (await call(kms, 'DescribeKey', named)) as { KeyMetadata: Members };
  assert.equal(KeyMetadata['KeyState'], 'PendingImport');
  assert.equal(KeyMetadata['Enabled'], false);
  assert.ok(!('ExpirationModel' in KeyMetadata));
  await refuses(kms, 'Encrypt', encrypt, 'KMSInvalidStateException', pending(keyId));
  await refuses(kms, 'Decrypt', { CiphertextBlob }, 'KMSInvalidStateException', pending(keyId));
  const reEncrypt = { CiphertextBlob, DestinationKeyId: await createKey(kms) };
  await refuses(kms, 'ReEncrypt', reEncrypt, 'KMSInvalidStateException', pending(keyId));
});

const P256 = ['ECDSA_SHA_256'];
const RSA_SIGNING = [
  'RSASSA_PKCS1_V1_5_SHA_256',
  'RSASSA_PKCS1_V1_5_SHA_384',
  'RSASSA_PKCS1_V1_5_SHA_512',
  'RSASSA_PSS_SHA_256',
  'RSASSA_PSS_SHA_384',
  'RSASSA_PSS_SHA_512',
];
const DER = { type: 'pkcs8', format: 'der' } as const;
const SPKI = { type: 'spki', format: 'der' } as const;
const curve = (namedCurve: string): { privateKey: Buffer; publicKey: Buffer } =>
  generateKeyPairSync('ec', { namedCurve, privateKeyEncoding: DER, publicKeyEncoding: SPKI });
const rsa = (modulusLength: number): { privateKey: Buffer; publicKey: Buffer } =>
  generateKeyPairSync('rsa', { modulusLength, privateKeyEncoding: DER, publicKeyEncoding: SPKI });

for (const [spec, SigningAlgorithms, pair] of [
  ['ECC_NIST_P256', P256, curve('P-256')],
  ['ECC_NIST_P384', ['ECDSA_SHA_384'], curve('P-384')],
  ['ECC_NIST_P521', ['ECDSA_SHA_512'], curve('P-521')],
  ['ECC_SECG_P256K1', P256, curve('secp256k1')],
  ['RSA_2048', RSA_SIGNING, rsa(2048)],
] as const) {
  test(`a ${spec} key signs with what was imported`, async () => {
    const usage = 'SIGN_VERIFY';
    const keyId = await createExternal(spec, usage, { SigningAlgorithms });
    const metadata = (more: Members = {}): Members => ({
      KeyMetadata: pendingImport(keyId, spec, { KeyUsage: usage, SigningAlgorithms, ...more }),
    });
    const named = { KeyId: keyId };
    await answers(kms, 'DescribeKey', named, metadata());
    await refuses(kms, 'GetPublicKey', named, 'KMSInvalidStateException', pending(keyId));
    // Longer than RSA-OAEP takes: an AES key wraps it.
    const algorithm = pair.privateKey.length > 190 ? 'RSA_AES_KEY_WRAP_SHA_256' : 'RSAES_OAEP_SHA_256';
    const input = await importInput(keyId, pair.privateKey, algorithm);
    await call(kms, 'ImportKeyMaterial', { ...input, ...LASTING });
    await answers(kms, 'DescribeKey', named, metadata(IMPORTED));

    const { PublicKey } = (await call(kms, 'GetPublicKey', named)) ?? {};
    assert.equal(PublicKey, pair.publicKey.toString('base64'));
    const [SigningAlgorithm] = SigningAlgorithms;
    const common = { KeyId: keyArn(keyId), SigningAlgorithm };
    const message = { Message: MESSAGE, MessageType: 'RAW', SigningAlgorithm, ...named };
    const { Signature } = await answers(kms, 'Sign', message, { ...common, Signature: BLOB });
    await answers(kms, 'Verify', { ...message, Signature }, { ...common, SignatureValid: true });

    await call(kms, 'DeleteImportedKeyMaterial', named);
    await answers(kms, 'DescribeKey', named, metadata());
    await refuses(kms, 'Sign', message, 'KMSInvalidStateException', pending(keyId));
  });
}

for (const [spec, MacAlgorithm, bytes] of [
  ['HMAC_224', 'HMAC_SHA_224', 28],
  ['HMAC_256', 'HMAC_SHA_256', 32],
  ['HMAC_384', 'HMAC_SHA_384', 48],
  ['HMAC_512', 'HMAC_SHA_512', 64],
] as const) {
  test(`a key ${spec} makes MACs with what was imported`, async () => {
    const usage = 'GENERATE_VERIFY_MAC';
    const members = { KeyUsage: usage, MacAlgorithms: [MacAlgorithm] };
    const keyId = await createExternal(spec, usage, members);
    const metadata = (more: Members = {}): Members => ({
      KeyMetadata: pendingImport(keyId, spec, { ...members, ...more }),
    });
    const named = { KeyId: keyId };
    await answers(kms, 'DescribeKey', named, metadata());
    const input = await importInput(keyId, randomBytes(bytes));
    await call(kms, 'ImportKeyMaterial', { ...input, ...LASTING });
    await answers(kms, 'DescribeKey', named, metadata(IMPORTED));

    const common = { KeyId: keyArn(keyId), MacAlgorithm };
    const message = { Message: MESSAGE, MacAlgorithm, ...named };
    const { Mac } = await answers(kms, 'GenerateMac', message, { ...common, Mac: BLOB });
    await answers(kms, 'VerifyMac', { ...message, Mac }, { ...common, MacValid: true });

    await call(kms, 'DeleteImportedKeyMaterial', named);
    await answers(kms, 'DescribeKey', named, metadata());
    await refuses(kms, 'GenerateMac', message, 'KMSInvalidStateException', pending(keyId));
  });
}

test('nothing is imported into a key whose material KMS made', async () => {
  const KeyId = await createKey(kms);
  const text = `${keyArn(KeyId)} origin is AWS_KMS which is not valid for this operation.`;
  const parameters = { KeyId, WrappingAlgorithm: 'RSAES_OAEP_SHA_256', WrappingKeySpec: 'RSA_2048' };
  const material = { KeyId, ImportToken: DIGEST, EncryptedKeyMaterial: DIGEST, ...LASTING };
  await refuses(kms, 'GetParametersForImport', parameters, 'UnsupportedOperationException', text);
  await refuses(kms, 'ImportKeyMaterial', material, 'UnsupportedOperationException', text);
  await refuses(kms, 'DeleteImportedKeyMaterial', { KeyId }, 'UnsupportedOperationException', text);
});
