/** What `GET transit/keys/NAME` tells of a key: its versions, and what of it is a danger to the data. */
import type { KeyCondition } from '../key-condition.js';
import { garbledVaultAnswer } from './vault-errors.js';

export interface TransitKey {
  readonly latestVersion: number;
  /** When the latest version was made, seconds since 1970, where it is told. */
  readonly createdAtSeconds: number | undefined;
  /** Values of older versions are refused until it is lowered. */
  readonly minDecryptionVersion: number;
  /** Older versions are destroyed. */
  readonly minAvailableVersion: number;
  /** Older versions may not encrypt; 0: all may. */
  readonly minEncryptionVersion: number;
  readonly deletionAllowed: boolean;
  readonly softDeleted: boolean;
  readonly exportable: boolean;
  readonly convergent: boolean;
  /** RSA: who knows the public key can encrypt. */
  readonly asymmetric: boolean;
  readonly encrypts: boolean;
  readonly decrypts: boolean;
  /** Seconds; 0: never by itself. */
  readonly autoRotatePeriodSeconds: number;
}

type Fields = Readonly<Record<string, unknown>>;

/** @throws ProviderError `internal` when this is not what the transit engine says of a key */
export function parseTransitKey(data: unknown): TransitKey {
  if (typeof data !== 'object' || data === null) throw garbledVaultAnswer('answer lacks the key');
  const fields = data as Fields;
  const latestVersion = fields['latest_version'];
  if (typeof latestVersion !== 'number' || !Number.isSafeInteger(latestVersion) || latestVersion < 1)
    throw garbledVaultAnswer('answer lacks latest_version');
  return {
    latestVersion,
    createdAtSeconds: createdAt(fields['keys'], latestVersion),
    minDecryptionVersion: count(fields, 'min_decryption_version'),
    minAvailableVersion: count(fields, 'min_available_version'),
    minEncryptionVersion: count(fields, 'min_encryption_version'),
    deletionAllowed: fields['deletion_allowed'] === true,
    softDeleted: fields['soft_deleted'] === true,
    exportable: fields['exportable'] === true || fields['allow_plaintext_backup'] === true,
    convergent: fields['convergent_encryption'] === true,
    asymmetric: typeof fields['type'] === 'string' && fields['type'].startsWith('rsa'),
    encrypts: fields['supports_encryption'] !== false,
    decrypts: fields['supports_decryption'] !== false,
    autoRotatePeriodSeconds: count(fields, 'auto_rotate_period'),
  };
}

/** What an early warning is made of. */
export function conditionOf(key: TransitKey): KeyCondition {
  const warnings: string[] = [];
  const warn = (when: boolean, sentence: string): void => {
    if (when) warnings.push(sentence);
  };
  warn(!key.encrypts || !key.decrypts, 'The type of the key cannot encrypt and decrypt; use aes256-gcm96.');
  warn(key.deletionAllowed, 'The key may be deleted (deletion_allowed); whatever it wrapped would be lost.');
  warn(
    key.minAvailableVersion > 1,
    `Versions of the key before ${key.minAvailableVersion} are destroyed (min_available_version); values they wrapped are lost.`,
  );
  warn(
    key.minDecryptionVersion > Math.max(1, key.minAvailableVersion),
    `Versions of the key before ${key.minDecryptionVersion} may not decrypt (min_decryption_version); values they wrapped cannot be read.`,
  );
  warn(
    key.minEncryptionVersion > key.latestVersion,
    'No version of the key may encrypt (min_encryption_version); lower it or rotate the key.',
  );
  warn(
    key.exportable,
    'The key may be exported or backed up in plaintext; whoever may do so can read everything.',
  );
  warn(key.convergent, 'The key encrypts convergently: equal data keys give equal ciphertexts.');
  return { state: key.softDeleted ? 'disabled' : 'usable', warnings };
}

function count(fields: Fields, name: string): number {
  const value = fields[name];
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : 0;
}

/** Symmetric keys: version → seconds; asymmetric ones: version → an object with `creation_time` in RFC 3339. */
function createdAt(keys: unknown, version: number): number | undefined {
  if (typeof keys !== 'object' || keys === null) return undefined;
  const entry = (keys as Fields)[String(version)];
  if (typeof entry === 'number') return Number.isSafeInteger(entry) && entry > 0 ? entry : undefined;
  if (typeof entry !== 'object' || entry === null) return undefined;
  const time = (entry as Fields)['creation_time'];
  const ms = typeof time === 'string' ? Date.parse(time) : Number.NaN;
  return Number.isNaN(ms) ? undefined : Math.floor(ms / 1000);
}
