/**
 * One thing wrong with one field, in the reference's words.
 *
 * Source of the rule: k8s.io/apimachinery `util/validation/field` errors.go. `message` is the body without the field,
 * as it appears in `details.causes`.
 */

type FieldErrorType =
  | 'FieldValueRequired'
  | 'FieldValueInvalid'
  | 'FieldValueNotSupported'
  | 'FieldValueForbidden'
  | 'FieldValueTooLong';

export interface FieldError {
  readonly type: FieldErrorType;
  readonly field: string;
  readonly message: string;
}

const suffix = (detail: string): string => (detail === '' ? '' : `: ${detail}`);

export function required(field: string, detail = ''): FieldError {
  return { type: 'FieldValueRequired', field, message: `Required value${suffix(detail)}` };
}

/** Never give it a secret as `value`: it is printed. */
export function invalidValue(field: string, value: unknown, detail: string): FieldError {
  return { type: 'FieldValueInvalid', field, message: `Invalid value: ${print(value)}${suffix(detail)}` };
}

export function notSupported(field: string, value: unknown, supported: readonly string[]): FieldError {
  const list =
    supported.length === 0 ? '' : `supported values: ${supported.map((v) => JSON.stringify(v)).join(', ')}`;
  return {
    type: 'FieldValueNotSupported',
    field,
    message: `Unsupported value: ${print(value)}${suffix(list)}`,
  };
}

export function forbiddenField(field: string, detail: string): FieldError {
  return { type: 'FieldValueForbidden', field, message: `Forbidden${suffix(detail)}` };
}

export function tooLong(field: string, maxBytes: number): FieldError {
  return {
    type: 'FieldValueTooLong',
    field,
    message: `Too long: may not be more than ${maxBytes} bytes`,
  };
}

function print(value: unknown): string {
  return value === undefined ? 'null' : JSON.stringify(value);
}
