/**
 * The root key wrapped by a key of another KMS (auto-unseal): AWS KMS, or anything that speaks its API.
 *
 * What lies in the store is JSON: `{keyId, region?, endpoint?, caFile?, ciphertext}`. Credentials are never stored: the SDK finds them
 * at every start, in its usual places. The SDK is loaded when it is needed, not with the service.
 */
import { readFile } from 'node:fs/promises';
import type * as AwsSdk from '@aws-sdk/client-kms';
import type { KMSClient } from '@aws-sdk/client-kms';
import { parseObject } from '../audit/chain.js';
import { KeyServiceError } from '../errors.js';
import { ROOT_KEY_BYTES, type RootKeyProtector } from './protector.js';

/** Binds the ciphertext to its purpose: another caller of that key does not decrypt it by accident. */
const CONTEXT = { purpose: 'waxseal-key-service-root-key' };
const CONNECT_TIMEOUT_MS = 5_000;
const REQUEST_TIMEOUT_MS = 10_000;

export interface AwsKmsProtectorOptions {
  /** Key id, ARN or alias. Needed to seal; to open, what was stored counts. */
  readonly keyId?: string | undefined;
  /** Default: what was stored, else the SDK's own. */
  readonly region?: string | undefined;
  /** `https://host[:port]`; default: what was stored, else AWS's of the region. */
  readonly endpoint?: string | undefined;
  /** PEM authority of a private endpoint. */
  readonly caFile?: string | undefined;
  /** Of the shared credentials file. */
  readonly profile?: string | undefined;
  /** Default: the SDK's own chain. */
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string } | undefined;
}

interface Wrapped {
  readonly keyId: string;
  readonly region?: string | undefined;
  readonly endpoint?: string | undefined;
  readonly caFile?: string | undefined;
  readonly ciphertext: string;
}

export function createAwsKmsProtector(options: AwsKmsProtectorOptions): RootKeyProtector {
  return {
    kind: 'aws-kms',
    async seal(rootKey) {
      const { keyId, region, endpoint, caFile } = options;
      if (keyId === undefined) {
        throw new KeyServiceError(
          'invalid-option',
          'Name the key of the other KMS that is to wrap the root key.',
        );
      }
      const { CiphertextBlob } = await withClient(options, ({ client, sdk }) =>
        client.send(new sdk.EncryptCommand({ KeyId: keyId, Plaintext: rootKey, EncryptionContext: CONTEXT })),
      );
      if (CiphertextBlob === undefined) throw unusable('its answer has no ciphertext');
      const wrapped: Wrapped = {
        keyId,
        region,
        endpoint,
        caFile,
        ciphertext: Buffer.from(CiphertextBlob).toString('base64'),
      };
      return Buffer.from(JSON.stringify(wrapped));
    },
    async open(sealed) {
      const { keyId, region, endpoint, caFile, ciphertext } = parseWrapped(sealed);
      const target = {
        ...options,
        region: options.region ?? region,
        endpoint: options.endpoint ?? endpoint,
        caFile: options.caFile ?? caFile,
      };
      const { Plaintext } = await withClient(target, ({ client, sdk }) =>
        client.send(
          new sdk.DecryptCommand({
            KeyId: keyId,
            CiphertextBlob: Buffer.from(ciphertext, 'base64'),
            EncryptionContext: CONTEXT,
          }),
        ),
      );
      if (Plaintext?.length !== ROOT_KEY_BYTES) throw unusable('its answer is no root key');
      const rootKey = Buffer.from(Plaintext);
      Plaintext.fill(0);
      return rootKey;
    },
  };
}

type Sdk = typeof AwsSdk;

async function withClient<T>(
  options: AwsKmsProtectorOptions,
  use: (loaded: { readonly client: KMSClient; readonly sdk: Sdk }) => Promise<T>,
): Promise<T> {
  const sdk = await import('@aws-sdk/client-kms');
  const ca = options.caFile === undefined ? undefined : await readCaFile(options.caFile);
  const client = new sdk.KMSClient({
    requestHandler: {
      connectionTimeout: CONNECT_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      ...(ca === undefined ? {} : { httpsAgent: { ca } }),
    },
    ...(options.region === undefined ? {} : { region: options.region }),
    ...(options.endpoint === undefined ? {} : { endpoint: options.endpoint }),
    ...(options.profile === undefined ? {} : { profile: options.profile }),
    ...(options.credentials === undefined ? {} : { credentials: { ...options.credentials } }),
  });
  try {
    return await use({ client, sdk });
  } catch (error) {
    throw unusable(error instanceof Error ? `${error.name}: ${error.message}` : String(error), error);
  } finally {
    client.destroy();
  }
}

async function readCaFile(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw unusable(`the CA file ${path} cannot be read`, error);
  }
}

function unusable(reason: string, cause?: unknown): KeyServiceError {
  return new KeyServiceError(
    'root-key-unreadable',
    `The KMS that wraps the root key does not give it (${reason}). Check that it runs, the region or endpoint, the credentials, and that the key is enabled.`,
    { cause },
  );
}

function parseWrapped(sealed: Buffer): Wrapped {
  const { keyId, region, endpoint, caFile, ciphertext } = parseObject(sealed.toString('utf8')) ?? {};
  const optional = (value: unknown): value is string | undefined =>
    value === undefined || typeof value === 'string';
  if (
    typeof keyId !== 'string' ||
    typeof ciphertext !== 'string' ||
    !optional(region) ||
    !optional(caFile) ||
    !optional(endpoint)
  ) {
    throw new KeyServiceError(
      'store-corrupt',
      'The wrapped root key in the store cannot be read. Restore the store from a backup.',
    );
  }
  return { keyId, region, endpoint, caFile, ciphertext };
}
