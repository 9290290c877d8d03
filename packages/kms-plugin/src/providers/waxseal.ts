/**
 * Waxseal's own key service: AWS's protocol with a private CA and a credentials file. Ciphertexts are those of the `aws`
 * provider; only the way the calls travel differs.
 */
import type { Provider } from '../provider.js';
import { createAwsKmsProvider, type AwsKeyOptions } from './aws-kms-provider.js';
import { readSharedCredentials } from './aws-shared-credentials.js';
import { createLeanKmsCalls } from './lean-kms-calls.js';

export interface WaxsealProviderOptions extends AwsKeyOptions {
  /** `https://host:port` of the key service. */
  readonly endpoint: string;
  /** AWS shared credentials file with an access key of the key service. */
  readonly credentialsFile: string;
  /** The section of that file; `default` by default. */
  readonly profile?: string;
  /** PEM file of the key service's CA; the system's CAs otherwise. */
  readonly caFile?: string;
  /** `us-east-1` by default, as the key service has. */
  readonly region?: string;
}

/**
 * Nothing is read or connected before the first call.
 *
 * @throws KmsPluginError `invalid_options`
 */
export function createWaxsealProvider(options: WaxsealProviderOptions): Provider {
  const { endpoint, caFile, region = 'us-east-1' } = options;
  const calls = createLeanKmsCalls({
    endpoint,
    region,
    credentials: () => readSharedCredentials(options.credentialsFile, options.profile ?? 'default'),
    ...(caFile === undefined ? {} : { caFile }),
  });
  return {
    ...createAwsKmsProvider('waxseal', options, calls),
    connection: { url: endpoint, region, caFile },
  };
}
