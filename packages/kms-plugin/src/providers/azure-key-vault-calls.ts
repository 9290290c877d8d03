/**
 * Azure Key Vault and managed HSM over Microsoft's own client, with what it does not check: that the key of the answer is
 * the key that was asked for.
 *
 * Source: Azure Key Vault REST API reference, Encrypt, Decrypt, Get Key, Get Key Versions, Get Deleted Key.
 */
import type { TokenCredential } from '@azure/identity';
import type * as Sdk from '@azure/keyvault-keys';
import type {
  CryptographyClient,
  CryptographyClientOptions,
  KeyClient,
  KeyProperties,
} from '@azure/keyvault-keys';
import { Agent } from 'node:https';
import type { LookupFunction } from 'node:net';
import { givenUp, ProviderError, type Failure } from '../errors.js';
import type { AesSealed } from './azure-ciphertext.js';
import { classifyAzure, garbledAnswer, type AzureOperation } from './azure-errors.js';
import { keyUrlOf, type AzureKeyUrl } from './azure-key-url.js';
import { readCaFile } from './aws-sdk-calls.js';

/** What the vault says of one version of a key. Times in milliseconds since 1970. */
export interface KeyVersionInfo {
  readonly version: string;
  readonly enabled: boolean;
  readonly createdMs: number;
  readonly notBeforeMs: number | undefined;
  readonly expiresMs: number | undefined;
  /** `Purgeable` and the like; undefined where the vault does not say. */
  readonly recoveryLevel: string | undefined;
  readonly recoverableDays: number | undefined;
  /** Undefined where the vault does not say. */
  readonly operations: readonly string[] | undefined;
}

export interface DeletedKeyInfo {
  readonly deletedMs: number | undefined;
  readonly purgeMs: number | undefined;
}

/** Every call throws ProviderError and nothing else. Plaintexts that are returned are the caller's, who overwrites them. */
export interface KeyVaultCalls {
  encryptRsa(
    version: string,
    algorithm: 'RSA-OAEP-256' | 'RSA1_5',
    plaintext: Buffer,
    signal: AbortSignal,
  ): Promise<Buffer>;
  decryptRsa(
    version: string,
    algorithm: 'RSA-OAEP-256' | 'RSA1_5',
    ciphertext: Buffer,
    signal: AbortSignal,
  ): Promise<Buffer>;
  encryptAes(version: string, plaintext: Buffer, context: Buffer, signal: AbortSignal): Promise<AesSealed>;
  decryptAes(version: string, sealed: AesSealed, context: Buffer, signal: AbortSignal): Promise<Buffer>;
  /** @param version the newest by default */
  getKey(version: string | undefined, signal: AbortSignal): Promise<KeyVersionInfo>;
  /** At most `versionsMax`, in no order. */
  listVersions(signal: AbortSignal): Promise<readonly KeyVersionInfo[]>;
  getDeletedKey(signal: AbortSignal): Promise<DeletedKeyInfo>;
  /** Makes credential and connections anew. On failure the old ones stay. */
  reload(): Promise<void>;
  close(): void;
}

export interface KeyVaultConnection {
  readonly key: AzureKeyUrl;
  readonly credential: () => Promise<TokenCredential>;
  /** PEM file of the CA of a private endpoint or proxy. */
  readonly caFile?: string;
  /** The SDK's own attempts per call, the first included; 2 by default, for a connection that was closed while idle: the plugin makes calls again itself. */
  readonly maxAttempts?: number;
  /** How host names are resolved, for tests. */
  readonly lookup?: LookupFunction;
}

const versionsMax = 200;
const socketsMax = 64;
const clientsMax = 32;
const firstRetryMs = 100;
const retryMaxMs = 500;

const otherKey: Failure = {
  class: 'internal',
  code: 'internal',
  advice: 'The vault used another key than it was asked to; check the URL of the key.',
};

interface Loaded {
  readonly sdk: typeof Sdk;
  readonly credential: TokenCredential;
  readonly keys: KeyClient;
  readonly clientOptions: CryptographyClientOptions;
  /** One per version of the key. */
  readonly clients: Map<string, CryptographyClient>;
  readonly agent: Agent | undefined;
}

