/**
 * Failures of starting and running the key service itself, told to the operator. What callers of the API are told is in
 * aws-error.ts.
 */

export type KeyServiceErrorCode =
  | 'invalid-option'
  | 'invalid-principals'
  | 'invalid-seeds'
  | 'seed-conflict'
  | 'root-key-missing'
  | 'root-key-wrong'
  | 'root-key-unreadable'
  | 'store-corrupt'
  | 'audit-corrupt'
  | 'audit-unwritable'
  | 'backup-damaged'
  | 'restore-refused'
  | 'listen-failed'
  | 'closed';

/** `message` says what is wrong and what to do about it; it never holds key material. */
export class KeyServiceError extends Error {
  override readonly name = 'KeyServiceError';
  readonly code: KeyServiceErrorCode;
  constructor(code: KeyServiceErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
