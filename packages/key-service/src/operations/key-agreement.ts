/** DeriveSharedSecret. */
import { AwsError } from '../aws-error.js';
import { deriveSharedSecret as agree } from '../crypto/ecdh.js';
import { arnOf, currentMaterial } from '../keys/key-record.js';
import { required } from '../validation/members.js';
import * as shapes from '../validation/shapes.js';
import { checkAlgorithm } from './algorithms.js';
import { refuseRecipient } from './encryption.js';
import { KEY_AGREEMENT } from './key-rules.js';
import { defineKeyOperation } from './operation.js';

export const deriveSharedSecret = defineKeyOperation({
  name: 'DeriveSharedSecret',
  action: 'kms:DeriveSharedSecret',
  readOnly: true,
  key: KEY_AGREEMENT,
  input: {
    KeyId: required(shapes.keyId),
    KeyAgreementAlgorithm: required(shapes.keyAgreementAlgorithm),
    PublicKey: required(shapes.publicKey),
    GrantTokens: shapes.grantTokens,
    DryRun: shapes.dryRun,
    Recipient: shapes.recipient,
  },
  check: ({ Recipient }) => refuseRecipient(Recipient),
  checkKey: ({ KeyAgreementAlgorithm }, key) => checkAlgorithm(key, 'KEY_AGREEMENT', KeyAgreementAlgorithm),
  run(call, { KeyAgreementAlgorithm, PublicKey }, key) {
    const privateKey = call.services.vault.openPrivateKey(key, currentMaterial(key));
    const secret = privateKey.kind === 'ec' ? agree(privateKey, PublicKey) : undefined;
    // Recorded answers say no more to a public key that is none; one of another curve is treated alike.
    if (secret === undefined) throw new AwsError('ValidationException');
    const SharedSecret = secret.toString('base64');
    secret.fill(0);
    return { KeyAgreementAlgorithm, KeyId: arnOf(key), KeyOrigin: key.origin, SharedSecret };
  },
});
