/** A KMS v2 client whose calls are measured. */
import type { KmsV2Service } from '@waxseal/kms-api';
import type { Clock } from './clock.js';
import type { EncryptionMetrics } from './metrics.js';

export function timedKmsV2(
  client: KmsV2Service,
  providerName: string,
  clock: Clock,
  metrics: Pick<EncryptionMetrics, 'kmsOperation'>,
): KmsV2Service {
  const timed = async <T>(method: 'Status' | 'Encrypt' | 'Decrypt', call: Promise<T>): Promise<T> => {
    const startMs = clock.monotonicMs();
    const end = (error: unknown): void => {
      const methodName = `/v2.KeyManagementService/${method}`;
      metrics.kmsOperation(providerName, methodName, clock.monotonicMs() - startMs, error);
    };
    try {
      const response = await call;
      end(undefined);
      return response;
    } catch (error) {
      end(error);
      throw error;
    }
  };
  return {
    status: (signal) => timed('Status', client.status(signal)),
    encrypt: (uid, plaintext, signal) => timed('Encrypt', client.encrypt(uid, plaintext, signal)),
    decrypt: (uid, request, signal) => timed('Decrypt', client.decrypt(uid, request, signal)),
  };
}
