// Goal: Encrypt, Decrypt, ReEncrypt and the data key operations behave as AWS's, seen through the real SDK over TLS.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  CreateAliasCommand,
  CreateKeyCommand,
  DecryptCommand,
  EncryptCommand,
  GenerateDataKeyCommand,
  GenerateDataKeyWithoutPlaintextCommand,
  GenerateRandomCommand,
  type KMSClient,
  ReEncryptCommand,
  RotateKeyOnDemandCommand,
} from '@aws-sdk/client-kms';
import { rejectsWith } from '../testing/rejects.js';
import { ACCOUNT, REGION, startTestService, type TestService } from '../testing/harness.js';

let kms: TestService;
let client: KMSClient;
let keyId: string;
let arn: string;

before(async () => {
  kms = await startTestService();
  client = kms.client();
  ({ keyId, arn } = await createKey());
});
after(() => kms.close());

async function createKey(): Promise<{ readonly keyId: string; readonly arn: string }> {
  const { KeyMetadata } = await client.send(new CreateKeyCommand({}));
  return { keyId: KeyMetadata?.KeyId ?? '', arn: KeyMetadata?.Arn ?? '' };
}

const Plaintext = Buffer.from('attack at dawn');

async function encrypt(EncryptionContext?: Record<string, string>): Promise<Uint8Array> {
  const { CiphertextBlob } = await client.send(
    new EncryptCommand({ KeyId: keyId, Plaintext, ...(EncryptionContext && { EncryptionContext }) }),
  );
  return CiphertextBlob as Uint8Array;
}

test('a key is named by id, ARN, alias and alias ARN', async () => {
  const alias = 'alias/encryption/names';
  await client.send(new CreateAliasCommand({ AliasName: alias, TargetKeyId: keyId }));
  for (const KeyId of [keyId, arn, alias, `arn:aws:kms:${REGION}:${ACCOUNT}:${alias}`]) {
    const encrypted = await client.send(new EncryptCommand({ KeyId, Plaintext }));
    assert.equal(encrypted.KeyId, arn);
    assert.equal(encrypted.EncryptionAlgorithm, 'SYMMETRIC_DEFAULT');
    const opened = await client.send(new DecryptCommand({ KeyId, CiphertextBlob: encrypted.CiphertextBlob }));
    assert.deepEqual(Buffer.from(opened.Plaintext ?? []), Plaintext);
  }
});

test('Decrypt needs no key id', async () => {
  const answer = await client.send(new DecryptCommand({ CiphertextBlob: await encrypt() }));
  assert.equal(answer.KeyId, arn);
  assert.match(answer.KeyMaterialId ?? '', /^[0-9a-f]{64}$/);
  assert.deepEqual(Buffer.from(answer.Plaintext ?? []), Plaintext);
});

test('the encryption context must be the same set of pairs', async () => {
  const blob = await encrypt({ a: 'bc', d: 'e' });
  const open = (EncryptionContext?: Record<string, string>): Promise<unknown> =>
    client.send(
      new DecryptCommand({ CiphertextBlob: blob, ...(EncryptionContext && { EncryptionContext }) }),
    );
  await open({ d: 'e', a: 'bc' });
  for (const other of [undefined, {}, { a: 'bc' }, { ab: 'c', d: 'e' }, { a: 'bc', d: 'E' }, { a: 'bcde' }]) {
    await rejectsWith(open(other), 'InvalidCiphertextException');
  }
});

test('a context key may be __proto__', async () => {
  const context = JSON.parse('{"__proto__":"x","constructor":"y"}') as Record<string, string>;
  const blob = await encrypt(context);
  await client.send(new DecryptCommand({ CiphertextBlob: blob, EncryptionContext: context }));
  await rejectsWith(
    client.send(new DecryptCommand({ CiphertextBlob: blob, EncryptionContext: { constructor: 'y' } })),
    'InvalidCiphertextException',
  );
});

test('a flipped bit anywhere never decrypts', async () => {
  const blob = await encrypt();
  for (let at = 0; at < blob.length; at += 7) {
    const flipped = Uint8Array.from(blob);
    flipped[at] = (flipped[at] as number) ^ 0x10;
    const error: unknown = await client
      .send(new DecryptCommand({ CiphertextBlob: flipped }))
      .catch((e: unknown) => e);
    assert.ok(error instanceof Error, `byte ${at} decrypted`);
    assert.ok(
      ['InvalidCiphertextException', 'AccessDeniedException'].includes(error.name),
      `byte ${at}: ${error.name}`,
    );
  }
});

