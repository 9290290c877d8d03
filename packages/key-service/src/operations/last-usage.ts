/** GetKeyLastUsage, and which calls count as a use. */
import { required } from '../validation/members.js';
import * as shapes from '../validation/shapes.js';
import type { Call } from './call.js';
import { epochSeconds } from './key-metadata.js';
import { defineKeyOperation } from './operation.js';

/** The model's KeyLastUsageTrackingOperation. */
const TRACKED_OPERATIONS: ReadonlySet<string> = new Set([
  'Decapsulate',
  'Decrypt',
  'DeriveSharedSecret',
  'Encapsulate',
  'Encrypt',
  'GenerateDataKey',
  'GenerateDataKeyPair',
  'GenerateDataKeyPairWithoutPlaintext',
  'GenerateDataKeyWithoutPlaintext',
  'GenerateMac',
  'ReEncrypt',
  'Sign',
  'Verify',
  'VerifyMac',
]);

/** To be called for every call that succeeded. ReEncrypt uses two keys. */
export function noteLastUsage(call: Call, operation: string, eventId: string): void {
  if (!TRACKED_OPERATIONS.has(operation)) return;
  const use = { operation, dateMs: call.nowMs, eventId, requestId: call.requestId };
  for (const { arn, type } of call.resources) {
    if (type === 'AWS::KMS::Key') call.services.usage.note(arn, use);
  }
}

export const getKeyLastUsage = defineKeyOperation({
  name: 'GetKeyLastUsage',
  action: 'kms:GetKeyLastUsage',
  readOnly: true,
  key: { aliases: false, crossAccount: false, states: 'any' },
  input: { KeyId: required(shapes.keyId) },
  async run(call, _input, key) {
    const { usage } = call.services;
    const last = await usage.lastUse(key);
    return {
      KeyCreationDate: epochSeconds(key.creationDateMs),
      KeyId: key.keyId,
      KeyLastUsage:
        last === undefined
          ? {}
          : {
              CloudTrailEventId: last.eventId,
              KmsRequestId: last.requestId,
              Operation: last.operation,
              Timestamp: epochSeconds(last.dateMs),
            },
      TrackingStartDate: epochSeconds(Math.max(usage.trackingStartMs, key.creationDateMs)),
    };
  },
});