/** The client is loaded with the first call: its 150 ms would hold up every command that only might need it. */
export function createKeyVaultCalls(connection: KeyVaultConnection): KeyVaultCalls {
  const { key } = connection;
  let loading: Promise<Loaded> | undefined;
  let closed = false;
  const loaded = (): Promise<Loaded> => {
    if (closed) throw new ProviderError('closed', givenUp);
    return (loading ??= load(connection).catch((error: unknown) => {
      loading = undefined;
      throw error;
    }));
  };

  const attempt = async <T>(operation: AzureOperation, run: (use: Loaded) => Promise<T>): Promise<T> => {
    try {
      return await run(await loaded());
    } catch (error) {
      throw classifyAzure(error, operation);
    }
  };
  const drop = async (old: Promise<Loaded> | undefined): Promise<void> => {
    await old?.then(
      ({ agent }) => {
        agent?.destroy();
        return undefined;
      },
      () => undefined,
    );
  };

  return {
    encryptRsa: (version, algorithm, plaintext, abortSignal) =>
      attempt('encrypt', async (use) => {
        const answer = await clientOf(use, key, version).encrypt({ algorithm, plaintext }, { abortSignal });
        return bytesOf(answer.result, 'answer to encrypt lacks its value');
      }),
    decryptRsa: (version, algorithm, ciphertext, abortSignal) =>
      attempt('decrypt', async (use) => {
        const answer = await clientOf(use, key, version).decrypt({ algorithm, ciphertext }, { abortSignal });
        return bytesOf(answer.result, 'answer to decrypt lacks its value');
      }),
    encryptAes: (version, plaintext, context, abortSignal) =>
      attempt('encrypt', async (use) => {
        const answer = await clientOf(use, key, version).encrypt(
          { algorithm: 'A256GCM', plaintext, additionalAuthenticatedData: context },
          { abortSignal },
        );
        return {
          ciphertext: bytesOf(answer.result, 'answer to encrypt lacks its value'),
          nonce: bytesOf(answer.iv, 'answer to encrypt lacks its nonce'),
          tag: bytesOf(answer.authenticationTag, 'answer to encrypt lacks its tag'),
        };
      }),
    decryptAes: (version, { ciphertext, nonce, tag }, context, abortSignal) =>
      attempt('decrypt', async (use) => {
        const answer = await clientOf(use, key, version).decrypt(
          {
            algorithm: 'A256GCM',
            ciphertext,
            iv: nonce,
            authenticationTag: tag,
            additionalAuthenticatedData: context,
          },
          { abortSignal },
        );
        return bytesOf(answer.result, 'answer to decrypt lacks its value');
      }),
    getKey: (version, abortSignal) =>
      attempt('describe', async ({ keys }) => {
        const answer = await keys.getKey(key.keyName, {
          abortSignal,
          ...(version === undefined ? {} : { version }),
        });
        return infoOf(answer.properties, answer.keyOperations);
      }),
    listVersions: (abortSignal) =>
      attempt('describe', async ({ keys }) => {
        const versions: KeyVersionInfo[] = [];
        for await (const one of keys.listPropertiesOfKeyVersions(key.keyName, { abortSignal })) {
          versions.push(infoOf(one, undefined));
          if (versions.length === versionsMax) break;
        }
        return versions;
      }),
    getDeletedKey: (abortSignal) =>
      attempt('describe', async ({ keys }) => {
        const { properties } = await keys.getDeletedKey(key.keyName, { abortSignal });
        return {
          deletedMs: properties.deletedOn?.getTime(),
          purgeMs: properties.scheduledPurgeDate?.getTime(),
        };
      }),

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
      closed = true;
      void drop(loading);
      loading = undefined;
    },
  };
}

