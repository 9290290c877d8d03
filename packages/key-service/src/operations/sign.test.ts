// Goal: Sign, Verify and GetPublicKey behave as AWS's for every signing spec, seen through the real SDK; what they sign
// verifies outside with the public key alone.
import assert from 'node:assert/strict';
import { constants, createHash, createPublicKey, verify as nodeVerify } from 'node:crypto';
import { after, before, test } from 'node:test';
import {
  CreateKeyCommand,
  DescribeKeyCommand,
  DisableKeyCommand,
  GetPublicKeyCommand,
  type KeySpec,
  type KeyUsageType,
  type KMSClient,
  type MessageType,
  ScheduleKeyDeletionCommand,
  SignCommand,
  type SigningAlgorithmSpec,
  VerifyCommand,
} from '@aws-sdk/client-kms';
import { startTestService, type TestService } from '../testing/harness.js';
import { rawCall } from '../testing/raw-call.js';
import { rejectsWith } from '../testing/rejects.js';

let kms: TestService;
let client: KMSClient;

before(async () => {
  kms = await startTestService();
  client = kms.client();
});
after(() => kms.close());

async function createKey(spec: KeySpec, usage: KeyUsageType = 'SIGN_VERIFY'): Promise<string> {
  const { KeyMetadata } = await client.send(new CreateKeyCommand({ KeySpec: spec, KeyUsage: usage }));
  return KeyMetadata?.Arn ?? '';
}

const Message = Buffer.from('to whom it may concern');
const digestOf = (hash: string): Buffer => createHash(hash).update(Message).digest();

interface Signing {
  readonly algorithm: SigningAlgorithmSpec;
  readonly type?: MessageType;
  readonly message?: Buffer;
}

async function sign(KeyId: string, { algorithm, type, message = Message }: Signing): Promise<Uint8Array> {
  const answer = await client.send(
    new SignCommand({
      KeyId,
      Message: message,
      SigningAlgorithm: algorithm,
      ...(type && { MessageType: type }),
    }),
  );
  assert.equal(answer.KeyId, KeyId);
  assert.equal(answer.SigningAlgorithm, algorithm);
  return answer.Signature as Uint8Array;
}

async function verify(
  KeyId: string,
  Signature: Uint8Array,
  { algorithm, type, message = Message }: Signing,
): Promise<void> {
  const answer = await client.send(
    new VerifyCommand({
      KeyId,
      Message: message,
      Signature,
      SigningAlgorithm: algorithm,
      ...(type && { MessageType: type }),
    }),
  );
  assert.equal(answer.KeyId, KeyId);
  assert.equal(answer.SignatureValid, true);
  assert.equal(answer.SigningAlgorithm, algorithm);
}

const RSA_ALGORITHMS = [
  'RSASSA_PKCS1_V1_5_SHA_256',
  'RSASSA_PKCS1_V1_5_SHA_384',
  'RSASSA_PKCS1_V1_5_SHA_512',
  'RSASSA_PSS_SHA_256',
  'RSASSA_PSS_SHA_384',
  'RSASSA_PSS_SHA_512',
] as const;

const hashOf = (algorithm: string): string => `sha${algorithm.slice(-3)}`;

for (const spec of ['RSA_2048', 'RSA_3072', 'RSA_4096'] as const) {
  test(`${spec} signs messages and digests with every algorithm`, async () => {
    const arn = await createKey(spec);
    const answer = await client.send(new GetPublicKeyCommand({ KeyId: arn }));
    assert.deepEqual(answer.SigningAlgorithms, RSA_ALGORITHMS);
    const key = createPublicKey({ key: Buffer.from(answer.PublicKey ?? []), type: 'spki', format: 'der' });
    assert.equal(key.asymmetricKeyDetails?.modulusLength, Number(spec.slice(-4)));
    for (const algorithm of RSA_ALGORITHMS) {
      const hash = hashOf(algorithm);
      const padding = algorithm.startsWith('RSASSA_PSS')
        ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: digestOf(hash).length }
        : { padding: constants.RSA_PKCS1_PADDING };
      const ofDigest = { algorithm, type: 'DIGEST', message: digestOf(hash) } as const;
      for (const signature of [await sign(arn, { algorithm }), await sign(arn, ofDigest)]) {
        assert.ok(nodeVerify(hash, Message, { key, ...padding }, signature), algorithm);
        await verify(arn, signature, { algorithm });
        await verify(arn, signature, ofDigest);
      }
    }
  });
}

