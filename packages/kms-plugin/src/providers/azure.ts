/**
 * Azure Key Vault and Azure managed HSM. RSA ciphertexts, annotations and key ids are those of Azure's kubernetes-kms, so
 * either plugin reads what the other wrote: docs/formats/kms-plugin-azure.md.
 */
import type { TokenCredential } from '@azure/identity';
import type { LookupFunction } from 'node:net';
import { KmsPluginError, ProviderError, unopenable, type Failure } from '../errors.js';
import type { Provider, Unwrap } from '../provider.js';
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
import { classifyAzure } from './azure-errors.js';
import { isUnderClusterSeed, openUnderClusterSeed, readWrappedSeed } from './azure-cluster-seed.js';
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
  /** The file `--encrypted-cluster-seed-file` of kubernetes-kms: values under its seed are then read. */
  readonly encryptedClusterSeedFile?: string;
  /** Least time between two questions for a newer version of the key; 300,000 by default. */
  readonly pollIntervalMs?: number;
}

const noSeed: Failure = {
  class: 'corrupt',
  code: 'failed_precondition',
  advice: 'The value lies under a cluster seed of kubernetes-kms; name its file to read it.',
};

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

  const openWrapped = async (wrapped: Unwrap, signal: AbortSignal): Promise<Buffer> => {
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
  };

  const seedFile = options.encryptedClusterSeedFile;
  let seed: Buffer | undefined;
  const forgetSeed = (): void => {
    seed?.fill(0);
    seed = undefined;
  };
  const openSeeded = async (wrapped: Unwrap, signal: AbortSignal): Promise<Buffer> => {
    if (seedFile === undefined) throw new ProviderError('no cluster seed', noSeed);
    if (seed === undefined) {
      const wrappedSeed = await readWrappedSeed(seedFile).catch((error: unknown) => {
        throw classifyAzure(error, 'decrypt');
      });
      seed = await openWrapped(wrappedSeed, signal);
    }
    return openUnderClusterSeed(seed, wrapped);
  };

  return {
    name: 'azure',
    connection: { url: key.vaultUrl, caFile: options.caFile },
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

    decrypt: (wrapped, signal) =>
      isUnderClusterSeed(wrapped) && wrapped.version === 'v2'
        ? openSeeded(wrapped, signal)
        : openWrapped(wrapped, signal),

    recognizes: (wrapped) => isUnderClusterSeed(wrapped) || parseCiphertext(wrapped.ciphertext) !== undefined,
    describe: (signal) => versions.describe(signal),
    reload: async () => {
      await calls.reload();
      forgetSeed();
    },
    close: async () => {
      forgetSeed();
      versions.close();
      calls.close();
    },
  };
}
