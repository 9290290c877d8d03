/**
 * AWS KMS, and any service that speaks its protocol. Ciphertexts and key ids are those of aws-encryption-provider, so
 * either plugin reads what the other wrote.
 */
import type { Provider } from '../provider.js';
import { createAwsKmsProvider, type AwsKeyOptions } from './aws-kms-provider.js';
import { createAwsSdkCalls, type AwsConnectionOptions } from './aws-sdk-calls.js';

export interface AwsProviderOptions extends AwsKeyOptions, AwsConnectionOptions {}

/** Nothing is loaded or connected before the first call. */
export function createAwsProvider(options: AwsProviderOptions): Provider {
  const { endpoint, region, caFile } = options;
  return {
    ...createAwsKmsProvider('aws', options, createAwsSdkCalls(options)),
    connection: { url: endpoint ?? publicEndpoint(region), region, caFile },
  };
}

/** The endpoints of AWS's partitions for the public and for China; the others are left to the SDK. */
function publicEndpoint(region: string | undefined): string | undefined {
  if (region === undefined || /^us-(iso|gov)/.test(region)) return undefined;
  return `https://kms.${region}.amazonaws.com${region.startsWith('cn-') ? '.cn' : ''}`;
}
