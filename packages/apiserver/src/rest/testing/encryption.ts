/** Encryption for tests: keys out of words, exchangeable, as slow as wanted. */
import { createHash, randomBytes } from 'node:crypto';
import type { EncryptionAtRest } from '@waxseal/encryption-config';
import {
  createAesGcmTransformer,
  createIdentityTransformer,
  createPrefixTransformer,
  type MaybePromise,
  type Transformer,
} from '@waxseal/envelope';

/** AES-GCM under the key derived from `secret`, and every older one readable. */
export function transformerOf(...secrets: readonly string[]): Transformer {
  return createPrefixTransformer({
    transformers: [
      ...secrets.map((secret) => ({
        prefix: `k8s:enc:aesgcm:v1:${secret}:`,
        transformer: createAesGcmTransformer({
          key: createHash('sha256').update(secret).digest(),
          randomBytes,
        }),
      })),
      { prefix: '', transformer: createIdentityTransformer() },
    ],
  });
}

/** Opens every value later, as when a KMS has to be asked. */
export function slowTransformer(inner: Transformer): Transformer {
  const later = <T>(value: MaybePromise<T>): Promise<T> =>
    new Promise((resolve) => {
      setImmediate(() => resolve(value));
    });
  return {
    transformFromStorage: (stored, authenticated) => later(inner.transformFromStorage(stored, authenticated)),
    transformToStorage: (data, authenticated) => later(inner.transformToStorage(data, authenticated)),
  };
}

/** Opens and seals nothing, as when the KMS is down. */
export function failingTransformer(message: string): Transformer {
  const fail = (): never => {
    throw new Error(message);
  };
  return { transformFromStorage: fail, transformToStorage: fail };
}

/** Encryption whose transformer can be exchanged under the running server, as a reload does. */
export function switchableEncryption(
  first: Transformer,
): EncryptionAtRest & { use(next: Transformer): void } {
  let current = first;
  const stable: Transformer = {
    transformFromStorage: (stored, authenticated) => current.transformFromStorage(stored, authenticated),
    transformToStorage: (data, authenticated) => current.transformToStorage(data, authenticated),
  };
  return {
    transformerFor: () => stable,
    healthChecks: () => [],
    close: async () => undefined,
    use(next) {
      current = next;
    },
  };
}
