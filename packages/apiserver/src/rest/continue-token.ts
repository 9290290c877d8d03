/**
 * Where the next page of a list starts: opaque to clients, base64url JSON within.
 *
 * Source of the rule: k8s.io/apiserver `storage/continue.go`. The token names the key relative to the prefix that is
 * listed, and is refused when it would leave that prefix.
 */
import { badRequest } from './status-errors.js';

const VERSION = 'meta.k8s.io/v1';
/** Of an inconsistent token: go on at whatever revision is current. */
export const CURRENT_REVISION = -1;

export interface ContinueToken {
  /** The list's revision, or CURRENT_REVISION. */
  readonly revision: number;
  /** Full storage key of the first key to read. */
  readonly startKey: string;
}

export function formatContinueToken(token: ContinueToken, keyPrefix: string): string {
  const start = token.startKey.slice(keyPrefix.length);
  return Buffer.from(JSON.stringify({ v: VERSION, rv: token.revision, start })).toString('base64url');
}

/** The key right after `key`. */
export function keyAfter(key: Buffer): Buffer {
  return Buffer.concat([key, Buffer.from([0])]);
}

/** @throws ApiError 400 */
export function parseContinueToken(text: string, keyPrefix: string): ContinueToken {
  const refuse = (why: string): never => {
    throw badRequest(`invalid continue token: ${why}`);
  };
  let value: unknown;
  try {
    if (!/^[A-Za-z0-9_-]*$/.test(text)) throw new Error('not base64url');
    value = JSON.parse(Buffer.from(text, 'base64url').toString());
  } catch {
    return refuse('continue key is not valid');
  }
  const { v, rv, start } = (value ?? {}) as { v?: unknown; rv?: unknown; start?: unknown };
  if (v !== VERSION) {
    return refuse(
      `continue key is not valid: server does not recognize this encoded version ${typeof v === 'string' ? v : ''}`,
    );
  }
  if (typeof rv !== 'number' || !Number.isSafeInteger(rv) || rv === 0) {
    return refuse(
      'continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)',
    );
  }
  if (typeof start !== 'string' || start === '') {
    return refuse('continue key is not valid: encoded start key empty (version meta.k8s.io/v1)');
  }
  // No step of the path may lead out of the prefix.
  const path = start.startsWith('/') ? start.slice(1) : start;
  if (path.split('/').some((step) => step === '' || step === '.' || step === '..')) {
    return refuse(`continue key is not valid: ${start}`);
  }
  return { revision: rv, startKey: keyPrefix + path };
}
