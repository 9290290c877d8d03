/** AWS KMS through the AWS SDK for JavaScript v3: every way of finding credentials it knows. */
import type * as Sdk from '@aws-sdk/client-kms';
import type { KMSClient, KMSClientConfig } from '@aws-sdk/client-kms';
import { readFile } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { KmsPluginError, type ProviderError } from '../errors.js';
import { classifyAws, garbledAnswer } from './aws-errors.js';
import { answerMaxBytes, type AwsKmsCalls } from './aws-kms-calls.js';
import { readSharedCredentials } from './aws-shared-credentials.js';
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
  /** AWS shared credentials file with static credentials under `profile` (`default` by default); the SDK's own chain without it. */
  readonly credentialsFile?: string;
  /** The profile of the shared configuration files; `AWS_PROFILE` or `default` otherwise. */
  readonly profile?: string;
  /** PEM file of the CA of a private endpoint; the system's CAs otherwise. */
  readonly caFile?: string;
  /**
   * ARN of the resource the calls are made for, as `arn:aws:eks:REGION:ACCOUNT:cluster/NAME`: sent as `x-amz-source-arn`, and its account as
   * `x-amz-source-account`, for key policies against confused deputies.
   */
  readonly sourceArn?: string;
  /** The SDK's own attempts per call, the first included; 1 by default, because the plugin makes calls again itself. */
  readonly maxAttempts?: number;
}

// A connection takes milliseconds where it works; the rest of the deadline is for the answer and another attempt.
const connectionTimeoutMs = 1000;
const socketsMax = 128;

interface Loaded {
  readonly sdk: typeof Sdk;
  readonly client: KMSClient;
  /** Under way. */
  calls: number;
  dropped: boolean;
}

interface Source {
  readonly arn: string;
  readonly account: string;
}

/**
 * The SDK is loaded with the first call: its 100 ms would hold up every command that only might need it.
 *
 * @throws KmsPluginError `invalid_options` when the endpoint is none, or the source ARN
 */
