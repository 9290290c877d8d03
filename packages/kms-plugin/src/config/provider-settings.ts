/**
 * The `provider:` of a configuration file: which settings each provider has, and the provider made of them. What a setting does is said
 * where the provider's options are declared; secrets are never among them, only the files that hold them.
 *
 * A provider's code is loaded when the configuration names it.
 */
import { readFile } from 'node:fs/promises';
import { KmsPluginError } from '../errors.js';
import type { Provider } from '../provider.js';
import type { AzureCredentialOptions } from '../providers/azure-credentials.js';
import type { BaoKmsProviderNames } from '../providers/vault-bao-values.js';
import type { VaultAuth } from '../providers/vault-logins.js';
import { given, type Settings } from './settings.js';

/** @throws KmsPluginError when the provider cannot be made of its settings */
export type CreateProvider = () => Promise<Provider>;

const attempts = { min: 1, max: 10 };
const pollRange = { min: 1000, max: 3_600_000 };

function aws(settings: Settings): CreateProvider {
  const keyId = settings.text('keyId');
  const options = given({
    encryptionContext: settings.map('encryptionContext'),
    decryptKeyIds: settings.texts('decryptKeyIds'),
    region: settings.optionalText('region'),
    endpoint: settings.optionalText('endpoint'),
    credentialsFile: settings.optionalSecretFile('credentialsFile'),
    profile: settings.optionalText('profile'),
    sourceArn: settings.optionalText('sourceArn'),
    caFile: settings.optionalFile('caFile'),
    maxAttempts: settings.wholeNumber('maxAttempts', attempts),
  });
  return async () => (await import('../providers/aws.js')).createAwsProvider({ keyId, ...options });
}

function waxseal(settings: Settings): CreateProvider {
  const needed = {
    keyId: settings.text('keyId'),
    endpoint: settings.text('endpoint'),
    credentialsFile: settings.secretFile('credentialsFile'),
  };
  const options = given({
    encryptionContext: settings.map('encryptionContext'),
    decryptKeyIds: settings.texts('decryptKeyIds'),
    profile: settings.optionalText('profile'),
    caFile: settings.optionalFile('caFile'),
    region: settings.optionalText('region'),
  });
  return async () =>
    (await import('../providers/waxseal.js')).createWaxsealProvider({ ...needed, ...options });
}

function local(settings: Settings): CreateProvider {
  const keyringFile = settings.file('keyringFile');
  const passphraseFile = settings.optionalSecretFile('passphraseFile');
  return async () =>
    (await import('../providers/local.js')).createLocalProvider({
      keyringFile,
      ...(passphraseFile === undefined ? {} : { passphrase: () => readSecretLine(passphraseFile) }),
    });
}

function azure(settings: Settings): CreateProvider {
  const options = given({
    keyUrl: settings.optionalText('keyUrl'),
    vaultName: settings.optionalText('vaultName'),
    keyName: settings.optionalText('keyName'),
    keyVersion: settings.optionalText('keyVersion'),
    managedHsm: settings.flag('managedHsm'),
    cloud: settings.choice('cloud', ['public', 'us-government', 'china']),
    algorithm: settings.choice('algorithm', ['RSA-OAEP-256', 'RSA1_5', 'A256GCM']),
    caFile: settings.optionalFile('caFile'),
    encryptedClusterSeedFile: settings.optionalFile('encryptedClusterSeedFile'),
    maxAttempts: settings.wholeNumber('maxAttempts', attempts),
    pollIntervalMs: settings.wholeNumber('pollIntervalMs', pollRange),
    credential: azureCredential(settings.section('credential')),
  });
  return async () => (await import('../providers/azure.js')).createAzureProvider(options);
}

function azureCredential(settings: Settings | undefined): AzureCredentialOptions | undefined {
  if (settings === undefined) return undefined;
  const kind = settings.requiredChoice('kind', [
    'default',
    'managed-identity',
    'workload-identity',
    'client-secret',
    'client-certificate',
    'azure-json',
  ]);
  const credential = azureCredentialOf(kind, settings);
  settings.end();
  return credential;
}

function azureCredentialOf(
  kind: AzureCredentialOptions['kind'] | undefined,
  settings: Settings,
): AzureCredentialOptions | undefined {
  const clientId = (): { clientId?: string } => given({ clientId: settings.optionalText('clientId') });
  const tenantId = (): { tenantId?: string } => given({ tenantId: settings.optionalText('tenantId') });
  const principal = (): { tenantId: string; clientId: string } => ({
    tenantId: settings.text('tenantId'),
    clientId: settings.text('clientId'),
  });
  switch (kind) {
    case 'default':
      return { kind, ...tenantId(), ...clientId() };
    case 'managed-identity':
      return { kind, ...clientId() };
    case 'workload-identity':
      return {
        kind,
        ...tenantId(),
        ...clientId(),
        ...given({ tokenFile: settings.optionalSecretFile('tokenFile') }),
      };
    case 'client-secret':
      return { kind, ...principal(), secretFile: settings.secretFile('secretFile') };
    case 'client-certificate':
      return { kind, ...principal(), certificateFile: settings.secretFile('certificateFile') };
    case 'azure-json':
      return { kind, file: settings.secretFile('file') };
    default:
      return kind satisfies undefined;
  }
}

