/**
 * The errors of this package: `ApiError` is what a client of the API sees, `ApiServerError` what whoever runs the
 * server sees.
 *
 * Source of the rule: k8s.io/apimachinery `api/errors` and `meta/v1` Status: client-go decides by `reason`, people
 * read `message`.
 */

export type StatusReason =
  | ''
  | 'Unauthorized'
  | 'Forbidden'
  | 'NotFound'
  | 'AlreadyExists'
  | 'Conflict'
  | 'Gone'
  | 'Invalid'
  | 'ServerTimeout'
  | 'Timeout'
  | 'TooManyRequests'
  | 'BadRequest'
  | 'MethodNotAllowed'
  | 'NotAcceptable'
  | 'RequestEntityTooLarge'
  | 'UnsupportedMediaType'
  | 'InternalError'
  | 'Expired'
  | 'ServiceUnavailable';

export interface StatusCause {
  readonly reason?: string;
  readonly message: string;
  readonly field?: string;
}

export interface StatusDetails {
  readonly name?: string;
  readonly group?: string;
  readonly kind?: string;
  readonly uid?: string;
  readonly causes?: readonly StatusCause[];
  readonly retryAfterSeconds?: number;
}

export interface Status {
  readonly kind: 'Status';
  readonly apiVersion: 'v1';
  readonly metadata: Record<string, unknown>;
  readonly status: 'Success' | 'Failure';
  readonly message?: string;
  readonly reason?: StatusReason;
  readonly details?: StatusDetails;
  readonly code?: number;
}

/** Thrown anywhere in the API server to answer with a Status of that code and reason. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly code: number;
  readonly reason: StatusReason;
  readonly details: StatusDetails | undefined;

  constructor(
    code: number,
    reason: StatusReason,
    message: string,
    details?: StatusDetails,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.code = code;
    this.reason = reason;
    this.details = details;
  }

  toStatus(): Status {
    return {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message: this.message,
      reason: this.reason,
      ...(this.details === undefined ? {} : { details: this.details }),
      code: this.code,
    };
  }
}

export type ApiServerErrorCode =
  | 'bad-token-file'
  | 'bad-service-account-key'
  | 'service-account-token-expired'
  | 'service-account-token-invalid';

/** What is wrong with what the server was started with, or with a token it was shown. Never holds a key or token. */
export class ApiServerError extends Error {
  override readonly name = 'ApiServerError';
  readonly code: ApiServerErrorCode;
  /** Of a token file, counted from 1. */
  readonly line: number | undefined;

  constructor(
    code: ApiServerErrorCode,
    message: string,
    options?: ErrorOptions & { readonly line?: number },
  ) {
    super(message, options);
    this.code = code;
    this.line = options?.line;
  }
}