test('what is no ciphertext', async () => {
  await rejectsWith(
    client.send(new DecryptCommand({ CiphertextBlob: Buffer.from('AQICAH of another service') })),
    'InvalidCiphertextException',
  );
  await rejectsWith(
    client.send(new DecryptCommand({ CiphertextBlob: Buffer.alloc(6145) })),
    'ValidationException',
    "1 validation error detected: Value at 'ciphertextBlob' failed to satisfy constraint: Member must have length less than or equal to 6144",
  );
});

test('another key than the one named is an incorrect key', async () => {
  const other = await createKey();
  await rejectsWith(
    client.send(new DecryptCommand({ CiphertextBlob: await encrypt(), KeyId: other.keyId })),
    'IncorrectKeyException',
    'The key ID in the request does not identify a CMK that can perform this operation.',
  );
});

test('a key of another region is not found there', async () => {
  const elsewhere = kms.client('admin', 'us-west-2');
  await rejectsWith(
    elsewhere.send(new DecryptCommand({ CiphertextBlob: await encrypt() })),
    'AccessDeniedException',
    'User: arn:aws:iam::111122223333:user/admin is not authorized to perform: kms:Decrypt on the resource associated with this ciphertext because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access',
  );
  await rejectsWith(
    elsewhere.send(new EncryptCommand({ KeyId: arn, Plaintext })),
    'NotFoundException',
    `Invalid arn ${REGION}`,
  );
  await rejectsWith(
    elsewhere.send(new EncryptCommand({ KeyId: keyId, Plaintext })),
    'NotFoundException',
    `Key 'arn:aws:kms:us-west-2:${ACCOUNT}:key/${keyId}' does not exist`,
  );
});

test('names that are none', async () => {
  const encryptWith = (KeyId: string): Promise<unknown> =>
    client.send(new EncryptCommand({ KeyId, Plaintext }));
  await rejectsWith(encryptWith('fake-key-id'), 'NotFoundException', "Invalid keyId 'fake-key-id'");
  await rejectsWith(
    encryptWith('alias/none'),
    'NotFoundException',
    `Alias arn:aws:kms:${REGION}:${ACCOUNT}:alias/none is not found.`,
  );
  await rejectsWith(encryptWith('arn:aws:s3:::x'), 'InvalidArnException', 'Invalid arn arn:aws:s3:::x');
});

test('a plaintext has 1 to 4096 bytes, and is not repeated in errors', async () => {
  const encryptBytes = (size: number): Promise<unknown> =>
    client.send(new EncryptCommand({ KeyId: keyId, Plaintext: Buffer.alloc(size) }));
  await encryptBytes(4096);
  await rejectsWith(
    encryptBytes(4097),
    'ValidationException',
    "1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must have length less than or equal to 4096",
  );
  await rejectsWith(
    encryptBytes(0),
    'ValidationException',
    "1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must have length greater than or equal to 1",
  );
});

test('an algorithm of another key spec', async () => {
  await rejectsWith(
    client.send(new EncryptCommand({ KeyId: keyId, Plaintext, EncryptionAlgorithm: 'RSAES_OAEP_SHA_256' })),
    'InvalidKeyUsageException',
    'Algorithm RSAES_OAEP_SHA_256 is incompatible with key spec SYMMETRIC_DEFAULT.',
  );
});

test('ReEncrypt moves a ciphertext to another key and context', async () => {
  const other = await createKey();
  const answer = await client.send(
    new ReEncryptCommand({
      CiphertextBlob: await encrypt({ from: '1' }),
      SourceEncryptionContext: { from: '1' },
      DestinationKeyId: other.keyId,
      DestinationEncryptionContext: { to: '2' },
    }),
  );
  assert.equal(answer.SourceKeyId, arn);
  assert.equal(answer.KeyId, other.arn);
  assert.notEqual(answer.SourceKeyMaterialId, answer.DestinationKeyMaterialId);
  const opened = await client.send(
    new DecryptCommand({ CiphertextBlob: answer.CiphertextBlob, EncryptionContext: { to: '2' } }),
  );
  assert.equal(opened.KeyId, other.arn);
  assert.deepEqual(Buffer.from(opened.Plaintext ?? []), Plaintext);
});

