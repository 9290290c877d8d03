/** Why a stored value cannot be read, told apart, and what to do about each. */

/**
 * - `wrong-key`: the configuration has a key of that name, but it is not the one that wrote the value
 * - `moved`: written under another storage key and copied or renamed in storage
 * - `authentication-failed`: the key fits; the bytes were changed or cut
 * - `truncated`: shorter than its format allows
 * - `provider-missing`: nothing in the configuration reads its prefix
 * - `malformed`: the frame, or the object in it, does not parse
 * - `kms-denied`, `kms-disabled`, `kms-deleted`, `kms-unreachable`: what the KMS plugin says of the key
 * - `kms-failed`: the plugin failed in a way it does not explain
 */
export type VerifyCause =
  | 'wrong-key'
  | 'moved'
  | 'authentication-failed'
  | 'truncated'
  | 'provider-missing'
  | 'malformed'
  | 'kms-denied'
  | 'kms-disabled'
  | 'kms-deleted'
  | 'kms-unreachable'
  | 'kms-failed';

export interface Finding {
  readonly cause: VerifyCause;
  /** One sentence; never plaintext or key material. */
  readonly message: string;
}

/** What to do about a cause: one sentence each. */
export const verifyAdvice: Readonly<Record<VerifyCause, string>> = {
  'wrong-key':
    'Put the key that wrote these values back under its name (backups of the configuration, another API server’s file); without it they are lost.',
  moved:
    'Copy the value back to the key it was written under, or write the object anew through the API; never copy encrypted values in etcd.',
  'authentication-failed':
    'Restore these objects from a backup of etcd, and look for what changed the bytes (disk, tools that write to etcd).',
  truncated: 'Restore these objects from a backup of etcd, and check the disk and the copy it came from.',
  'provider-missing':
    'Add the provider or key that the message names to the configuration, after the first provider, and rewrap.',
  malformed: 'Restore these objects from a backup of etcd; the API server cannot read them either.',
  'kms-denied': 'Allow the KMS plugin to decrypt with the key; its log names the refusing policy.',
  'kms-disabled': 'Enable the key in the KMS; nothing is lost.',
  'kms-deleted':
    'Cancel the deletion if it is pending, restore the key from its backup, or use an escrow recipient (waxseal plugin recover-dek).',
  'kms-unreachable':
    'Check that the KMS plugin runs and listens on the configured socket, and run this again.',
  'kms-failed': 'Read the log of the KMS plugin at this time, and run waxseal plugin … explain for its key.',
};
