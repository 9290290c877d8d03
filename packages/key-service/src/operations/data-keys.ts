/** GenerateDataKey, GenerateDataKeyWithoutPlaintext, GenerateRandom. */
import { AwsError } from '../aws-error.js';
import { arnOf, type KeyRecord } from '../keys/key-record.js';
import { required, string } from '../validation/members.js';
import * as shapes from '../validation/shapes.js';
import type { Call } from './call.js';
import { sealMessage } from './ciphertexts.js';
import { refuseRecipient } from './encryption.js';
import { ENCRYPTION } from './key-rules.js';
import { defineAccountOperation, defineKeyOperation } from './operation.js';

const dataKeyInput = {
  KeyId: required(shapes.keyId),
  EncryptionContext: shapes.encryptionContext,
  NumberOfBytes: shapes.numberOfBytes,
  KeySpec: shapes.dataKeySpec,
  GrantTokens: shapes.grantTokens,
  DryRun: shapes.dryRun,
};

interface DataKeyRequest {
  readonly NumberOfBytes: number | undefined;
  readonly KeySpec: 'AES_256' | 'AES_128' | undefined;
  readonly EncryptionContext: Readonly<Record<string, string>> | undefined;
}

export const generateDataKey = defineKeyOperation({
  name: 'GenerateDataKey',
  action: 'kms:GenerateDataKey',
  readOnly: true,
  key: ENCRYPTION,
  checkKey: checkSymmetric,
  input: { ...dataKeyInput, Recipient: shapes.recipient },
  check(input) {
    checkLength(input);
    refuseRecipient(input.Recipient);
  },
  run(call, input, key) {
    const { plaintext, answer } = createDataKey(call, input, key);
    const Plaintext = plaintext.toString('base64');
    plaintext.fill(0);
    return { ...answer, Plaintext };
  },
});

export const generateDataKeyWithoutPlaintext = defineKeyOperation({
  name: 'GenerateDataKeyWithoutPlaintext',
  action: 'kms:GenerateDataKeyWithoutPlaintext',
  readOnly: true,
  key: ENCRYPTION,
  checkKey: checkSymmetric,
  input: dataKeyInput,
  check: checkLength,
  run(call, input, key) {
    const { plaintext, answer } = createDataKey(call, input, key);
    plaintext.fill(0);
    return answer;
  },
});

function checkLength({ NumberOfBytes, KeySpec }: DataKeyRequest): void {
  if ((NumberOfBytes === undefined) === (KeySpec === undefined)) {
    throw new AwsError('ValidationException', 'Please specify either number of bytes or key spec.');
  }
}

export function checkSymmetric(_input: unknown, { keySpec }: KeyRecord): void {
  if (keySpec !== 'SYMMETRIC_DEFAULT') {
    throw new AwsError('InvalidKeyUsageException', 'You cannot generate a data key with an asymmetric CMK');
  }
}

function createDataKey(
  call: Call,
  { NumberOfBytes, KeySpec, EncryptionContext }: DataKeyRequest,
  key: KeyRecord,
): { readonly plaintext: Buffer; readonly answer: Readonly<Record<string, unknown>> } {
  const bytes = NumberOfBytes ?? (KeySpec === 'AES_128' ? 16 : 32);
  const plaintext = Buffer.from(call.services.randomBytes(bytes));
  const { blob, materialId } = sealMessage(call, key, plaintext, EncryptionContext);
  const answer = { CiphertextBlob: blob.toString('base64'), KeyId: arnOf(key), KeyMaterialId: materialId };
  return { plaintext, answer };
}

export const generateRandom = defineAccountOperation({
  name: 'GenerateRandom',
  action: 'kms:GenerateRandom',
  readOnly: true,
  input: {
    NumberOfBytes: shapes.numberOfBytes,
    CustomKeyStoreId: string({ min: 1, max: 64 }),
    Recipient: shapes.recipient,
  },
  check({ NumberOfBytes, CustomKeyStoreId, Recipient }) {
    if (NumberOfBytes === undefined) throw new AwsError('ValidationException', 'NumberOfBytes is required.');
    if (CustomKeyStoreId !== undefined) {
      throw new AwsError(
        'UnsupportedOperationException',
        'CustomKeyStoreId is not supported by this key service.',
      );
    }
    refuseRecipient(Recipient);
  },
  run: (call, { NumberOfBytes = 0 }) => ({
    Plaintext: call.services.randomBytes(NumberOfBytes).toString('base64'),
  }),
});
