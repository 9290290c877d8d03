/**
 * The health of a KMS v1 plugin: it wraps and unwraps a test value.
 *
 * Source of the rule: k8s.io/apiserver `server/options/encryptionconfig` (kmsPluginProbe).
 */
import { errorMessage } from '@waxseal/envelope';
import type { KmsV1Service } from '@waxseal/kms-api';
import type { Clock } from './clock.js';
import { EncryptionConfigError } from './errors.js';
import { createCachedCheck, type KmsProbe } from './health.js';

export function createKmsV1Probe(
  providerName: string,
  service: Pick<KmsV1Service, 'encrypt' | 'decrypt'>,
  clock: Clock,
  signal: AbortSignal,
): KmsProbe {
  const section = async <T>(name: 'encrypt' | 'decrypt', call: Promise<T>): Promise<T> => {
    try {
      return await call;
    } catch (error) {
      throw new EncryptionConfigError(
        'kms-unhealthy',
        `failed to perform ${name} section of the healthz check for KMS Provider ${providerName}, error: ${errorMessage(error)}`,
        { cause: error },
      );
    }
  };
  const ask = async (): Promise<void> => {
    const wrapped = await section('encrypt', service.encrypt(Buffer.from('ping'), signal));
    await section('decrypt', service.decrypt(wrapped, signal));
  };
  return { providerName, check: createCachedCheck(ask, clock) };
}
