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
  return createAwsKmsProvider('aws', options, createAwsSdkCalls(options));
}