for (const [spec, algorithm] of [
  ['ECC_NIST_P256', 'ECDSA_SHA_256'],
  ['ECC_NIST_P384', 'ECDSA_SHA_384'],
  ['ECC_NIST_P521', 'ECDSA_SHA_512'],
  ['ECC_SECG_P256K1', 'ECDSA_SHA_256'],
] as const) {
  test(`${spec} signs messages and digests`, async () => {
    const arn = await createKey(spec);
    const answer = await client.send(new GetPublicKeyCommand({ KeyId: arn }));
    assert.deepEqual(answer.SigningAlgorithms, [algorithm]);
    const key = createPublicKey({ key: Buffer.from(answer.PublicKey ?? []), type: 'spki', format: 'der' });
    const hash = hashOf(algorithm);
    const ofDigest = { algorithm, type: 'DIGEST', message: digestOf(hash) } as const;
    for (const signature of [await sign(arn, { algorithm }), await sign(arn, ofDigest)]) {
      assert.ok(nodeVerify(hash, Message, key, signature));
      await verify(arn, signature, { algorithm });
      await verify(arn, signature, ofDigest);
    }
  });
}

test('ECC_NIST_EDWARDS25519 signs messages, and digests as Ed25519ph', async () => {
  const arn = await createKey('ECC_NIST_EDWARDS25519');
  const answer = await client.send(new GetPublicKeyCommand({ KeyId: arn }));
  assert.deepEqual(answer.SigningAlgorithms, ['ED25519_SHA_512', 'ED25519_PH_SHA_512']);
  const key = createPublicKey({ key: Buffer.from(answer.PublicKey ?? []), type: 'spki', format: 'der' });
  const pure = { algorithm: 'ED25519_SHA_512' } as const;
  const signature = await sign(arn, pure);
  assert.ok(nodeVerify(null, Message, key, signature));
  await verify(arn, signature, pure);
  const prehashed = {
    algorithm: 'ED25519_PH_SHA_512',
    type: 'DIGEST',
    message: digestOf('sha512'),
  } as const;
  await verify(arn, await sign(arn, prehashed), prehashed);
});

for (const [spec, signatureBytes] of [
  ['ML_DSA_44', 2420],
  ['ML_DSA_65', 3309],
  ['ML_DSA_87', 4627],
] as const) {
  test(`${spec} signs messages and representatives`, async () => {
    const arn = await createKey(spec);
    const { KeyMetadata } = await client.send(new DescribeKeyCommand({ KeyId: arn }));
    assert.deepEqual(KeyMetadata?.SigningAlgorithms, ['ML_DSA_SHAKE_256']);
    const raw = { algorithm: 'ML_DSA_SHAKE_256' } as const;
    const signature = await sign(arn, raw);
    assert.equal(signature.length, signatureBytes);
    await verify(arn, signature, raw);
    const mu = { ...raw, type: 'EXTERNAL_MU', message: Buffer.alloc(64, 5) } as const;
    await verify(arn, await sign(arn, mu), mu);
  });
}

test('a signature of something else is invalid, without a message', async () => {
  const arn = await createKey('ECC_NIST_P256');
  const signature = await sign(arn, { algorithm: 'ECDSA_SHA_256' });
  const body = {
    KeyId: arn,
    Message: Buffer.from('another').toString('base64'),
    Signature: Buffer.from(signature).toString('base64'),
    SigningAlgorithm: 'ECDSA_SHA_256',
  };
  const answer = await rawCall(kms, { action: 'Verify', body: JSON.stringify(body) });
  assert.equal(answer.status, 400);
  assert.equal(answer.body, '{"__type":"KMSInvalidSignatureException"}');
});

