/** What each provider's backend calls the permission that an operation needs. Sources: the backends' own references. */
import type { Operation } from '../key-health.js';

type Need = Operation | 'describe';

const permissions: Readonly<Record<string, Readonly<Record<Need, string>>>> = {
  // AWS KMS Developer Guide, "AWS KMS permissions".
  aws: { describe: 'kms:DescribeKey', encrypt: 'kms:Encrypt', decrypt: 'kms:Decrypt' },
  waxseal: { describe: 'kms:DescribeKey', encrypt: 'kms:Encrypt', decrypt: 'kms:Decrypt' },
  // Azure RBAC data actions of Microsoft.KeyVault; with access policies get, encrypt and decrypt.
  azure: {
    describe: 'keys/read (get)',
    encrypt: 'keys/encrypt/action (encrypt)',
    decrypt: 'keys/decrypt/action (decrypt)',
  },
  // Cloud KMS, "Permissions and roles".
  gcp: {
    describe: 'cloudkms.cryptoKeys.get',
    encrypt: 'cloudkms.cryptoKeyVersions.useToEncrypt',
    decrypt: 'cloudkms.cryptoKeyVersions.useToDecrypt',
  },
  // Vault, "Transit secrets engine (API)": capabilities of a policy on the path.
  vault: {
    describe: 'read on MOUNT/keys/KEY',
    encrypt: 'update on MOUNT/encrypt/KEY',
    decrypt: 'update on MOUNT/decrypt/KEY',
  },
};

/** @returns undefined for a backend without permissions of its own */
export const permissionFor = (provider: string, need: Need): string | undefined =>
  permissions[provider]?.[need];
