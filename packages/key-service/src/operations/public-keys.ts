/** GetPublicKey. */
import { AwsError } from '../aws-error.js';
import { exportPublicKey } from '../crypto/private-key.js';
import { arnOf, currentMaterial } from '../keys/key-record.js';
import { algorithmsOf, isAsymmetric } from '../keys/key-specs.js';
import { required } from '../validation/members.js';
import * as shapes from '../validation/shapes.js';
import { defineKeyOperation } from './operation.js';

export const getPublicKey = defineKeyOperation({
  name: 'GetPublicKey',
  action: 'kms:GetPublicKey',
  readOnly: true,
  // A disabled key's public half is no secret and verifies what was signed before.
  key: { aliases: true, crossAccount: true, states: 'usable' },
  input: { KeyId: required(shapes.keyId), GrantTokens: shapes.grantTokens },
  run(call, _input, key) {
    if (!isAsymmetric(key.keySpec)) throw new AwsError('UnsupportedOperationException');
    const privateKey = call.services.vault.openPrivateKey(key, currentMaterial(key));
    return {
      CustomerMasterKeySpec: key.keySpec,
      ...algorithmsOf(key.keySpec, key.keyUsage),
      KeyId: arnOf(key),
      KeySpec: key.keySpec,
      KeyUsage: key.keyUsage,
      PublicKey: exportPublicKey(privateKey).toString('base64'),
    };
  },
});
