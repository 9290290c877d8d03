/**
 * The reference's errors, by its own names for them.
 *
 * Source of the rule: k8s.io/apimachinery `api/errors`. Clients decide by code and reason, people read the message,
 * so both match to the letter.
 */
import { StoreError } from '@waxseal/storage';
import { ApiError, type Status, type StatusCause, type StatusReason } from '../errors.js';
import type { FieldError } from '../registry/validation/field-error.js';

/** Names a resource or a kind in a message: `secrets`, `roles.rbac.authorization.k8s.io`. */
export interface Qualified {
  readonly group: string;
  readonly resource: string;
}

export const OPTIMISTIC_LOCK_MESSAGE =
  'the object has been modified; please apply your changes to the latest version and try again';

function qualifiedName(of: Qualified): string {
  return of.group === '' ? of.resource : `${of.resource}.${of.group}`;
}

/** Omits empty fields, as the reference's encoder does. */
function details(of: Qualified, name: string): { name?: string; group?: string; kind: string } {
  return {
    ...(name === '' ? {} : { name }),
    ...(of.group === '' ? {} : { group: of.group }),
    kind: of.resource,
  };
}

export function notFound(of: Qualified, name: string): ApiError {
  return new ApiError(404, 'NotFound', `${qualifiedName(of)} ${quote(name)} not found`, details(of, name));
}

export function alreadyExists(of: Qualified, name: string): ApiError {
  return new ApiError(
    409,
    'AlreadyExists',
    `${qualifiedName(of)} ${quote(name)} already exists`,
    details(of, name),
  );
}

export function generateNameConflict(of: Qualified, name: string): ApiError {
  return new ApiError(
    409,
    'AlreadyExists',
    `${qualifiedName(of)} ${quote(name)} already exists, the server was not able to generate a unique name for the object`,
    { ...details(of, name), retryAfterSeconds: 1 },
  );
}

export function conflict(of: Qualified, name: string, why: string): ApiError {
  return new ApiError(
    409,
    'Conflict',
    `Operation cannot be fulfilled on ${qualifiedName(of)} ${quote(name)}: ${why}`,
    details(of, name),
  );
}

export function forbidden(of: Qualified, name: string, why: string, causes?: StatusCause[]): ApiError {
  const subject = name === '' ? qualifiedName(of) : `${qualifiedName(of)} ${quote(name)}`;
  return new ApiError(403, 'Forbidden', `${subject} is forbidden: ${why}`, {
    ...details(of, name),
    ...(causes === undefined ? {} : { causes }),
  });
}

/** `Secret "x" is invalid: data[a b]: Invalid value: …`; several errors are listed in brackets, equal ones once. */
export function invalid(
  of: { readonly group: string; readonly kind: string },
  name: string,
  errors: readonly FieldError[],
): ApiError {
  const texts = [...new Set(errors.map((e) => `${e.field}: ${e.message}`))];
  const listed = texts.length === 1 ? (texts[0] as string) : `[${texts.join(', ')}]`;
  const kind = of.group === '' ? of.kind : `${of.kind}.${of.group}`;
  return new ApiError(422, 'Invalid', `${kind} ${quote(name)} is invalid: ${listed}`, {
    ...details({ group: of.group, resource: of.kind }, name),
    causes: errors.map((e) => ({ reason: e.type, message: e.message, field: e.field })),
  });
}

export function badRequest(message: string): ApiError {
  return new ApiError(400, 'BadRequest', message);
}

export function internalError(message: string, cause?: unknown): ApiError {
  return new ApiError(
    500,
    'InternalError',
    `Internal error occurred: ${message}`,
    { causes: [{ message }] },
    cause === undefined ? {} : { cause },
  );
}

export function methodNotSupported(of: Qualified, action: string): ApiError {
  return new ApiError(
    405,
    'MethodNotAllowed',
    `${action} is not supported on resources of kind ${quote(qualifiedName(of))}`,
    details(of, ''),
  );
}

export function expired(message: string): ApiError {
  return new ApiError(410, 'Expired', message);
}

/** 410 with a token in `metadata.continue` that goes on at the present revision. */
export class ExpiredContinueError extends ApiError {
  readonly continueToken: string;

  constructor(continueToken: string) {
    super(
      410,
      'Expired',
      'The provided continue parameter is too old to display a consistent list result. You can start a new list ' +
        'without the continue parameter, or use the continue token in this response to retrieve the remainder of ' +
        'the results. Continuing with the provided token results in an inconsistent list - objects that were ' +
        'created, modified, or deleted between the time the first chunk was returned and now may show up in the list.',
    );
    this.continueToken = continueToken;
  }

  override toStatus(): Status {
    return { ...super.toStatus(), metadata: { continue: this.continueToken } };
  }
}

export function tooLargeResourceVersion(asked: string, current: number): ApiError {
  return new ApiError(504, 'Timeout', `Timeout: Too large resource version: ${asked}, current: ${current}`, {
    causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
    retryAfterSeconds: 1,
  });
}

/** A value that cannot be opened or decoded. One key: its cause; several: each on a line. */
export function unreadable(failures: readonly { readonly key: string; readonly cause: Error }[]): ApiError {
  const lines = failures.map((f) => `unable to transform key ${quote(f.key)}: ${f.cause.message}`);
  const message =
    lines.length === 1
      ? (lines[0] as string)
      : `unable to transform or decode ${lines.length} objects: {\n${lines.map((l) => `\t${l}\n`).join('')}}`;
  return internalError(message, failures[0]?.cause);
}

/** What a failure of the store means to a client. Everything that is no StoreError passes unchanged. */
export function fromStore(error: unknown, of: Qualified, operation: string): unknown {
  if (!(error instanceof StoreError)) return error;
  const made = (code: number, reason: StatusReason, message: string, retryAfterSeconds?: number): ApiError =>
    new ApiError(
      code,
      reason,
      message,
      retryAfterSeconds === undefined ? undefined : { ...details(of, operation), retryAfterSeconds },
      { cause: error },
    );
  switch (error.code) {
    case 'too-large':
      return made(413, 'RequestEntityTooLarge', `Request entity too large: ${error.message}`);
    case 'compacted':
      return expired('The resourceVersion for the provided list is too old.');
    case 'unavailable':
    case 'closed':
      return made(
        500,
        'ServerTimeout',
        `The ${operation} operation against ${qualifiedName(of)} could not be completed at this time, please try again.`,
        2,
      );
    case 'timeout':
      return made(504, 'Timeout', `Timeout: request did not complete within requested timeout`, 0);
    case 'no-space':
      return internalError(`the storage is full: ${error.message}; free disk space and try again`, error);
    case 'future-revision':
    case 'lease-not-found':
    case 'lease-exists':
    case 'key-not-found':
    case 'duplicate-key':
    case 'invalid-argument':
    case 'unauthenticated':
    case 'in-use':
    case 'corrupt':
      return internalError(error.message, error);
    default:
      return error;
  }
}

/** Go's `%q`, near enough for names. */
function quote(text: string): string {
  return JSON.stringify(text);
}
