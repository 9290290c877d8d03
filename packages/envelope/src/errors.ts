/**
 * The one error of this package, and how several of them become one.
 *
 * Where users of kube-apiserver see a text, the words are the ones its storage layer uses (k8s.io/apiserver
 * `storage/value`), so that what people search for finds the same answers.
 */

/**
 * - `no-matching-prefix`: no configured provider wrote this value.
 * - `encrypted-data`: identity refused a value that begins with `k8s:enc:`.
 * - `malformed`: the value is too short or its frame does not parse.
 * - `limit-exceeded`: a key id, a wrapped DEK or annotations break a limit of the format.
 * - `decryption-failed`: authentication or padding is wrong: another key, another storage key, or changed bytes.
 * - `invalid-key`: a key or DEK of a length the cipher does not take.
 * - `kms-failed`: the KMS did not wrap or unwrap; `cause` is its error.
 * - `no-write-state`, `write-state-expired`: KMS v2 has no usable DEK to write with.
 * - `several`: more than one provider tried and failed; `errors` holds each.
 */
export type EnvelopeErrorCode =
  | 'no-matching-prefix'
  | 'encrypted-data'
  | 'malformed'
  | 'limit-exceeded'
  | 'decryption-failed'
  | 'invalid-key'
  | 'kms-failed'
  | 'no-write-state'
  | 'write-state-expired'
  | 'several';

/** Every failure to seal or open a value. Never holds plaintext, keys or DEKs. */
export class EnvelopeError extends Error {
  override readonly name = 'EnvelopeError';
  readonly code: EnvelopeErrorCode;
  /** The failures behind a `several`, in the order they were met; else empty. */
  readonly errors: readonly unknown[];

  constructor(
    code: EnvelopeErrorCode,
    message: string,
    options: ErrorOptions & { readonly errors?: readonly unknown[] } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.errors = options.errors ?? [];
  }
}

/** The text of anything thrown. */
export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/**
 * One error for several, written as the reference writes an aggregate: one stays itself; equal texts appear once;
 * different ones stand in brackets (k8s.io/apimachinery `util/errors`).
 */
export function aggregateErrors(errors: readonly unknown[]): unknown {
  if (errors.length === 1) return errors[0];
  const messages = [...new Set(errors.map(errorMessage))];
  const message = messages.length === 1 ? (messages[0] as string) : `[${messages.join(', ')}]`;
  return new EnvelopeError('several', message, { errors });
}

/** The reference's one text for every value that is too short for its provider. */
export function tooShort(): EnvelopeError {
  return new EnvelopeError('malformed', 'the stored data was shorter than the required size');
}
