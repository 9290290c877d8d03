/** Every operation the service answers, by name. An operation missing here is unknown. */
import { createAlias, deleteAlias, listAliases, updateAlias } from './aliases.js';
import { generateDataKey, generateDataKeyWithoutPlaintext, generateRandom } from './data-keys.js';
import { decrypt, encrypt, reEncrypt } from './encryption.js';
import { cancelKeyDeletion, disableKey, enableKey, scheduleKeyDeletion } from './key-state-changes.js';
import { createKey, describeKey, listKeys, updateKeyDescription } from './keys.js';
import type { Operation } from './operation.js';
import { getKeyPolicy, listKeyPolicies, putKeyPolicy } from './policies.js';
import {
  disableKeyRotation,
  enableKeyRotation,
  getKeyRotationStatus,
  listKeyRotations,
  rotateKeyOnDemand,
} from './rotation.js';
import { listResourceTags, tagResource, untagResource } from './tags.js';

const ALL: readonly Operation[] = [
  cancelKeyDeletion,
  createAlias,
  createKey,
  decrypt,
  deleteAlias,
  describeKey,
  disableKey,
  disableKeyRotation,
  enableKey,
  enableKeyRotation,
  encrypt,
  generateDataKey,
  generateDataKeyWithoutPlaintext,
  generateRandom,
  getKeyPolicy,
  getKeyRotationStatus,
  listAliases,
  listKeyPolicies,
  listKeyRotations,
  listKeys,
  listResourceTags,
  putKeyPolicy,
  reEncrypt,
  rotateKeyOnDemand,
  scheduleKeyDeletion,
  tagResource,
  untagResource,
  updateAlias,
  updateKeyDescription,
];

export const OPERATIONS: ReadonlyMap<string, Operation> = new Map(
  ALL.map((operation) => [operation.name, operation]),
);
