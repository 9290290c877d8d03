/** Sign and Verify. */
import { AwsError } from '../aws-error.js';
import { MU_BYTES } from '../crypto/ml-dsa.js';
import {
  digestBytesOf,
  type MessageType,
  sign as createSignature,
  verify as checkSignature,
} from '../crypto/signatures.js';
import { arnOf, currentMaterial, type KeyRecord } from '../keys/key-record.js';
import type { SigningAlgorithm } from '../keys/key-specs.js';
import { required } from '../validation/members.js';
import * as shapes from '../validation/shapes.js';
import { checkAlgorithm } from './algorithms.js';
import { SIGNING } from './key-rules.js';
import { defineKeyOperation } from './operation.js';

const signInput = {
  KeyId: required(shapes.keyId),
  Message: required(shapes.message),
  MessageType: shapes.messageType,
  SigningAlgorithm: required(shapes.signingAlgorithm),
  GrantTokens: shapes.grantTokens,
  DryRun: shapes.dryRun,
};

interface SignRequest {
  readonly Message: Buffer;
  readonly MessageType: MessageType | undefined;
  readonly SigningAlgorithm: string;
}

export const sign = defineKeyOperation({
  name: 'Sign',
  action: 'kms:Sign',
  readOnly: true,
  key: SIGNING,
  input: signInput,
  checkKey: checkRequest,
  async run(call, input, key) {
    const { vault, randomBytes } = call.services;
    const privateKey = vault.openPrivateKey(key, currentMaterial(key));
    const signature = await createSignature(privateKey, toMessage(input), randomBytes);
    return {
      KeyId: arnOf(key),
      Signature: signature.toString('base64'),
      SigningAlgorithm: input.SigningAlgorithm,
    };
  },
});

export const verify = defineKeyOperation({
  name: 'Verify',
  action: 'kms:Verify',
  readOnly: true,
  key: SIGNING,
  input: { ...signInput, Signature: required(shapes.signature) },
  checkKey: checkRequest,
  run(call, input, key) {
    const privateKey = call.services.vault.openPrivateKey(key, currentMaterial(key));
    // AWS has no answer that says false.
    if (!checkSignature(privateKey, toMessage(input), input.Signature)) {
      throw new AwsError('KMSInvalidSignatureException');
    }
    return { KeyId: arnOf(key), SignatureValid: true, SigningAlgorithm: input.SigningAlgorithm };
  },
});

/** Algorithm, then kind of message, then its length. */
function checkRequest({ Message, MessageType = 'RAW', SigningAlgorithm }: SignRequest, key: KeyRecord): void {
  checkAlgorithm(key, 'SIGN_VERIFY', SigningAlgorithm);
  const algorithm = SigningAlgorithm as SigningAlgorithm;
  if (!takesMessageType(algorithm, MessageType)) {
    const what = algorithm.startsWith('ED25519') ? `algorithm ${algorithm}` : `key spec ${key.keySpec}`;
    throw new AwsError('ValidationException', `Message type ${MessageType} is incompatible with ${what}.`);
  }
  if (MessageType === 'DIGEST' && Message.length !== digestBytesOf(algorithm)) {
    throw new AwsError('ValidationException', `Digest is invalid length for algorithm ${algorithm}.`);
  }
  if (MessageType === 'EXTERNAL_MU' && Message.length !== MU_BYTES) {
    throw new AwsError('ValidationException', `External Mu is invalid length for algorithm ${algorithm}.`);
  }
}

function takesMessageType(algorithm: SigningAlgorithm, type: MessageType): boolean {
  switch (algorithm) {
    case 'ED25519_SHA_512':
      return type === 'RAW';
    case 'ED25519_PH_SHA_512':
      return type === 'DIGEST';
    case 'ML_DSA_SHAKE_256':
      return type !== 'DIGEST';
    default:
      return type !== 'EXTERNAL_MU';
  }
}

function toMessage({ Message, MessageType = 'RAW', SigningAlgorithm }: SignRequest): {
  readonly algorithm: SigningAlgorithm;
  readonly type: MessageType;
  readonly bytes: Buffer;
} {
  // checkRequest has passed.
  return { algorithm: SigningAlgorithm as SigningAlgorithm, type: MessageType, bytes: Message };
}
