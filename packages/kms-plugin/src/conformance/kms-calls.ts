/**
 * The methods of both KMS contracts as the kit calls them: what the plugin answers is decoded and not judged, so that a check can say what
 * is wrong with it.
 */
import { randomUUID } from 'node:crypto';
import { kmsV1Messages, kmsV1Version, kmsV2Messages } from '@waxseal/kms-api';
import { KmsPluginError } from '../errors.js';
import type { GrpcAnswer, GrpcCallOptions, GrpcConnection } from './grpc-connection.js';

export type Version = 'v1' | 'v2';

export type Outcome<T> =
  | { readonly ok: true; readonly value: T; readonly durationMs: number }
  | {
      readonly ok: false;
      /** gRPC status code; undefined when none came. */
      readonly code: number | undefined;
      /** What came instead, for people. */
      readonly said: string;
      /** Nothing came in time. */
      readonly hung: boolean;
      readonly durationMs: number;
    };

/** What an API server stores; key id and annotations are empty with v1. */
export interface Sealed {
  readonly ciphertext: Buffer;
  readonly keyId: string;
  readonly annotations: ReadonlyMap<string, Buffer>;
}

export interface Status {
  readonly version: string;
  readonly healthz: string;
  readonly keyId: string;
}

interface V1Version {
  readonly version: string;
  readonly runtimeName: string;
  readonly runtimeVersion: string;
}

/** Encrypt and Decrypt of one version. */
export interface Sealer {
  readonly version: Version;
  encrypt(plaintext: Buffer, call?: Partial<GrpcCallOptions>): Promise<Outcome<Sealed>>;
  decrypt(sealed: Sealed, call?: Partial<GrpcCallOptions>): Promise<Outcome<Buffer>>;
  /** Sends bytes that need not be a message. */
  raw(method: 'Encrypt' | 'Decrypt', message: Buffer): Promise<Outcome<Buffer>>;
  encodeEncrypt(plaintext: Buffer): Buffer;
  encodeDecrypt(sealed: Sealed): Buffer;
  decodeDecrypt(message: Buffer): Buffer;
}

export interface KmsCalls {
  status(call?: Partial<GrpcCallOptions>): Promise<Outcome<Status>>;
  v1Version(call?: Partial<GrpcCallOptions>): Promise<Outcome<V1Version>>;
  readonly v1: Sealer;
  readonly v2: Sealer;
  close(): void;
}

const v2Path = '/v2.KeyManagementService/';
const v1Path = '/v1beta1.KeyManagementService/';

/** @param timeoutMs how long a call may hang before it counts as hung */
export function createKmsCalls(connection: GrpcConnection, timeoutMs: number): KmsCalls {
  const call = async <T>(
    path: string,
    message: Uint8Array,
    decode: (bytes: Buffer) => T,
    options: Partial<GrpcCallOptions> = {},
  ): Promise<Outcome<T>> =>
    outcomeOf(await connection.call(path, Buffer.from(message), { timeoutMs, ...options }), decode);
  const whole = (bytes: Buffer): Buffer => bytes;

  const v2: Omit<Sealer, 'encrypt' | 'decrypt' | 'raw'> = {
    version: 'v2',
    encodeEncrypt: (plaintext) =>
      Buffer.from(kmsV2Messages.EncryptRequest.encode({ plaintext, uid: randomUUID() }).finish()),
    encodeDecrypt: ({ ciphertext, keyId, annotations }) =>
      Buffer.from(
        kmsV2Messages.DecryptRequest.encode({
          ciphertext,
          keyId,
          uid: randomUUID(),
          annotations: new Map(annotations),
        }).finish(),
      ),
    decodeDecrypt: (message) => kmsV2Messages.DecryptResponse.decode(message).plaintext,
  };
  const v1: Omit<Sealer, 'encrypt' | 'decrypt' | 'raw'> = {
    version: 'v1',
    encodeEncrypt: (plain) =>
      Buffer.from(kmsV1Messages.EncryptRequest.encode({ version: kmsV1Version, plain }).finish()),
    encodeDecrypt: ({ ciphertext }) =>
      Buffer.from(
        kmsV1Messages.DecryptRequest.encode({ version: kmsV1Version, cipher: ciphertext }).finish(),
      ),
    decodeDecrypt: (message) => kmsV1Messages.DecryptResponse.decode(message).plain,
  };

  return {
    status: (options) =>
      call(
        `${v2Path}Status`,
        new Uint8Array(),
        (bytes) => kmsV2Messages.StatusResponse.decode(bytes),
        options,
      ),
    v1Version: (options) =>
      call(
        `${v1Path}Version`,
        kmsV1Messages.VersionRequest.encode({ version: kmsV1Version }).finish(),
        (bytes) => kmsV1Messages.VersionResponse.decode(bytes),
        options,
      ),
    v2: {
      ...v2,
      encrypt: (plaintext, options) =>
        call(
          `${v2Path}Encrypt`,
          v2.encodeEncrypt(plaintext),
          (bytes) => kmsV2Messages.EncryptResponse.decode(bytes),
          options,
        ),
      decrypt: (sealed, options) =>
        call(`${v2Path}Decrypt`, v2.encodeDecrypt(sealed), v2.decodeDecrypt, options),
      raw: (method, message) => call(`${v2Path}${method}`, message, whole),
    },
    v1: {
      ...v1,
      encrypt: (plaintext, options) =>
        call(
          `${v1Path}Encrypt`,
          v1.encodeEncrypt(plaintext),
          (bytes) => ({
            ciphertext: kmsV1Messages.EncryptResponse.decode(bytes).cipher,
            keyId: '',
            annotations: new Map<string, Buffer>(),
          }),
          options,
        ),
      decrypt: (sealed, options) =>
        call(`${v1Path}Decrypt`, v1.encodeDecrypt(sealed), v1.decodeDecrypt, options),
      raw: (method, message) => call(`${v1Path}${method}`, message, whole),
    },
    close: () => {
      connection.close();
    },
  };
}

/** The server does not have this method. */
export const unimplemented = 12;

function outcomeOf<T>(answer: GrpcAnswer, decode: (bytes: Buffer) => T): Outcome<T> {
  const { durationMs } = answer;
  const failed = (said: string, code?: number, hung = false): Outcome<T> => ({
    ok: false,
    code,
    said,
    hung,
    durationMs,
  });
  switch (answer.kind) {
    case 'message':
      try {
        return { ok: true, value: decode(answer.message), durationMs };
      } catch {
        return failed('an answer that is no protobuf message of the method');
      }
    case 'status':
      return failed(`gRPC status ${answer.code}${shown(answer.details)}`, answer.code);
    case 'ended':
      return failed(`no status (${answer.reason})`);
    default:
      return failed(
        `no answer within ${Math.round(durationMs)} ms`,
        undefined,
        (answer.kind satisfies 'timeout') === 'timeout',
      );
  }
}

const detailsShownMax = 200;
const shown = (details: string): string =>
  details === '' ? '' : `: ${details.replace(/[^\x20-\x7e]/g, '?').slice(0, detailsShownMax)}`;

/** @throws KmsPluginError `contract_broken` when the call failed */
export function expectAnswer<T>(what: string, outcome: Outcome<T>): T {
  if (outcome.ok) return outcome.value;
  throw breach(`${what} got ${outcome.said}`);
}

/** What a check throws when the plugin did what it must not. */
export function breach(problem: string): KmsPluginError {
  return new KmsPluginError('contract_broken', problem);
}