test('data keys of every size decrypt to themselves', async () => {
  for (const [request, bytes] of [
    [{ KeySpec: 'AES_256' }, 32],
    [{ KeySpec: 'AES_128' }, 16],
    [{ NumberOfBytes: 1 }, 1],
    [{ NumberOfBytes: 1024 }, 1024],
  ] as const) {
    const made = await client.send(
      new GenerateDataKeyCommand({ KeyId: keyId, ...request, EncryptionContext: { a: 'b' } }),
    );
    assert.equal(made.Plaintext?.length, bytes);
    assert.equal(made.KeyId, arn);
    const opened = await client.send(
      new DecryptCommand({ CiphertextBlob: made.CiphertextBlob, EncryptionContext: { a: 'b' } }),
    );
    assert.deepEqual(opened.Plaintext, made.Plaintext);
    assert.equal(opened.KeyMaterialId, made.KeyMaterialId);
  }
});

test('a data key without plaintext decrypts to its length', async () => {
  const made = await client.send(
    new GenerateDataKeyWithoutPlaintextCommand({ KeyId: keyId, NumberOfBytes: 48 }),
  );
  assert.equal('Plaintext' in made, false);
  const opened = await client.send(new DecryptCommand({ CiphertextBlob: made.CiphertextBlob }));
  assert.equal(opened.Plaintext?.length, 48);
});

test('a data key is asked for by length or by spec', async () => {
  const message = 'Please specify either number of bytes or key spec.';
  await rejectsWith(
    client.send(new GenerateDataKeyCommand({ KeyId: keyId })),
    'ValidationException',
    message,
  );
  await rejectsWith(
    client.send(new GenerateDataKeyCommand({ KeyId: keyId, KeySpec: 'AES_256', NumberOfBytes: 32 })),
    'ValidationException',
    message,
  );
});

test('random bytes', async () => {
  const { Plaintext: bytes } = await client.send(new GenerateRandomCommand({ NumberOfBytes: 1024 }));
  assert.equal(bytes?.length, 1024);
  await rejectsWith(
    client.send(new GenerateRandomCommand({})),
    'ValidationException',
    'NumberOfBytes is required.',
  );
  await rejectsWith(
    client.send(new GenerateRandomCommand({ NumberOfBytes: 1025 })),
    'ValidationException',
    "1 validation error detected: Value '1025' at 'numberOfBytes' failed to satisfy constraint: Member must have value less than or equal to 1024",
  );
});

test('every older backing key still decrypts after rotation', async () => {
  const blobs: Uint8Array[] = [];
  const materials = new Set<string | undefined>();
  for (let i = 0; i < 5; i++) {
    blobs.push(await encrypt());
    await client.send(new RotateKeyOnDemandCommand({ KeyId: keyId }));
  }
  for (const blob of blobs) {
    const opened = await client.send(new DecryptCommand({ CiphertextBlob: blob }));
    assert.deepEqual(Buffer.from(opened.Plaintext ?? []), Plaintext);
    materials.add(opened.KeyMaterialId);
  }
  assert.equal(materials.size, blobs.length);
});

test('DryRun checks and does nothing', async () => {
  const message = 'The request would have succeeded, but the DryRun option is set.';
  const blob = await encrypt();
  await rejectsWith(
    client.send(new EncryptCommand({ KeyId: keyId, Plaintext, DryRun: true })),
    'DryRunOperationException',
    message,
  );
  await rejectsWith(
    client.send(new DecryptCommand({ CiphertextBlob: blob, DryRun: true })),
    'DryRunOperationException',
  );
  await rejectsWith(
    client.send(new GenerateDataKeyCommand({ KeyId: keyId, KeySpec: 'AES_256', DryRun: true })),
    'DryRunOperationException',
  );
  await rejectsWith(
    client.send(new ReEncryptCommand({ CiphertextBlob: blob, DestinationKeyId: keyId, DryRun: true })),
    'DryRunOperationException',
  );
  await rejectsWith(
    kms.client('nobody').send(new EncryptCommand({ KeyId: keyId, Plaintext, DryRun: true })),
    'AccessDeniedException',
  );
});
