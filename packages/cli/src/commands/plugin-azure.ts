/** `waxseal plugin azure`: DEKs wrapped with Azure Key Vault or a managed HSM. */
import {
  createAzureProvider,
  type AzureCloud,
  type AzureCredentialOptions,
  type AzureProviderOptions,
} from '@waxseal/kms-plugin';
import { CliError, exitCodes } from '../errors.js';
import { definedOnly, givenFiles, serveKey, type ServeOptions } from './plugin-serve-key.js';

export interface AzureOptions extends ServeOptions {
  readonly key?: string;
  readonly keyvaultName?: string;
  readonly keyName?: string;
  readonly keyVersion?: string;
  readonly managedHsm?: boolean;
  readonly cloud?: AzureCloud;
  readonly algorithm?: NonNullable<AzureProviderOptions['algorithm']>;
  readonly caFile?: string;
  readonly managedIdentity: boolean;
  readonly tenantId?: string;
  readonly clientId?: string;
  readonly clientSecretFile?: string;
  readonly clientCertificateFile?: string;
  readonly tokenFile?: string;
  readonly configFilePath?: string;
  readonly encryptedClusterSeedFile?: string;
}

export async function pluginAzure(options: AzureOptions): Promise<void> {
  const provider = createAzureProvider({
    credential: credentialOf(options),
    ...definedOnly({
      keyUrl: options.key,
      vaultName: options.keyvaultName,
      keyName: options.keyName,
      keyVersion: options.keyVersion,
      managedHsm: options.managedHsm,
      cloud: options.cloud,
      algorithm: options.algorithm,
      caFile: options.caFile,
      encryptedClusterSeedFile: options.encryptedClusterSeedFile,
    }),
  });
  await serveKey(provider, {
    ...options,
    secretFiles: givenFiles(
      options.clientSecretFile,
      options.clientCertificateFile,
      options.tokenFile,
      options.configFilePath,
    ),
  });
}

/** One option says which way to identify oneself; the others belong to it. */
function credentialOf(options: AzureOptions): AzureCredentialOptions {
  const { tenantId, clientId, clientSecretFile, clientCertificateFile, tokenFile, configFilePath } = options;
  const chosen = [clientSecretFile, clientCertificateFile, tokenFile, configFilePath].filter(
    (value) => value !== undefined,
  );
  if (chosen.length + (options.managedIdentity ? 1 : 0) > 1) {
    throw new CliError(
      'more than one way to identify the plugin',
      'Give one of --managed-identity, --client-secret-file, --client-certificate-file, --token-file and --config-file-path.',
      exitCodes.usage,
    );
  }
  const ids = definedOnly({ tenantId, clientId });
  if (configFilePath !== undefined) return { kind: 'azure-json', file: configFilePath };
  if (options.managedIdentity) return { kind: 'managed-identity', ...definedOnly({ clientId }) };
  if (tokenFile !== undefined) return { kind: 'workload-identity', tokenFile, ...ids };
  if (clientSecretFile === undefined && clientCertificateFile === undefined)
    return { kind: 'default', ...ids };
  if (tenantId === undefined || clientId === undefined) {
    throw new CliError(
      'a client secret or certificate needs --tenant-id and --client-id',
      'Both are shown with the application in Microsoft Entra ID.',
      exitCodes.usage,
    );
  }
  return clientSecretFile !== undefined
    ? { kind: 'client-secret', tenantId, clientId, secretFile: clientSecretFile }
    : { kind: 'client-certificate', tenantId, clientId, certificateFile: clientCertificateFile ?? '' };
}
