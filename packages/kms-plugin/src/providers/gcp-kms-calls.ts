/**
 * The calls of Cloud KMS that wrapping needs, through Google's own client: its way of finding credentials, its names, its checksums.
 *
 * The client runs over HTTP/1.1 (`fallback`): without its gRPC half it is ready 110 ms earlier, and a connection that died silently costs one
 * call. Every request and answer carries a CRC32C, as Cloud KMS's guideline on data integrity asks.
 */
import type { KeyManagementServiceClient, protos } from '@google-cloud/kms';
import crc32c from 'crc-32/crc32c.js';
import { KmsPluginError } from '../errors.js';
import { parseEndpoint } from './endpoint.js';
import { changedAnswer, classifyGcp, classifyGcpCredentials, garbledAnswer } from './gcp-errors.js';

export interface GcpConnectionOptions {
  /**
   * JSON file of a service account key, a workload identity federation, or an impersonation. Application default credentials otherwise:
   * `GOOGLE_APPLICATION_CREDENTIALS`, gcloud's own file, the service account of the machine.
   */
  readonly credentialsFile?: string;
  /** `https://host[:port]`, for a private endpoint; `https://cloudkms.googleapis.com` by default. */
  readonly endpoint?: string;
  /** Of a sovereign cloud; `GOOGLE_CLOUD_UNIVERSE_DOMAIN` or `googleapis.com` by default. */
  readonly universeDomain?: string;
}

type CryptoKey = protos.google.cloud.kms.v1.ICryptoKey;
type CryptoKeyVersion = protos.google.cloud.kms.v1.ICryptoKeyVersion;

export interface GcpKmsCalls {
  /**
   * @returns `name` of the version that encrypted
   * @throws ProviderError
   */
  encrypt(
    request: { readonly name: string; readonly plaintext: Buffer; readonly aad: Buffer },
    signal: AbortSignal,
  ): Promise<{ readonly name: string; readonly ciphertext: Buffer }>;
  /** @throws ProviderError. The Buffer is the caller's, who overwrites it. */
  decrypt(
    request: { readonly name: string; readonly ciphertext: Buffer; readonly aad: Buffer },
    signal: AbortSignal,
  ): Promise<Buffer>;
  /** @throws ProviderError */
  getKey(name: string, signal: AbortSignal): Promise<CryptoKey>;
  /** All versions of a key, or as many as are worth looking at. @throws ProviderError */
  listVersions(key: string, signal: AbortSignal): Promise<readonly CryptoKeyVersion[]>;
  /** Finds and reads credentials again. @throws ProviderError; then everything stays as it was */
  reload(): Promise<void>;
  close(): Promise<void>;
}

/** Ends calls that nobody waits for any more: the client cannot be told to. Above the plugin's own deadline. */
const requestTimeoutMs = 5000;
/** One page holds 1000 at most. */
const pagesMax = 5;
const pageSize = 1000;

/**
 * The client is loaded with the first call.
 *
 * @throws KmsPluginError `invalid_options` when the endpoint is none
 */
export function createGcpKmsCalls(options: GcpConnectionOptions): GcpKmsCalls {
  if (options.endpoint !== undefined) parseEndpoint(options.endpoint);
  let connecting: Promise<KeyManagementServiceClient> | undefined;

  const connected = (): Promise<KeyManagementServiceClient> =>
    (connecting ??= connect(options).catch((error: unknown) => {
      connecting = undefined;
      throw error;
    }));

  return {
    encrypt: async ({ name, plaintext, aad }, signal) => {
      const client = await unlessAborted(connected(), signal);
      const [answer] = await unlessAborted(
        client.encrypt({
          name,
          plaintext,
          plaintextCrc32c: checksum(plaintext),
          ...aadFields(aad),
        }),
        signal,
      ).catch((error: unknown) => {
        throw classifyGcp(error, 'encrypt');
      });
      const ciphertext = bytesOf(answer.ciphertext, 'ciphertext');
      if (typeof answer.name !== 'string' || answer.name === '') throw garbledAnswer('answer lacks name');
      if (answer.verifiedPlaintextCrc32c !== true) throw changedAnswer('the plaintext');
      if (aad.length > 0 && answer.verifiedAdditionalAuthenticatedDataCrc32c !== true) {
        throw changedAnswer('the additional authenticated data');
      }
      verify(ciphertext, answer.ciphertextCrc32c, 'ciphertext');
      if (ciphertext.length === 0) throw garbledAnswer('ciphertext in the answer is empty');
      return { name: answer.name, ciphertext };
    },

    decrypt: async ({ name, ciphertext, aad }, signal) => {
      const client = await unlessAborted(connected(), signal);
      const [answer] = await unlessAborted(
        client.decrypt({
          name,
          ciphertext,
          ciphertextCrc32c: checksum(ciphertext),
          ...aadFields(aad),
        }),
        signal,
      ).catch((error: unknown) => {
        throw classifyGcp(error, 'decrypt');
      });
      const plaintext = bytesOf(answer.plaintext, 'plaintext');
      verify(plaintext, answer.plaintextCrc32c, 'plaintext');
      return plaintext;
    },

    getKey: async (name, signal) => {
      const client = await unlessAborted(connected(), signal);
      const [key] = await unlessAborted(client.getCryptoKey({ name }), signal).catch((error: unknown) => {
        throw classifyGcp(error, 'describe');
      });
      return key;
    },

    listVersions: async (key, signal) => {
      const client = await unlessAborted(connected(), signal);
      const versions: CryptoKeyVersion[] = [];
      let pageToken = '';
      for (let pages = 0; pages < pagesMax; pages += 1) {
        const [page, , answer] = await unlessAborted(
          client.listCryptoKeyVersions({ parent: key, pageSize, pageToken }, { autoPaginate: false }),
          signal,
        ).catch((error: unknown) => {
          throw classifyGcp(error, 'describe');
        });
        versions.push(...page);
        pageToken = answer?.nextPageToken ?? '';
        if (pageToken === '') break;
      }
      return versions;
    },

    reload: async () => {
      const old = connecting;
      connecting = Promise.resolve(await connect(options));
      await disconnect(old);
    },
    close: async () => {
      const old = connecting;
      connecting = undefined;
      await disconnect(old);
    },
  };
}

