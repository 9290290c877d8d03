/** Encapsulate and Decapsulate. */
import { AwsError } from '../aws-error.js';
import { decapsulateMlKem, encapsulateMlKem, type MlKemKey } from '../crypto/ml-kem.js';
import { arnOf, currentMaterial, type KeyRecord } from '../keys/key-record.js';
import { required } from '../validation/members.js';
import * as shapes from '../validation/shapes.js';
import { checkAlgorithm } from './algorithms.js';
import type { Call } from './call.js';
import { ENCAPSULATION } from './key-rules.js';
import { defineKeyOperation } from './operation.js';

const encapsulationInput = {
  KeyId: required(shapes.keyId),
  EncapsulationAlgorithm: required(shapes.encapsulationAlgorithm),
  GrantTokens: shapes.grantTokens,
  DryRun: shapes.dryRun,
};

export const encapsulate = defineKeyOperation({
  name: 'Encapsulate',
  action: 'kms:Encapsulate',
  readOnly: true,
  key: ENCAPSULATION,
  input: encapsulationInput,
  checkKey: checkEncapsulationAlgorithm,
  run(call, { EncapsulationAlgorithm }, key) {
    const { sharedSecret, ciphertext } = encapsulateMlKem(openMlKemKey(call, key), call.services.randomBytes);
    const SharedSecret = sharedSecret.toString('base64');
    sharedSecret.fill(0);
    return {
      EncapsulationAlgorithm,
      KeyId: arnOf(key),
      SharedSecret,
      SharedSecretCiphertextBlob: ciphertext.toString('base64'),
    };
  },
});

export const decapsulate = defineKeyOperation({
  name: 'Decapsulate',
  action: 'kms:Decapsulate',
  readOnly: true,
  key: ENCAPSULATION,
  input: { ...encapsulationInput, SharedSecretCiphertextBlob: required(shapes.sharedSecretCiphertext) },
  checkKey: checkEncapsulationAlgorithm,
  run(call, { EncapsulationAlgorithm, SharedSecretCiphertextBlob }, key) {
    const sharedSecret = decapsulateMlKem(openMlKemKey(call, key), SharedSecretCiphertextBlob);
    if (sharedSecret === undefined) throw new AwsError('InvalidCiphertextException');
    const SharedSecret = sharedSecret.toString('base64');
    sharedSecret.fill(0);
    return { EncapsulationAlgorithm, KeyId: arnOf(key), SharedSecret };
  },
});

function checkEncapsulationAlgorithm(
  { EncapsulationAlgorithm }: { readonly EncapsulationAlgorithm: string },
  key: KeyRecord,
): void {
  checkAlgorithm(key, 'ENCAPSULATE_DECAPSULATE', EncapsulationAlgorithm);
}

function openMlKemKey(call: Call, key: KeyRecord): MlKemKey {
  const opened = call.services.vault.openPrivateKey(key, currentMaterial(key));
  if (opened.kind !== 'ml-kem') throw new TypeError(`A key of spec ${key.keySpec} does not encapsulate.`);
  return opened;
}
