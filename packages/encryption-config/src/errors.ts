/** The one error of this package. */
import { aggregateErrors, errorMessage } from '@waxseal/envelope';
import type { FieldError } from './field-error.js';

/**
 * - `unreadable-file`: the configuration file cannot be read or is empty
 * - `invalid-configuration`: it does not parse or validate; `fieldErrors` says where
 * - `kms-unhealthy`: a KMS plugin does not answer as it must; the message says which and why
 * - `reload-failed`: a changed file was not put in force
 */
export type EncryptionConfigErrorCode =
  'unreadable-file' | 'invalid-configuration' | 'kms-unhealthy' | 'reload-failed';

/** Messages are safe to show to an administrator: they never hold key material. */
export class EncryptionConfigError extends Error {
  override readonly name = 'EncryptionConfigError';
  readonly code: EncryptionConfigErrorCode;
  readonly fieldErrors: readonly FieldError[];

  constructor(
    code: EncryptionConfigErrorCode,
    message: string,
    options: ErrorOptions & { readonly fieldErrors?: readonly FieldError[] } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.fieldErrors = options.fieldErrors ?? [];
  }
}

/** Several texts as one, as the reference writes an aggregate; undefined for none. */
export function joinMessages(messages: readonly string[]): string | undefined {
  if (messages.length === 0) return undefined;
  return errorMessage(aggregateErrors(messages));
}