test('algorithms of other specs, kinds of messages, lengths of digests', async () => {
  const p256 = await createKey('ECC_NIST_P256');
  const ed25519 = await createKey('ECC_NIST_EDWARDS25519');
  const mlDsa = await createKey('ML_DSA_44');
  const cases: readonly (readonly [string, Signing, string, string])[] = [
    [
      p256,
      { algorithm: 'ECDSA_SHA_384', type: 'DIGEST', message: Buffer.alloc(20) },
      'InvalidKeyUsageException',
      'Algorithm ECDSA_SHA_384 is incompatible with key spec ECC_NIST_P256.',
    ],
    [
      p256,
      { algorithm: 'SYMMETRIC_DEFAULT' as SigningAlgorithmSpec },
      'InvalidKeyUsageException',
      'Algorithm SYMMETRIC_DEFAULT is incompatible with key spec ECC_NIST_P256.',
    ],
    [
      p256,
      { algorithm: 'ECDSA_SHA_256', type: 'DIGEST', message: Buffer.alloc(31) },
      'ValidationException',
      'Digest is invalid length for algorithm ECDSA_SHA_256.',
    ],
    [
      p256,
      { algorithm: 'ECDSA_SHA_256', type: 'EXTERNAL_MU', message: Buffer.alloc(64) },
      'ValidationException',
      'Message type EXTERNAL_MU is incompatible with key spec ECC_NIST_P256.',
    ],
    [
      ed25519,
      { algorithm: 'ED25519_SHA_512', type: 'DIGEST', message: Buffer.alloc(64) },
      'ValidationException',
      'Message type DIGEST is incompatible with algorithm ED25519_SHA_512.',
    ],
    [
      ed25519,
      { algorithm: 'ED25519_PH_SHA_512' },
      'ValidationException',
      'Message type RAW is incompatible with algorithm ED25519_PH_SHA_512.',
    ],
    [
      ed25519,
      { algorithm: 'ED25519_PH_SHA_512', type: 'DIGEST', message: Buffer.alloc(32) },
      'ValidationException',
      'Digest is invalid length for algorithm ED25519_PH_SHA_512.',
    ],
    [
      mlDsa,
      { algorithm: 'ML_DSA_SHAKE_256', type: 'DIGEST', message: Buffer.alloc(64) },
      'ValidationException',
      'Message type DIGEST is incompatible with key spec ML_DSA_44.',
    ],
    [
      mlDsa,
      { algorithm: 'ML_DSA_SHAKE_256', type: 'EXTERNAL_MU', message: Buffer.alloc(63) },
      'ValidationException',
      'External Mu is invalid length for algorithm ML_DSA_SHAKE_256.',
    ],
  ];
  for (const [arn, signing, code, message] of cases) {
    await rejectsWith(sign(arn, signing), code, message);
    await rejectsWith(verify(arn, Buffer.alloc(64), signing), code, message);
  }
});

test('the usage of a key is looked at before its state, its state before the algorithm', async () => {
  const symmetric = await createKey('SYMMETRIC_DEFAULT', 'ENCRYPT_DECRYPT');
  const agreement = await createKey('ECC_NIST_P256', 'KEY_AGREEMENT');
  await client.send(new DisableKeyCommand({ KeyId: agreement }));
  for (const [arn, usage] of [
    [symmetric, 'ENCRYPT_DECRYPT'],
    [agreement, 'KEY_AGREEMENT'],
  ] as const) {
    await rejectsWith(
      sign(arn, { algorithm: 'ECDSA_SHA_256' }),
      'InvalidKeyUsageException',
      `${arn} key usage is ${usage} which is not valid for Sign.`,
    );
  }
  const disabled = await createKey('ECC_NIST_P256');
  await client.send(new DisableKeyCommand({ KeyId: disabled }));
  await rejectsWith(
    sign(disabled, { algorithm: 'ECDSA_SHA_384' }),
    'DisabledException',
    `${disabled} is disabled.`,
  );
});