/** @throws ProviderError when no credentials can be used */
async function connect(options: GcpConnectionOptions): Promise<KeyManagementServiceClient> {
  const [sdk, gax] = await Promise.all([import('@google-cloud/kms'), import('google-gax')]);
  // GOOGLE_SDK_NODE_LOGGING would print every request and answer, DEKs and tokens among them.
  gax.loggingUtils.setBackend(null);
  const endpoint = options.endpoint === undefined ? undefined : parseEndpoint(options.endpoint);
  const client = new sdk.KeyManagementServiceClient({
    fallback: true,
    minifyJson: true,
    // A redirect would carry the DEK to wherever the answer says.
    clientOptions: { transporterOptions: { timeout: requestTimeoutMs, redirect: 'error' } },
    ...(options.credentialsFile === undefined ? {} : { keyFilename: options.credentialsFile }),
    ...(options.universeDomain === undefined ? {} : { universeDomain: options.universeDomain }),
    ...(endpoint === undefined
      ? {}
      : {
          protocol: endpoint.protocol.slice(0, -1),
          apiEndpoint: endpoint.hostname,
          port: endpoint.port === '' ? (endpoint.protocol === 'http:' ? 80 : 443) : Number(endpoint.port),
        }),
  });
  try {
    await client.initialize();
    // Some files are only found to be unusable when the first token is made of them; it is kept for the first call.
    await client.auth.getRequestHeaders();
  } catch (error) {
    throw options.credentialsFile !== undefined && isMissingFile(error)
      ? classifyGcpCredentials(
          new KmsPluginError(
            'credentials_invalid',
            `The credentials file ${options.credentialsFile} cannot be read. Check the path and its permissions.`,
          ),
        )
      : classifyGcpCredentials(error);
  }
  return client;
}

async function disconnect(connecting: Promise<KeyManagementServiceClient> | undefined): Promise<void> {
  const client = await connecting?.catch(() => undefined);
  await client?.close();
}

function isMissingFile(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'EACCES');
}

/** The client cannot be told to stop: whoever waits is released, and the answer is let go. */
function unlessAborted<T>(answer: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      reject(classifyGcp(new DOMException('aborted', 'AbortError'), 'describe'));
    };
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    answer.then(resolve, reject).finally(() => {
      signal.removeEventListener('abort', onAbort);
    });
  });
}

function aadFields(aad: Buffer): object {
  return aad.length === 0
    ? {}
    : { additionalAuthenticatedData: aad, additionalAuthenticatedDataCrc32c: checksum(aad) };
}

function checksum(bytes: Uint8Array): { readonly value: number } {
  return { value: crc32c.buf(bytes) >>> 0 };
}

/** @throws ProviderError when the checksum is absent or another */
function verify(
  bytes: Uint8Array,
  answered: protos.google.protobuf.IInt64Value | null | undefined,
  field: string,
): void {
  const value = answered?.value;
  if (value === undefined || value === null) throw garbledAnswer(`answer lacks the checksum of its ${field}`);
  if (String(value) !== String(checksum(bytes).value)) throw changedAnswer(`the ${field}`);
}

/** The client decodes bytes; its types allow for base64. */
function bytesOf(value: Uint8Array | string | null | undefined, field: string): Buffer {
  if (!(value instanceof Uint8Array)) throw garbledAnswer(`answer lacks ${field}`);
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
}