async function load(connection: KeyVaultConnection): Promise<Loaded> {
  const [sdk, credential, ca] = await Promise.all([
    import('@azure/keyvault-keys'),
    connection.credential(),
    connection.caFile === undefined ? undefined : readCaFile(connection.caFile),
  ]);
  // With an agent of ours the client leaves the proxy of the environment aside, and cannot give it a CA anyway.
  const agent =
    ca === undefined && connection.lookup === undefined
      ? undefined
      : new Agent({
          keepAlive: true,
          maxSockets: socketsMax,
          ...(ca === undefined ? {} : { ca }),
          ...(connection.lookup === undefined ? {} : { lookup: connection.lookup }),
        });
  const clientOptions: CryptographyClientOptions = {
    ...(agent === undefined ? {} : { agent }),
    retryOptions: {
      maxRetries: (connection.maxAttempts ?? 2) - 1,
      retryDelayInMs: firstRetryMs,
      maxRetryDelayInMs: retryMaxMs,
    },
    redirectOptions: { maxRetries: 0 },
    userAgentOptions: { userAgentPrefix: 'waxseal' },
    additionalPolicies: [{ policy: checkTraffic, position: 'perRetry' }],
  };
  const keys = new sdk.KeyClient(connection.key.vaultUrl, credential, { ...clientOptions });
  return { sdk, credential, keys, clientOptions, clients: new Map(), agent };
}

/**
 * The client is told of a key without attributes. Otherwise it would ask the vault for them first, and refuse by itself to
 * decrypt with a key that has expired, which the vault does.
 */
function clientOf(use: Loaded, key: AzureKeyUrl, version: string): CryptographyClient {
  const known = use.clients.get(version);
  if (known !== undefined) return known;
  if (use.clients.size >= clientsMax) use.clients.clear();
  const { vaultUrl, keyName: name } = key;
  const client = new use.sdk.CryptographyClient(
    { id: keyUrlOf(key, version), name, properties: { vaultUrl, name, version } },
    use.credential,
    { ...use.clientOptions },
  );
  use.clients.set(version, client);
  return client;
}

type Policy = NonNullable<CryptographyClientOptions['additionalPolicies']>[number]['policy'];

const longestWaitMs = 1000;

/** Sees every request and every answer before the client makes something of it. */
const checkTraffic: Policy = {
  name: 'waxsealCheckTraffic',
  sendRequest: async (request, next) => {
    // Debug output (`AZURE_LOG_LEVEL`) prints the request with its agent, whose sockets hold the bearer token.
    if (request.agent !== undefined) Object.assign(request.agent, { toJSON: () => 'agent' });
    const response = await next(request);
    const { pathname, origin } = new URL(request.url);
    const operation = /^(\/keys\/[^/]+\/[^/]+)\/(encrypt|decrypt)$/.exec(pathname);
    if (response.status === 200 && operation !== null) {
      const kid = kidOf(response.bodyAsText);
      if (kid === undefined) throw garbledAnswer('answer lacks the id of its key');
      if (kid !== `${origin}${operation[1] ?? ''}`) throw new ProviderError('another key answered', otherKey);
    }
    // The client would wait as long as the vault says, past every deadline.
    const waitSeconds = Number(response.headers.get('retry-after') ?? Number.NaN);
    if (response.status === 429 || (response.status === 503 && waitSeconds * 1000 > longestWaitMs)) {
      throw classifyAzure(
        Object.assign(new Error(`HTTP ${response.status}`), { statusCode: response.status }),
        'describe',
      );
    }
    return response;
  },
};

/** The `kid` of an answer, in the spelling of `keyUrlOf`. */
function kidOf(body: string | null | undefined): string | undefined {
  try {
    const parsed: unknown = JSON.parse(body ?? '');
    const kid = typeof parsed === 'object' && parsed !== null && 'kid' in parsed ? parsed.kid : undefined;
    return typeof kid === 'string' && URL.canParse(kid) ? new URL(kid).href : undefined;
  } catch {
    return undefined;
  }
}

function bytesOf(bytes: Uint8Array | undefined, problem: string): Buffer {
  if (bytes === undefined || bytes.length === 0) throw garbledAnswer(problem);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

function infoOf(properties: KeyProperties, operations: readonly string[] | undefined): KeyVersionInfo {
  if (properties.version === undefined) throw garbledAnswer('key without a version');
  return {
    version: properties.version,
    enabled: properties.enabled !== false,
    createdMs: properties.createdOn?.getTime() ?? 0,
    notBeforeMs: properties.notBefore?.getTime(),
    expiresMs: properties.expiresOn?.getTime(),
    recoveryLevel: properties.recoveryLevel,
    recoverableDays: properties.recoverableDays,
    operations,
  };
}