export function createAwsSdkCalls(options: AwsConnectionOptions): AwsKmsCalls {
  if (options.endpoint !== undefined) parseEndpoint(options.endpoint);
  const source = options.sourceArn === undefined ? undefined : parseSourceArn(options.sourceArn);
  let loading: Promise<Loaded> | undefined;

  const load = async (): Promise<Loaded> => {
    const [sdk, config] = await Promise.all([import('@aws-sdk/client-kms'), clientConfig(options)]);
    const client = new sdk.KMSClient(config);
    limitAnswers(client);
    if (source !== undefined) addSourceHeaders(client, source);
    return { sdk, client, calls: 0, dropped: false };
  };
  const loaded = (): Promise<Loaded> =>
    (loading ??= load().catch((error: unknown) => {
      loading = undefined;
      throw error;
    }));
  /** One call; a client that is replaced meanwhile stays until it has ended. */
  const call = async <T>(send: (sdk: typeof Sdk, client: KMSClient) => Promise<T>): Promise<T> => {
    try {
      const held = await loaded();
      held.calls += 1;
      try {
        return await send(held.sdk, held.client);
      } finally {
        held.calls -= 1;
        if (held.dropped && held.calls === 0) held.client.destroy();
      }
    } catch (error) {
      throw classify(error);
    }
  };
  const drop = async (old: typeof loading): Promise<void> => {
    const held = await old?.catch(() => undefined);
    if (held === undefined) return;
    held.dropped = true;
    if (held.calls === 0) held.client.destroy();
  };

  return {
    encrypt: async ({ keyId, plaintext, encryptionContext }, signal) => {
      const answer = await call((sdk, client) =>
        client.send(
          new sdk.EncryptCommand({
            KeyId: keyId,
            Plaintext: plaintext,
            EncryptionContext: { ...encryptionContext },
          }),
          { abortSignal: signal },
        ),
      );
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
      const answer = await call((sdk, client) =>
        client.send(
          new sdk.DecryptCommand({
            CiphertextBlob: ciphertextBlob,
            EncryptionContext: { ...encryptionContext },
          }),
          { abortSignal: signal },
        ),
      );
      if (answer.Plaintext === undefined || answer.KeyId === undefined) {
        throw garbledAnswer('answer to Decrypt lacks Plaintext or KeyId');
      }
      const { buffer, byteOffset, length } = answer.Plaintext;
      return { plaintext: Buffer.from(buffer, byteOffset, length), keyId: answer.KeyId };
    },

    describeKey: async (keyId, signal) => {
      const answer = await call((sdk, client) =>
        client.send(new sdk.DescribeKeyCommand({ KeyId: keyId }), { abortSignal: signal }),
      );
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

/** @throws KmsPluginError `invalid_options` */
function parseSourceArn(arn: string): Source {
  // arn:partition:service:region:account:resource
  const account = /^arn:[^:]+:[^:]+:[^:]*:([^:]*):.+$/s.exec(arn)?.[1];
  if (account === undefined || /[^\x20-\x7e]/.test(arn)) {
    throw new KmsPluginError(
      'invalid_options',
      `"${arn}" is not an ARN. Write it as arn:aws:eks:REGION:ACCOUNT:cluster/NAME.`,
    );
  }
  return { arn, account };
}

/** In the step before signing, so that the signature covers them. */
function addSourceHeaders(client: KMSClient, { arn, account }: Source): void {
  client.middlewareStack.add(
    (next) => (args) => {
      const { request } = args;
      if (typeof request === 'object' && request !== null && 'headers' in request) {
        Object.assign(request.headers as object, {
          'x-amz-source-arn': arn,
          'x-amz-source-account': account,
        });
      }
      return next(args);
    },
    { step: 'build', name: 'sourceHeaders' },
  );
}

/** The SDK reads whatever is sent: an endless answer would fill memory, and a long one hold up the process while it is parsed. */
function limitAnswers(client: KMSClient): void {
  client.middlewareStack.add(
    (next) => async (args) => {
      const result = await next(args);
      const { response } = result;
      if (typeof response === 'object' && response !== null && 'body' in response) {
        response.body = await readLimited(response.body);
      }
      return result;
    },
    { step: 'deserialize', name: 'answerLimit', priority: 'low' },
  );
}

async function readLimited(body: unknown): Promise<unknown> {
  if (!(body instanceof Readable)) return body;
  const chunks: Buffer[] = [];
  let total = 0;
  // Leaving the loop early destroys the stream, and its connection.
  for await (const chunk of body as AsyncIterable<Buffer>) {
    total += chunk.length;
    if (total > answerMaxBytes) throw garbledAnswer(`answer over ${answerMaxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

async function clientConfig(options: AwsConnectionOptions): Promise<KMSClientConfig> {
  const ca = options.caFile === undefined ? undefined : await readCaFile(options.caFile);
  return {
    maxAttempts: options.maxAttempts ?? 1,
    requestHandler: {
      connectionTimeout: connectionTimeoutMs,
      httpsAgent: { keepAlive: true, maxSockets: socketsMax, ...(ca === undefined ? {} : { ca }) },
      httpAgent: { keepAlive: true, maxSockets: socketsMax },
    },
    ...(options.region === undefined ? {} : { region: options.region }),
    ...(options.endpoint === undefined ? {} : { endpoint: options.endpoint }),
    ...credentialsOf(options),
  };
}

/** With a file of the key's own the SDK's chain, which belongs to the whole process, is not asked. */
function credentialsOf({
  credentials,
  credentialsFile,
  profile,
}: AwsConnectionOptions): Pick<KMSClientConfig, 'credentials' | 'profile'> {
  const named = profile === undefined ? {} : { profile };
  if (credentials !== undefined) return { credentials: { ...credentials }, ...named };
  if (credentialsFile === undefined) return named;
  return { credentials: () => readSharedCredentials(credentialsFile, profile ?? 'default') };
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
