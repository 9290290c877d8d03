/** GenerateDataKey, GenerateDataKeyWithoutPlaintext, GenerateRandom. */
import { AwsError } from '../aws-error.js';
import { arnOf, type KeyRecord } from '../keys/key-record.js';
import { required } from '../validation/members.js';
import * as shapes from '../validation/shapes.js';
import { accountOf, type Call } from './call.js';
import { type SealedMessage, sealMessage } from './ciphertexts.js';
import { refuseRecipient } from './encryption.js';
import { ENCRYPTION } from './key-rules.js';
import { defineAccountOperation, defineKeyOperation, type Output } from './operation.js';
import { whenDone } from './when-done.js';

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
    return createDataKey(call, input, key, (plaintext) => ({ Plaintext: plaintext.toString('base64') }));
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
    return createDataKey(call, input, key, () => ({}));
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

/** @param reveal what the answer says of the data key in the clear; it is zeroed afterwards */
function createDataKey(
  call: Call,
  { NumberOfBytes, KeySpec, EncryptionContext }: DataKeyRequest,
  key: KeyRecord,
  reveal: (plaintext: Buffer) => Readonly<Record<string, string>>,
): Output | Promise<Output> {
  const bytes = NumberOfBytes ?? (KeySpec === 'AES_128' ? 16 : 32);
  const plaintext = Buffer.from(call.services.randomBytes(bytes));
  const sealed = sealMessage(call, key, plaintext, EncryptionContext);
  const answer = ({ blob, materialId }: SealedMessage): Output => {
    const revealed = reveal(plaintext);
    plaintext.fill(0);
    return {
      CiphertextBlob: blob.toString('base64'),
      KeyId: arnOf(key),
      KeyMaterialId: materialId,
      ...revealed,
    };
  };
  return whenDone(sealed, answer, () => plaintext.fill(0));
}

export const generateRandom = defineAccountOperation({
  name: 'GenerateRandom',
  action: 'kms:GenerateRandom',
  readOnly: true,
  input: {
    NumberOfBytes: shapes.numberOfBytes,
    CustomKeyStoreId: shapes.customKeyStoreId,
    Recipient: shapes.recipient,
  },
  check({ NumberOfBytes, Recipient }) {
    if (NumberOfBytes === undefined) throw new AwsError('ValidationException', 'NumberOfBytes is required.');
    refuseRecipient(Recipient);
  },
  run(call, { NumberOfBytes = 0, CustomKeyStoreId: customKeyStoreId }) {
    const random =
      customKeyStoreId === undefined
        ? call.services.randomBytes(NumberOfBytes)
        : call.services.tokenKeys.generateRandom(
            { accountId: accountOf(call), region: call.region, customKeyStoreId },
            NumberOfBytes,
          );
    return whenDone(random, (bytes) => ({ Plaintext: bytes.toString('base64') }));
  },
});