test('requests are checked before the key is looked for', async () => {
  const missing = '00000000-0000-0000-0000-000000000000';
  const refused = async (action: string, members: object, message: string): Promise<void> => {
    const body = JSON.stringify({ KeyId: missing, ...members });
    const answer = await rawCall(kms, { action, body });
    assert.deepEqual(JSON.parse(answer.body), { __type: 'ValidationException', message });
  };
  const Message64 = Message.toString('base64');
  const one = '1 validation error detected: ';
  await refused(
    'Sign',
    { Message: Message64, SigningAlgorithm: 'FOO' },
    `${one}Value 'FOO' at 'signingAlgorithm' failed to satisfy constraint: Member must satisfy enum value set: [RSASSA_PSS_SHA_256, RSASSA_PSS_SHA_384, RSASSA_PSS_SHA_512, RSASSA_PKCS1_V1_5_SHA_256, RSASSA_PKCS1_V1_5_SHA_384, RSASSA_PKCS1_V1_5_SHA_512, ECDSA_SHA_256, ECDSA_SHA_384, ECDSA_SHA_512, ED25519_SHA_512, ED25519_PH_SHA_512, SM2DSA, ML_DSA_SHAKE_256]`,
  );
  await refused(
    'Sign',
    { SigningAlgorithm: 'ECDSA_SHA_256' },
    `${one}Value at 'message' failed to satisfy constraint: Member must not be null`,
  );
  await refused(
    'Verify',
    { Message: Message64, SigningAlgorithm: 'ECDSA_SHA_256' },
    `${one}Value null at 'signature' failed to satisfy constraint: Member must not be null`,
  );
  await refused(
    'Verify',
    {
      Message: Message64,
      SigningAlgorithm: 'ECDSA_SHA_256',
      Signature: Buffer.alloc(6145).toString('base64'),
    },
    `${one}Value at 'signature' failed to satisfy constraint: Member must have length less than or equal to 6144`,
  );
  await refused(
    'Sign',
    { Message: Message64, SigningAlgorithm: 'ECDSA_SHA_256', MessageType: 'FOO' },
    `${one}Value 'FOO' at 'messageType' failed to satisfy constraint: Member must satisfy enum value set: [RAW, DIGEST, EXTERNAL_MU]`,
  );
});

test('a dry run checks everything and signs nothing', async () => {
  const KeyId = await createKey('ECC_NIST_P256');
  const request = { KeyId, Message, DryRun: true };
  await rejectsWith(
    client.send(new SignCommand({ ...request, SigningAlgorithm: 'ECDSA_SHA_256' })),
    'DryRunOperationException',
  );
  await rejectsWith(
    client.send(new SignCommand({ ...request, SigningAlgorithm: 'ECDSA_SHA_512' })),
    'InvalidKeyUsageException',
  );
});

test('a public key is given of disabled keys too, never of symmetric ones', async () => {
  const arn = await createKey('ECC_NIST_P256');
  await client.send(new DisableKeyCommand({ KeyId: arn }));
  const { PublicKey, ...rest } = await client.send(new GetPublicKeyCommand({ KeyId: arn }));
  assert.equal(PublicKey?.length, 91);
  const { $metadata: _, ...members } = rest;
  assert.deepEqual(members, {
    CustomerMasterKeySpec: 'ECC_NIST_P256',
    KeyId: arn,
    KeySpec: 'ECC_NIST_P256',
    KeyUsage: 'SIGN_VERIFY',
    SigningAlgorithms: ['ECDSA_SHA_256'],
  });
  await client.send(new ScheduleKeyDeletionCommand({ KeyId: arn, PendingWindowInDays: 7 }));
  await rejectsWith(
    client.send(new GetPublicKeyCommand({ KeyId: arn })),
    'KMSInvalidStateException',
    `${arn} is pending deletion.`,
  );
  const symmetric = await createKey('SYMMETRIC_DEFAULT', 'ENCRYPT_DECRYPT');
  const answer = await rawCall(kms, { action: 'GetPublicKey', body: JSON.stringify({ KeyId: symmetric }) });
  assert.equal(answer.body, '{"__type":"UnsupportedOperationException"}');
});

test('signing keys survive a restart', async () => {
  const arn = await createKey('ML_DSA_44');
  const ed25519 = await createKey('ECC_NIST_EDWARDS25519');
  const raw = { algorithm: 'ML_DSA_SHAKE_256' } as const;
  const pure = { algorithm: 'ED25519_SHA_512' } as const;
  const signature = await sign(arn, raw);
  const other = await sign(ed25519, pure);
  await kms.restart();
  client = kms.client();
  await verify(arn, signature, raw);
  await verify(ed25519, other, pure);
});
