/**
 * Azure Key Vault and Azure managed HSM. RSA ciphertexts, annotations and key ids are those of Azure's kubernetes-kms, so
 * either plugin reads what the other wrote: docs/formats/kms-plugin-azure.md.
 */
import type { TokenCredential } from '@azure/identity';
import type { LookupFunction } from 'node:net';
import { KmsPluginError, ProviderError, unopenable } from '../errors.js';
import type { Provider } from '../provider.js';
import {
  aesContext,
  decodeTwiceEncoded,
  formatAes,
  formatAnnotations,
  formatRsa,
  parseAnnotations,
  parseCiphertext,
  type AzureAlgorithm,
  type ParsedCiphertext,
} from './azure-ciphertext.js';
import {
  createAzureCredential,
  type AzureAuthority,
  type AzureCredentialOptions,
} from './azure-credentials.js';
import { createKeyVaultCalls } from './azure-key-vault-calls.js';
import { createKeyVersions } from './azure-key-versions.js';
import { keyUrlOf, parseAzureKey, type AzureKeyPlace } from './azure-key-url.js';

export interface AzureProviderOptions extends AzureKeyPlace {
  /**
   * How new DEKs are wrapped: `RSA-OAEP-256` with an RSA key (the default), `A256GCM` with an AES key of a managed HSM. `RSA1_5`
   * only to write what kubernetes-kms reads over KMS v1.
   */
  readonly algorithm?: AzureAlgorithm;
  /** `default` by default: the chain of @azure/identity. */
  readonly credential?: AzureCredentialOptions;
  /** PEM file of the CA of a private endpoint or proxy; the system's CAs otherwise. */
  readonly caFile?: string;
  /** The SDK's own attempts per call, the first included; 2 by default, for a connection that was closed while idle: the plugin makes calls again itself. */
  readonly maxAttempts?: number;
  /** Least time between two questions for a newer version of the key; 300,000 by default. */
  readonly pollIntervalMs?: number;
}

/** What the tests of this package replace. */
export interface AzureEnvironment {
  readonly credential?: TokenCredential;
  readonly authority?: AzureAuthority;
  readonly lookup?: LookupFunction;
  /** Milliseconds since 1970. */
  readonly nowMs?: () => number;
}

/**
 * Nothing is loaded, read or connected before the first call.
 *
 * @throws KmsPluginError `invalid_options`
 */
export function createAzureProvider(options: AzureProviderOptions): Provider {
  return createAzureProviderIn(options, {});
}

export function createAzureProviderIn(
  options: AzureProviderOptions,
  environment: AzureEnvironment,
): Provider {
  const key = parseAzureKey(options);
  const algorithm = options.algorithm ?? 'RSA-OAEP-256';
  const pollIntervalMs = options.pollIntervalMs ?? 300_000;
  if (!Number.isFinite(pollIntervalMs) || pollIntervalMs <= 0) {
    throw new KmsPluginError('invalid_options', 'pollIntervalMs must be a number above 0.');
  }
  const { credential } = environment;
  const calls = createKeyVaultCalls({
    key,
    credential: async () =>
      credential ??
      createAzureCredential(
        options.credential ?? { kind: 'default' },
        options.cloud ?? 'public',
        environment.authority,
      ),
    ...(options.caFile === undefined ? {} : { caFile: options.caFile }),
    ...(options.maxAttempts === undefined ? {} : { maxAttempts: options.maxAttempts }),
    ...(environment.lookup === undefined ? {} : { lookup: environment.lookup }),
  });
  const versions = createKeyVersions({
    key,
    calls,
    nowMs: environment.nowMs ?? Date.now,
    pollIntervalMs,
  });
  const contextOf = (version: string): Buffer => aesContext(keyUrlOf(key, version));

  const openRsa = async (
    { ciphertext, encodedTwice }: Extract<ParsedCiphertext, { kind: 'rsa' }>,
    version: string,
    rsa: 'RSA-OAEP-256' | 'RSA1_5',
    signal: AbortSignal,
  ): Promise<Buffer> => {
    const plaintext = await calls.decryptRsa(version, rsa, ciphertext, signal);
    return encodedTwice ? decodeTwiceEncoded(plaintext) : plaintext;
  };

  return {
    name: 'azure',
    forgeable: algorithm !== 'A256GCM',
    snapshot: () => versions.snapshot(),

    encrypt: async (snapshot, plaintext, signal) => {
      const version = await versions.toEncrypt(snapshot, signal);
      const ciphertext =
        algorithm === 'A256GCM'
          ? formatAes(version, await calls.encryptAes(version, plaintext, contextOf(version), signal))
          : formatRsa(await calls.encryptRsa(version, algorithm, plaintext, signal));
      return { ciphertext, annotations: formatAnnotations(algorithm, version) };
    },

    decrypt: async (wrapped, signal) => {
      const parsed = parseCiphertext(wrapped.ciphertext);
      if (parsed === undefined) throw new ProviderError('ciphertext of another form', unopenable);
      const annotated = parseAnnotations(wrapped);
      const hint = annotated.keyVersion ?? (parsed.kind === 'aes' ? parsed.keyVersion : undefined);
      if (parsed.kind === 'aes') {
        if ((annotated.algorithm ?? 'A256GCM') !== 'A256GCM' || hint !== parsed.keyVersion) {
          throw new ProviderError('annotations of another ciphertext', unopenable);
        }
        const [version = hint] = await versions.toDecrypt(wrapped.keyId, hint, signal);
        return calls.decryptAes(version, parsed, contextOf(version), signal);
      }
      if (annotated.algorithm === 'A256GCM') {
        throw new ProviderError('annotations of another ciphertext', unopenable);
      }
      // Values of KMS v1 name neither version nor algorithm; kubernetes-kms wrote them with RSA1_5.
      const algorithms =
        annotated.algorithm !== undefined
          ? [annotated.algorithm]
          : wrapped.version === 'v1'
            ? (['RSA-OAEP-256', 'RSA1_5'] as const)
            : (['RSA-OAEP-256'] as const);
      let failed: unknown;
      for (const version of await versions.toDecrypt(wrapped.keyId, hint, signal)) {
        for (const rsa of algorithms) {
          try {
            return await openRsa(parsed, version, rsa, signal);
          } catch (error) {
            if (!(error instanceof ProviderError) || error.failure.class !== 'corrupt') throw error;
            failed = error;
          }
        }
      }
      throw failed;
    },

    recognizes: ({ ciphertext }) => parseCiphertext(ciphertext) !== undefined,
    describe: (signal) => versions.describe(signal),
    reload: () => calls.reload(),
    close: async () => {
      versions.close();
      calls.close();
    },
  };
}
