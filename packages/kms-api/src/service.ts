/**
 * The KMS plugin contract as both sides of the socket see it, free of gRPC.
 *
 * Source of the rule: k8s.io/kms `apis/v2/api.proto` and `apis/v1beta1/api.proto`.
 */

/** Answer of v2 `Status`. */
export interface StatusResponse {
  /** `v2` or `v2beta1`; constant for the life of an API server. */
  readonly version: string;
  /** Exactly `ok` when healthy, else one short safe sentence. */
  readonly healthz: string;
  /** Names the key a write would use now; public, 1..1024 bytes. */
  readonly keyId: string;
}

/** Answer of v2 `Encrypt`. */
export interface EncryptResponse {
  /** The wrapped DEK source, 1..1024 bytes. */
  readonly ciphertext: Buffer;
  readonly keyId: string;
  /** Keys are fully qualified domain names; 32 KiB in total. */
  readonly annotations: Readonly<Record<string, Buffer>>;
}

/** What v2 `Decrypt` is asked with: everything a write stored beside the ciphertext. */
export interface DecryptRequest {
  readonly ciphertext: Buffer;
  readonly keyId: string;
  readonly annotations: Readonly<Record<string, Buffer>>;
}

/**
 * How long the caller goes on waiting from now, in ms; `Infinity` when it did not say. Given by the server frame; what is not done by
 * then is answered for it. Clients ignore it.
 */
export type CallerTimeoutMs = number;

/** KMS v2. `uid` identifies one call in the logs of both sides; it is no secret. */
export interface KmsV2Service {
  status(signal?: AbortSignal): Promise<StatusResponse>;
  encrypt(
    uid: string,
    plaintext: Buffer,
    signal?: AbortSignal,
    timeoutMs?: CallerTimeoutMs,
  ): Promise<EncryptResponse>;
  decrypt(
    uid: string,
    request: DecryptRequest,
    signal?: AbortSignal,
    timeoutMs?: CallerTimeoutMs,
  ): Promise<Buffer>;
}

/** KMS v1 (v1beta1 on the wire): one call per DEK, no key id. */
export interface KmsV1Service {
  version(signal?: AbortSignal): Promise<{
    readonly version: string;
    readonly runtimeName: string;
    readonly runtimeVersion: string;
  }>;
  encrypt(plaintext: Buffer, signal?: AbortSignal, timeoutMs?: CallerTimeoutMs): Promise<Buffer>;
  decrypt(ciphertext: Buffer, signal?: AbortSignal, timeoutMs?: CallerTimeoutMs): Promise<Buffer>;
}
