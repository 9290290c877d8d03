/** GenerateDataKeyPair, GenerateDataKeyPairWithoutPlaintext: key pairs for use outside, under a symmetric key. */
import { AwsError } from '../aws-error.js';
import { exportPublicKey, parsePrivateKey } from '../crypto/private-key.js';
import { arnOf, type KeyRecord } from '../keys/key-record.js';
import type { EcSpec, EdwardsSpec, MlKemSpec, RsaSpec } from '../keys/key-specs.js';
import { required } from '../validation/members.js';
import * as shapes from '../validation/shapes.js';
import type { Call } from './call.js';
import { sealMessage } from './ciphertexts.js';
import { checkSymmetric } from './data-keys.js';
import { refuseRecipient } from './encryption.js';
import { ENCRYPTION } from './key-rules.js';
import { defineKeyOperation, type Output } from './operation.js';

const pairInput = {
  KeyId: required(shapes.keyId),
  KeyPairSpec: required(shapes.dataKeyPairSpec),
  EncryptionContext: shapes.encryptionContext,
  GrantTokens: shapes.grantTokens,
  DryRun: shapes.dryRun,
};

type KeyPairSpec = RsaSpec | EcSpec | EdwardsSpec | MlKemSpec | 'SM2';

interface DataKeyPairRequest {
  readonly KeyPairSpec: KeyPairSpec;
  readonly EncryptionContext: Readonly<Record<string, string>> | undefined;
}

export const generateDataKeyPair = defineKeyOperation({
  name: 'GenerateDataKeyPair',
  action: 'kms:GenerateDataKeyPair',
  readOnly: true,
  key: ENCRYPTION,
  input: { ...pairInput, Recipient: shapes.recipient },
  check(input) {
    refuseSm2(input);
    refuseRecipient(input.Recipient);
  },
  checkKey: checkSymmetric,
  run: (call, input, key) =>
    createDataKeyPair(call, input, key, (pkcs8) => ({ PrivateKeyPlaintext: pkcs8.toString('base64') })),
});

export const generateDataKeyPairWithoutPlaintext = defineKeyOperation({
  name: 'GenerateDataKeyPairWithoutPlaintext',
  action: 'kms:GenerateDataKeyPairWithoutPlaintext',
  readOnly: true,
  key: ENCRYPTION,
  input: pairInput,
  check: refuseSm2,
  checkKey: checkSymmetric,
  run: (call, input, key) => createDataKeyPair(call, input, key, () => ({})),
});

/** AWS has SM2 in its China Regions only. */
function refuseSm2({ KeyPairSpec }: { readonly KeyPairSpec: KeyPairSpec }): void {
  if (KeyPairSpec === 'SM2') {
    throw new AwsError(
      'UnsupportedOperationException',
      'KeyPairSpec SM2 is not supported by this key service.',
    );
  }
}

/** @param reveal what the answer says of the private key in the clear; it is zeroed afterwards */
async function createDataKeyPair(
  call: Call,
  { KeyPairSpec, EncryptionContext }: DataKeyPairRequest,
  key: KeyRecord,
  reveal: (pkcs8: Buffer) => Readonly<Record<string, string>>,
): Promise<Output> {
  // `check` has refused SM2.
  const spec = KeyPairSpec as Exclude<KeyPairSpec, 'SM2'>;
  const pkcs8 = await call.services.createKeyMaterial(spec);
  try {
    const pair = parsePrivateKey(spec, pkcs8);
    if (pair === undefined) throw new TypeError(`A new ${spec} key cannot be read.`);
    const { blob, materialId } = await sealMessage(call, key, pkcs8, EncryptionContext);
    return {
      KeyId: arnOf(key),
      KeyMaterialId: materialId,
      KeyPairSpec: spec,
      PrivateKeyCiphertextBlob: blob.toString('base64'),
      ...reveal(pkcs8),
      PublicKey: exportPublicKey(pair).toString('base64'),
    };
  } finally {
    pkcs8.fill(0);
  }
}
