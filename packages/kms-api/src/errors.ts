/**
 * The one error of this package, and its mapping to and from gRPC status codes.
 *
 * Source of the codes: the gRPC status code guide (grpc.io/docs/guides/status-codes). Only those a KMS plugin has a use
 * for have a code here; every other one reads as `internal`.
 */
import { status } from '@grpc/grpc-js';

/**
 * - `invalid_endpoint`: the socket's address cannot be used
 * - `invalid_argument`: the request breaks the contract, or the ciphertext is not one this plugin made
 * - `failed_precondition`: the request is sound, the key is not usable (disabled, deleted, another key's)
 * - `permission_denied`, `unauthenticated`: the key service refuses the plugin's identity
 * - `resource_exhausted`: throttled, or a message beyond the size limit
 * - `unavailable`: nobody answers; trying again may help
 * - `deadline_exceeded`: the answer did not come in time
 * - `cancelled`: the caller gave up
 * - `unimplemented`: the peer does not serve this version of the contract
 * - `invalid_response`: the peer answered something the contract forbids
 * - `socket_in_use`: another process answers on the socket
 * - `socket_path_taken`: something that is no socket lies at the path
 * - `socket_failed`: the socket could not be made
 * - `internal`: anything else
 */
export type KmsApiErrorCode =
  | 'invalid_endpoint'
  | 'invalid_argument'
  | 'failed_precondition'
  | 'permission_denied'
  | 'unauthenticated'
  | 'resource_exhausted'
  | 'unavailable'
  | 'deadline_exceeded'
  | 'cancelled'
  | 'unimplemented'
  | 'invalid_response'
  | 'socket_in_use'
  | 'socket_path_taken'
  | 'socket_failed'
  | 'internal';

export interface KmsApiErrorFields {
  readonly cause?: unknown;
  /** The socket the call went to, as a `unix://` URL. */
  readonly endpoint?: string;
  /** `Encrypt`, `Decrypt`, `Status` or `Version`. */
  readonly method?: string;
}

/** Messages say what to do and are safe to show: no plaintext, no ciphertext, no key material. */
export class KmsApiError extends Error {
  override readonly name = 'KmsApiError';
  readonly code: KmsApiErrorCode;
  readonly endpoint: string | undefined;
  readonly method: string | undefined;

  constructor(code: KmsApiErrorCode, message: string, fields: KmsApiErrorFields = {}) {
    super(message, fields.cause === undefined ? undefined : { cause: fields.cause });
    this.code = code;
    this.endpoint = fields.endpoint;
    this.method = fields.method;
  }
}

const statusOfCode: Readonly<Record<KmsApiErrorCode, status>> = {
  invalid_endpoint: status.INTERNAL,
  invalid_argument: status.INVALID_ARGUMENT,
  failed_precondition: status.FAILED_PRECONDITION,
  permission_denied: status.PERMISSION_DENIED,
  unauthenticated: status.UNAUTHENTICATED,
  resource_exhausted: status.RESOURCE_EXHAUSTED,
  unavailable: status.UNAVAILABLE,
  deadline_exceeded: status.DEADLINE_EXCEEDED,
  cancelled: status.CANCELLED,
  unimplemented: status.UNIMPLEMENTED,
  invalid_response: status.INTERNAL,
  socket_in_use: status.INTERNAL,
  socket_path_taken: status.INTERNAL,
  socket_failed: status.INTERNAL,
  internal: status.INTERNAL,
};

const codeOfStatus: ReadonlyMap<number, KmsApiErrorCode> = new Map<number, KmsApiErrorCode>([
  [status.INVALID_ARGUMENT, 'invalid_argument'],
  [status.OUT_OF_RANGE, 'invalid_argument'],
  [status.FAILED_PRECONDITION, 'failed_precondition'],
  [status.NOT_FOUND, 'failed_precondition'],
  [status.PERMISSION_DENIED, 'permission_denied'],
  [status.UNAUTHENTICATED, 'unauthenticated'],
  [status.RESOURCE_EXHAUSTED, 'resource_exhausted'],
  [status.UNAVAILABLE, 'unavailable'],
  [status.DEADLINE_EXCEEDED, 'deadline_exceeded'],
  [status.CANCELLED, 'cancelled'],
  [status.ABORTED, 'unavailable'],
  [status.UNIMPLEMENTED, 'unimplemented'],
]);

/** The gRPC status code a failed call answers with. */
export function grpcStatusOf(code: KmsApiErrorCode): number {
  return statusOfCode[code];
}

/** The code a gRPC status code reads as. */
export function codeOfGrpcStatus(grpcStatus: number): KmsApiErrorCode {
  return codeOfStatus.get(grpcStatus) ?? 'internal';
}
