/** GenerateMac and VerifyMac. */
import { AwsError } from '../aws-error.js';
import { createMac, verifyMac as checkMac } from '../crypto/macs.js';
import { arnOf, currentMaterial, type KeyRecord } from '../keys/key-record.js';
import { required } from '../validation/members.js';
import * as shapes from '../validation/shapes.js';
import { checkAlgorithm } from './algorithms.js';
import { MACS } from './key-rules.js';
import { defineKeyOperation } from './operation.js';

const macInput = {
  KeyId: required(shapes.keyId),
  Message: required(shapes.message),
  MacAlgorithm: required(shapes.macAlgorithm),
  GrantTokens: shapes.grantTokens,
  DryRun: shapes.dryRun,
};

export const generateMac = defineKeyOperation({
  name: 'GenerateMac',
  action: 'kms:GenerateMac',
  readOnly: true,
  key: MACS,
  input: macInput,
  checkKey: checkMacAlgorithm,
  run(call, { Message, MacAlgorithm }, key) {
    const mac = createMac(call.services.vault.open(key, currentMaterial(key)), MacAlgorithm, Message);
    return { KeyId: arnOf(key), Mac: mac.toString('base64'), MacAlgorithm };
  },
});

export const verifyMac = defineKeyOperation({
  name: 'VerifyMac',
  action: 'kms:VerifyMac',
  readOnly: true,
  key: MACS,
  input: { ...macInput, Mac: required(shapes.mac) },
  checkKey: checkMacAlgorithm,
  run(call, { Message, MacAlgorithm, Mac }, key) {
    const secret = call.services.vault.open(key, currentMaterial(key));
    if (!checkMac(secret, MacAlgorithm, Message, Mac)) throw new AwsError('KMSInvalidMacException');
    return { KeyId: arnOf(key), MacAlgorithm, MacValid: true };
  },
});

function checkMacAlgorithm({ MacAlgorithm }: { readonly MacAlgorithm: string }, key: KeyRecord): void {
  checkAlgorithm(key, 'GENERATE_VERIFY_MAC', MacAlgorithm);
}
