/** The plugin's answers on the socket: KMS v1 and v2 over one backend. */
import { KmsApiError, kmsV1Version, type KmsV1Service, type KmsV2Service } from '@waxseal/kms-api';
import type { Backend } from './backend.js';
import { toProviderError } from './errors.js';
import type { KeyHealth } from './key-health.js';
import { pluginVersion } from './version.js';

/** How the plugin introduces itself to KMS v1. */
const runtimeName = 'waxseal';

/** What a call on the socket fails with; the provider's own error stays behind as its cause, for the log. */
function toKmsApiError(method: string, error: unknown): KmsApiError {
  const failed = toProviderError(error);
  return new KmsApiError(failed.failure.code, failed.message, { cause: failed, method });
}

export interface V2Options {
  readonly backend: Backend;
  readonly health: KeyHealth;
  /** Must not change while an API server runs. */
  readonly statusVersion: 'v2' | 'v2beta1';
  /** Resolves once there is something to say about the key. */
  readonly ready: () => Promise<void>;
  /** What `healthz` says before anything else: that the key will not work for long, or already does not. */
  readonly danger: () => string | undefined;
}

export function createV2Service(options: V2Options): KmsV2Service {
  const { backend, health } = options;
  return {
    status: async () => {
      await options.ready();
      // An API server that reads a key id in Status writes on with it, whatever healthz says (k8s.io/apiserver,
      // rotateDEKOnKeyIDChange). Without one it stops writing after three minutes: nothing new is sealed under a key
      // that is disabled or about to be deleted. Reads go on.
      const keyId = health.of('encrypt').kind === 'failing' ? '' : backend.snapshot().keyId;
      // What endangers the key is the reason when the key fails too, and says until when something can be done.
      const healthz = options.danger() ?? health.summary();
      return { version: options.statusVersion, healthz, keyId };
    },
    encrypt: async (_uid, plaintext, signal, timeoutMs) => {
      const snapshot = backend.snapshot();
      try {
        const { ciphertext, annotations } = await backend.encrypt(snapshot, plaintext, {
          signal,
          timeoutMs,
        });
        return { ciphertext, annotations, keyId: snapshot.keyId };
      } catch (error) {
        throw toKmsApiError('Encrypt', error);
      }
    },
    decrypt: async (_uid, request, signal, timeoutMs) => {
      try {
        return await backend.decrypt({ ...request, version: 'v2' }, { signal, timeoutMs });
      } catch (error) {
        throw toKmsApiError('Decrypt', error);
      }
    },
  };
}

export function createV1Service(backend: Backend): KmsV1Service {
  return {
    version: () => Promise.resolve({ version: kmsV1Version, runtimeName, runtimeVersion: pluginVersion }),
    encrypt: async (plaintext, signal, timeoutMs) => {
      try {
        // KMS v1 stores the ciphertext and nothing beside it; a key set with recipients does not serve it.
        return (await backend.encrypt(backend.snapshot(), plaintext, { signal, timeoutMs })).ciphertext;
      } catch (error) {
        throw toKmsApiError('Encrypt', error);
      }
    },
    decrypt: async (ciphertext, signal, timeoutMs) => {
      try {
        return await backend.decrypt(
          { ciphertext, version: 'v1', keyId: undefined, annotations: {} },
          { signal, timeoutMs },
        );
      } catch (error) {
        throw toKmsApiError('Decrypt', error);
      }
    },
  };
}