function gcp(settings: Settings): CreateProvider {
  const key = settings.text('key');
  const options = given({
    decryptKeys: settings.texts('decryptKeys'),
    keyIdSuffix: settings.optionalText('keyIdSuffix'),
    additionalAuthenticatedData: settings.optionalText('additionalAuthenticatedData'),
    credentialsFile: settings.optionalSecretFile('credentialsFile'),
    endpoint: settings.optionalText('endpoint'),
    universeDomain: settings.optionalText('universeDomain'),
  });
  return async () => (await import('../providers/gcp.js')).createGcpProvider({ key, ...options });
}

function vault(settings: Settings): CreateProvider {
  const keyName = settings.text('keyName');
  const address = settings.requiredTexts('address');
  const auth = vaultAuth(settings.requiredSection('auth'));
  const options = given({
    mount: settings.optionalText('mount'),
    context: settings.optionalText('context'),
    associatedData: settings.optionalText('associatedData'),
    namespace: settings.optionalText('namespace'),
    serverName: settings.optionalText('serverName'),
    caFile: settings.optionalFile('caFile'),
    clientCertFile: settings.optionalFile('clientCertFile'),
    clientKeyFile: settings.optionalSecretFile('clientKeyFile'),
    keyPollMs: settings.wholeNumber('keyPollMs', pollRange),
    baoKmsProvider: baoKmsProvider(settings.section('baoKmsProvider')),
  });
  return async () =>
    (await import('../providers/vault.js')).createVaultProvider({ keyName, address, auth, ...options });
}

function baoKmsProvider(settings: Settings | undefined): BaoKmsProviderNames | undefined {
  if (settings === undefined) return undefined;
  const names = {
    providerName: settings.text('providerName'),
    clusterId: settings.text('clusterId'),
    instanceId: settings.text('instanceId'),
  };
  settings.end();
  return names;
}

/** What is wrong is told by the settings; the token login then stands for the one that cannot be read. */
function vaultAuth(settings: Settings | undefined): VaultAuth {
  const kind = settings?.requiredChoice('kind', ['token', 'approle', 'kubernetes', 'jwt', 'cert']);
  if (settings === undefined || kind === undefined) return { kind: 'token', tokenFile: '' };
  const auth = vaultAuthOf(kind, settings);
  settings.end();
  return auth;
}

function vaultAuthOf(kind: VaultAuth['kind'], settings: Settings): VaultAuth {
  const mount = (): { mount?: string } => given({ mount: settings.optionalText('mount') });
  switch (kind) {
    case 'token':
      return { kind, tokenFile: settings.secretFile('tokenFile') };
    case 'approle':
      return {
        kind,
        ...mount(),
        ...given({
          roleId: settings.optionalText('roleId'),
          roleIdFile: settings.optionalSecretFile('roleIdFile'),
          secretIdFile: settings.optionalSecretFile('secretIdFile'),
          secretIdWrapped: settings.flag('secretIdWrapped'),
        }),
      };
    case 'kubernetes':
    case 'jwt':
      return {
        kind,
        ...mount(),
        role: settings.text('role'),
        ...given({ jwtFile: settings.optionalSecretFile('jwtFile') }),
      };
    default:
      return {
        kind: kind satisfies 'cert',
        ...mount(),
        ...given({ role: settings.optionalText('role') }),
      };
  }
}

function pkcs11(settings: Settings): CreateProvider {
  const pinFile = settings.secretFile('pinFile');
  const needed = { modulePath: settings.file('modulePath'), keyLabel: settings.text('keyLabel') };
  const keyId = settings.optionalText('keyId');
  if (keyId !== undefined && !/^([0-9a-fA-F]{2}){1,64}$/.test(keyId)) {
    settings.problem('keyId', 'expected the CKA_ID as hexadecimal digits, in quotes.');
  }
  const options = given({
    tokenLabel: settings.optionalText('tokenLabel'),
    serialNumber: settings.optionalText('serialNumber'),
    slotId: settings.wholeNumber('slotId', { min: 0, max: Number.MAX_SAFE_INTEGER }),
    keyId: keyId === undefined ? undefined : Buffer.from(keyId, 'hex'),
    mechanism: settings.choice('mechanism', [
      'rsa-oaep-sha256',
      'rsa-oaep-sha1',
      'aes-gcm',
      'aes-key-wrap',
      'aes-key-wrap-pad',
    ]),
    maxSessions: settings.wholeNumber('maxSessions', { min: 1, max: 1024 }),
    timeoutMs: settings.wholeNumber('timeoutMs', { min: 100, max: 60_000 }),
  });
  return async () =>
    (await import('../providers/pkcs11.js')).createPkcs11Provider({
      ...needed,
      ...options,
      pin: () => readSecretLine(pinFile),
    });
}

/** A PIN or passphrase, without the newline an editor leaves behind it. */
async function readSecretLine(file: string): Promise<Buffer> {
  let line: Buffer;
  try {
    line = await readFile(file);
  } catch (cause) {
    throw new KmsPluginError(
      'credentials_invalid',
      `${file} cannot be read. Check the path and its permissions.`,
      cause,
    );
  }
  let { length } = line;
  while (length > 0 && (line[length - 1] === 0x0a || line[length - 1] === 0x0d)) length -= 1;
  return line.subarray(0, length);
}

const providers = { aws, waxseal, azure, gcp, vault, pkcs11, local } as const;

/** @returns undefined when it is wrong; the problems say why */
export function readProvider(settings: Settings | undefined): CreateProvider | undefined {
  const named = settings?.only(Object.keys(providers) as (keyof typeof providers)[]);
  if (named === undefined) return undefined;
  const [name, own] = named;
  const create = providers[name](own);
  own.end();
  return create;
}
