/** An EncryptionConfiguration as YAML. Every string that YAML 1.1 could read as something else is quoted: Go reads the file so. */
import {
  formatDuration,
  type EncryptionConfiguration,
  type KmsConfiguration,
  type ProviderConfiguration,
} from '@waxseal/encryption-config';
import { stringify } from 'yaml';

/** What is absent takes its default, which is the same again. */
export function renderConfiguration(config: EncryptionConfiguration): string {
  const document = {
    apiVersion: 'apiserver.config.k8s.io/v1',
    kind: 'EncryptionConfiguration',
    resources: config.resources.map(({ resources, providers }) => ({
      resources: [...resources],
      providers: providers.map(plainProvider),
    })),
  };
  return stringify(document, { version: '1.1', lineWidth: 0 });
}

/** As the file writes it. */
export function plainProvider(provider: ProviderConfiguration): object {
  return provider.kms === undefined ? provider : { kms: plainKms(provider.kms) };
}

function plainKms({ apiVersion, name, endpoint, cacheSize, timeoutMs }: KmsConfiguration): object {
  return {
    apiVersion,
    name,
    endpoint,
    // KMS v2 refuses the field.
    ...(apiVersion === 'v1' && cacheSize !== undefined ? { cachesize: cacheSize } : {}),
    timeout: formatDuration(timeoutMs),
  };
}
