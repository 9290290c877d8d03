/** Every operation the service answers, by name. An operation missing here is unknown. */
import { createAlias, deleteAlias, listAliases, updateAlias } from './aliases.js';
import {
  connectCustomKeyStore,
  createCustomKeyStore,
  deleteCustomKeyStore,
  describeCustomKeyStores,
  disconnectCustomKeyStore,
  updateCustomKeyStore,
} from './custom-key-stores.js';
import { generateDataKey, generateDataKeyWithoutPlaintext, generateRandom } from './data-keys.js';
import { generateDataKeyPair, generateDataKeyPairWithoutPlaintext } from './data-key-pairs.js';
import { decrypt, encrypt, reEncrypt } from './encryption.js';
import { deriveSharedSecret } from './key-agreement.js';
import { decapsulate, encapsulate } from './key-encapsulation.js';
import { cancelKeyDeletion, disableKey, enableKey, scheduleKeyDeletion } from './key-state-changes.js';
import { deleteImportedKeyMaterial, getParametersForImport, importKeyMaterial } from './import.js';
import { createGrant, listGrants, listRetirableGrants, retireGrant, revokeGrant } from './grants.js';
import { createKey, describeKey, listKeys, updateKeyDescription } from './keys.js';
import { replicateKey, updatePrimaryRegion } from './multi-region.js';
import { getKeyLastUsage } from './last-usage.js';
import { generateMac, verifyMac } from './macs.js';
import type { Operation } from './operation.js';
import { getKeyPolicy, listKeyPolicies, putKeyPolicy } from './policies.js';
import { getPublicKey } from './public-keys.js';
import {
  disableKeyRotation,
  enableKeyRotation,
  getKeyRotationStatus,
  listKeyRotations,
  rotateKeyOnDemand,
} from './rotation.js';
import { sign, verify } from './sign.js';
import { listResourceTags, tagResource, untagResource } from './tags.js';

const ALL: readonly Operation[] = [
  cancelKeyDeletion,
  connectCustomKeyStore,
  createAlias,
  createCustomKeyStore,
  createGrant,
  createKey,
  decapsulate,
  decrypt,
  deleteAlias,
  deleteImportedKeyMaterial,
  deleteCustomKeyStore,
  deriveSharedSecret,
  describeCustomKeyStores,
  describeKey,
  disableKey,
  disableKeyRotation,
  disconnectCustomKeyStore,
  enableKey,
  enableKeyRotation,
  encapsulate,
  encrypt,
  generateDataKey,
  generateDataKeyPair,
  generateDataKeyPairWithoutPlaintext,
  generateDataKeyWithoutPlaintext,
  generateMac,
  generateRandom,
  getKeyLastUsage,
  getKeyPolicy,
  getKeyRotationStatus,
  getParametersForImport,
  importKeyMaterial,
  getPublicKey,
  listAliases,
  listGrants,
  listKeyPolicies,
  listKeyRotations,
  listKeys,
  listResourceTags,
  listRetirableGrants,
  putKeyPolicy,
  reEncrypt,
  replicateKey,
  retireGrant,
  revokeGrant,
  rotateKeyOnDemand,
  scheduleKeyDeletion,
  sign,
  tagResource,
  untagResource,
  updateAlias,
  updateCustomKeyStore,
  updateKeyDescription,
  verify,
  verifyMac,
  updatePrimaryRegion,
];

export const OPERATIONS: ReadonlyMap<string, Operation> = new Map(
  ALL.map((operation) => [operation.name, operation]),
);
