/**
 * One fault of a configuration and where it stands.
 *
 * Source of the words: k8s.io/apimachinery `util/validation/field`.
 */

export interface FieldError {
  /** Path such as `resources[0].providers[1].kms.name`; empty when the fault has no one place. */
  readonly field: string;
  /** Kind, value and reason, e.g. `Invalid value: "a:b": must not contain ':'`. Never key material. */
  readonly message: string;
}

export function required(field: string, reason: string): FieldError {
  return { field, message: `Required value: ${reason}` };
}

/** @param value what to show of the refused value */
export function invalid(
  field: string,
  value: string | number | readonly string[],
  reason: string,
): FieldError {
  return { field, message: `Invalid value: ${JSON.stringify(value)}: ${reason}` };
}

export function formatFieldError(error: FieldError): string {
  return error.field === '' ? error.message : `${error.field}: ${error.message}`;
}
