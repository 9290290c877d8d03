/**
 * Where a key of Azure Key Vault or a managed HSM is, and the key id an API server sees for it.
 *
 * Source: Azure Key Vault, "Keys, secrets, and certificates overview: objects, identifiers, and versioning".
 */
import { createHash } from 'node:crypto';
import { KmsPluginError } from '../errors.js';

/** The clouds Azure runs; each has its own domains. */
export type AzureCloud = 'public' | 'us-government' | 'china';

export interface AzureKeyPlace {
  /** The whole identifier, `https://VAULT.vault.azure.net/keys/NAME[/VERSION]`; instead of the three parts below. */
  readonly keyUrl?: string;
  /** The name of the vault or managed HSM. */
  readonly vaultName?: string;
  readonly keyName?: string;
  /** 32 hexadecimal digits. Without one, the newest version that is enabled writes, and a newer one takes over by itself. */
  readonly keyVersion?: string;
  /** `vaultName` is the name of a managed HSM. */
  readonly managedHsm?: boolean;
  /** `public` by default. */
  readonly cloud?: AzureCloud;
}

export interface AzureKeyUrl {
  /** `https://host[:port]`. */
  readonly vaultUrl: string;
  readonly keyName: string;
  /** The version writes are pinned to. */
  readonly pinnedVersion: string | undefined;
}

const suffixes: Readonly<Record<AzureCloud, { readonly vault: string; readonly managedHsm: string }>> = {
  public: { vault: 'vault.azure.net', managedHsm: 'managedhsm.azure.net' },
  'us-government': { vault: 'vault.usgovcloudapi.net', managedHsm: 'managedhsm.usgovcloudapi.net' },
  china: { vault: 'vault.azure.cn', managedHsm: 'managedhsm.azure.cn' },
};

const vaultNamePattern = /^[a-z][a-z0-9-]{1,22}[a-z0-9]$/;
const keyNamePattern = /^[A-Za-z0-9-]{1,127}$/;
const versionPattern = /^[0-9a-f]{32}$/;

/** @throws KmsPluginError `invalid_options` */
export function parseAzureKey(place: AzureKeyPlace): AzureKeyUrl {
  if (place.keyUrl !== undefined) {
    if (
      place.vaultName !== undefined ||
      place.keyName !== undefined ||
      place.keyVersion !== undefined ||
      place.managedHsm === true
    ) {
      throw invalid('Give either the URL of the key, or the vault, the key name and its version.');
    }
    return parseKeyUrl(place.keyUrl);
  }
  if (place.vaultName === undefined || place.keyName === undefined) {
    throw invalid('Name the key: its URL, or the vault and the name of the key.');
  }
  const vaultName = place.vaultName.toLowerCase();
  if (!vaultNamePattern.test(vaultName)) {
    throw invalid(`"${place.vaultName}" is not the name of a vault: 3 to 24 letters, digits and hyphens.`);
  }
  const suffix = suffixes[place.cloud ?? 'public'][place.managedHsm === true ? 'managedHsm' : 'vault'];
  return checked(`https://${vaultName}.${suffix}`, place.keyName, place.keyVersion);
}

function parseKeyUrl(text: string): AzureKeyUrl {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const [empty, collection, keyName, version, ...rest] = url?.pathname.split('/') ?? [];
  if (
    url?.protocol !== 'https:' ||
    empty !== '' ||
    collection !== 'keys' ||
    rest.length > 0 ||
    url.search !== '' ||
    url.hash !== '' ||
    url.username !== '' ||
    url.password !== ''
  ) {
    throw invalid(`"${text}" is not the URL of a key. Use https://VAULT.vault.azure.net/keys/NAME/VERSION.`);
  }
  return checked(url.origin, keyName ?? '', version === '' ? undefined : version);
}

function checked(vaultUrl: string, keyName: string, version: string | undefined): AzureKeyUrl {
  if (!keyNamePattern.test(keyName)) {
    throw invalid(`"${keyName}" is not the name of a key: 1 to 127 letters, digits and hyphens.`);
  }
  if (version !== undefined && !isKeyVersion(version.toLowerCase())) {
    throw invalid(`"${version}" is not the version of a key: 32 hexadecimal digits.`);
  }
  return { vaultUrl, keyName, pinnedVersion: version?.toLowerCase() };
}

export function isKeyVersion(text: string): boolean {
  return versionPattern.test(text);
}

/** The identifier of the key, as the vault itself writes it in `kid`; of no certain version without one. */
export function keyUrlOf(key: AzureKeyUrl, version: string | undefined): string {
  return `${key.vaultUrl}/keys/${key.keyName}${version === undefined ? '' : `/${version}`}`;
}

/** The key id of Status and Encrypt, as Azure's kubernetes-kms makes it: SHA-256 of the identifier, hexadecimal. */
export function keyIdOf(keyUrl: string): string {
  return createHash('sha256').update(keyUrl).digest('hex');
}

function invalid(message: string): KmsPluginError {
  return new KmsPluginError('invalid_options', message);
}
