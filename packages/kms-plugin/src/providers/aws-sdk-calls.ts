/** AWS KMS through the AWS SDK for JavaScript v3: every way of finding credentials it knows. */
import type * as Sdk from '@aws-sdk/client-kms';
import type {
  DecryptCommandOutput,
  DescribeKeyCommandOutput,
  EncryptCommandOutput,
  KMSClient,
  KMSClientConfig,
} from '@aws-sdk/client-kms';
import { readFile } from 'node:fs/promises';
import { KmsPluginError, type ProviderError } from '../errors.js';
import { classifyAws, garbledAnswer } from './aws-errors.js';
import type { AwsKmsCalls } from './aws-kms-calls.js';
import { parseEndpoint } from './endpoint.js';

export interface AwsCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export interface AwsConnectionOptions {
  /** The environment or the profile by default. */
  readonly region?: string;
  /** `https://host[:port]`; AWS's own of the region by default. */
  readonly endpoint?: string;
  /** The SDK's default chain otherwise: environment, profile, SSO, web identity, container or machine role. */
  readonly credentials?: AwsCredentials;
  /** The profile of the shared configuration files; `AWS_PROFILE` or `default` otherwise. */
  readonly profile?: string;
  /** PEM file of the CA of a private endpoint; the system's CAs otherwise. */
  readonly caFile?: string;
  /** Attempts per call, the first included; 3 by default. All of them lie within the plugin's deadline. */
  readonly maxAttempts?: number;
}

// A connection takes milliseconds where it works; the rest of the deadline is for the answer and another attempt.
const connectionTimeoutMs = 1000;
const socketsMax = 128;

/**
 * The SDK is loaded with the first call: its 100 ms would hold up every command that only might need it.
 *
 * @throws KmsPluginError `invalid_options` when the endpoint is none
 */
export function createAwsSdkCalls(options: AwsConnectionOptions): AwsKmsCalls {
  if (options.endpoint !== undefined) parseEndpoint(options.endpoint);
  let loading: Promise<{ readonly sdk: typeof Sdk; readonly client: KMSClient }> | undefined;

  const load = async (): Promise<{ readonly sdk: typeof Sdk; readonly client: KMSClient }> => {
    const [sdk, config] = await Promise.all([import('@aws-sdk/client-kms'), clientConfig(options)]);
    return { sdk, client: new sdk.KMSClient(config) };
  };
  const loaded = (): ReturnType<typeof load> =>
    (loading ??= load().catch((error: unknown) => {
      loading = undefined;
      throw error;
    }));
  const drop = async (old: typeof loading): Promise<void> => {
    await old?.then(
      ({ client }) => {
        client.destroy();
        return undefined;
      },
      () => undefined,
    );
  };

  return {
    encrypt: async ({ keyId, plaintext, encryptionContext }, signal) => {
      let answer: EncryptCommandOutput;
      try {
        const { sdk, client } = await loaded();
        answer = await client.send(
          new sdk.EncryptCommand({
            KeyId: keyId,
            Plaintext: plaintext,
            EncryptionContext: { ...encryptionContext },
          }),
          { abortSignal: signal },
        );
      } catch (error) {
        throw classify(error);
      }
      if (
        answer.CiphertextBlob === undefined ||
        answer.CiphertextBlob.length === 0 ||
        answer.KeyId === undefined
      ) {
        throw garbledAnswer('answer to Encrypt lacks CiphertextBlob or KeyId');
      }
      return { ciphertextBlob: answer.CiphertextBlob, keyId: answer.KeyId };
    },

    decrypt: async ({ ciphertextBlob, encryptionContext }, signal) => {
      let answer: DecryptCommandOutput;
      try {
        const { sdk, client } = await loaded();
        answer = await client.send(
          new sdk.DecryptCommand({
            CiphertextBlob: ciphertextBlob,
            EncryptionContext: { ...encryptionContext },
          }),
          { abortSignal: signal },
        );
      } catch (error) {
        throw classify(error);
      }
      if (answer.Plaintext === undefined || answer.KeyId === undefined) {
        throw garbledAnswer('answer to Decrypt lacks Plaintext or KeyId');
      }
      const { buffer, byteOffset, length } = answer.Plaintext;
      return { plaintext: Buffer.from(buffer, byteOffset, length), keyId: answer.KeyId };
    },

    describeKey: async (keyId, signal) => {
      let answer: DescribeKeyCommandOutput;
      try {
        const { sdk, client } = await loaded();
        answer = await client.send(new sdk.DescribeKeyCommand({ KeyId: keyId }), { abortSignal: signal });
      } catch (error) {
        throw classify(error);
      }
      const { KeyState, DeletionDate, ValidTo, MultiRegion, PendingDeletionWindowInDays } =
        answer.KeyMetadata ?? {};
      if (KeyState === undefined) throw garbledAnswer('answer to DescribeKey lacks KeyState');
      return {
        keyState: KeyState,
        multiRegion: MultiRegion ?? false,
        ...(DeletionDate === undefined ? {} : { deletionDateMs: DeletionDate.getTime() }),
        ...(ValidTo === undefined ? {} : { validToMs: ValidTo.getTime() }),
        ...(PendingDeletionWindowInDays === undefined
          ? {}
          : { pendingDeletionWindowInDays: PendingDeletionWindowInDays }),
      };
    },

    reload: async () => {
      const old = loading;
      loading = undefined;
      try {
        await loaded();
      } catch (error) {
        loading = old;
        throw error;
      }
      await drop(old);
    },
    close: () => {
      void drop(loading);
      loading = undefined;
    },
  };
}

async function clientConfig(options: AwsConnectionOptions): Promise<KMSClientConfig> {
  const ca = options.caFile === undefined ? undefined : await readCaFile(options.caFile);
  return {
    maxAttempts: options.maxAttempts ?? 3,
    requestHandler: {
      connectionTimeout: connectionTimeoutMs,
      httpsAgent: { keepAlive: true, maxSockets: socketsMax, ...(ca === undefined ? {} : { ca }) },
      httpAgent: { keepAlive: true, maxSockets: socketsMax },
    },
    ...(options.region === undefined ? {} : { region: options.region }),
    ...(options.endpoint === undefined ? {} : { endpoint: options.endpoint }),
    ...(options.credentials === undefined ? {} : { credentials: { ...options.credentials } }),
    ...(options.profile === undefined ? {} : { profile: options.profile }),
  };
}

/** @throws KmsPluginError `invalid_options` */
export async function readCaFile(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new KmsPluginError(
      'invalid_options',
      `The CA file ${path} cannot be read. Check the path and its permissions.`,
      cause,
    );
  }
}

function classify(error: unknown): ProviderError {
  const metadata = error instanceof Error && '$metadata' in error ? error.$metadata : undefined;
  const status =
    typeof metadata === 'object' && metadata !== null && 'httpStatusCode' in metadata
      ? metadata.httpStatusCode
      : undefined;
  return classifyAws(error, typeof status === 'number' ? status : undefined);
}
