/**
 * Compares the service's answers with recordings of AWS's, field by field.
 *
 * The recordings are those the LocalStack project made against AWS KMS and AWS STS for its own tests, and sentences AWS answered
 * to people who quoted them. What differs from call to call (ids, dates, bytes) is recorded as its form.
 */
import assert from 'node:assert/strict';
import type { TestService, UserName } from './harness.js';
import { rawCall } from './raw-call.js';

export type Members = Readonly<Record<string, unknown>>;

/** A date of JSON 1.1: seconds since the epoch, with milliseconds at most. */
export const DATE = Symbol('date');
/** Bytes in base64. */
export const BLOB =
  /^(?:[A-Za-z0-9+/]{4})+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$|^[A-Za-z0-9+/]{2,3}={1,2}$/;
export const MATERIAL_ID = /^[0-9a-f]{64}$/;

export interface RecordedCall {
  readonly region?: string;
  readonly user?: UserName;
}

/** Sends one call and returns the members of its answer; an empty body is undefined. */
export async function call(
  kms: TestService,
  action: string,
  input: Members,
  options: RecordedCall = {},
): Promise<Members | undefined> {
  const { status, body } = await rawCall(kms, { action, body: JSON.stringify(input), ...options });
  assert.equal(status, 200, `${action}: ${body}`);
  return body === '' ? undefined : (JSON.parse(body) as Members);
}

/** @returns the new key's id */
export async function createKey(
  kms: TestService,
  input: Members = {},
  options: RecordedCall = {},
): Promise<string> {
  const { KeyMetadata } = (await call(kms, 'CreateKey', input, options)) as {
    KeyMetadata: { KeyId: string };
  };
  return KeyMetadata.KeyId;
}

/** The call succeeds with these members and no others. @param expected undefined: without a body */
export async function answers(
  kms: TestService,
  action: string,
  input: Members,
  expected: Members | undefined,
  options?: RecordedCall,
): Promise<Members> {
  const actual = await call(kms, action, input, options);
  matches(actual, expected, action);
  return actual ?? {};
}

/**
 * The call is refused with exactly this `__type` and message.
 *
 * @param message empty: the error has no message member; AccessDeniedException and SerializationException spell theirs `Message`
 */
export async function refuses(
  kms: TestService,
  action: string,
  input: Members | string,
  code: string,
  message: string,
  options?: RecordedCall,
): Promise<void> {
  const sent = typeof input === 'string' ? input : JSON.stringify(input);
  const { status, body } = await rawCall(kms, { action, body: sent, ...options });
  const member =
    code === 'AccessDeniedException' || code === 'SerializationException' ? 'Message' : 'message';
  assert.deepEqual(
    JSON.parse(body === '' ? '{}' : body),
    message === '' ? { __type: code } : { __type: code, [member]: message },
    action,
  );
  assert.equal(status, 400, action);
}

function matches(actual: unknown, expected: unknown, path: string): void {
  if (expected === DATE) {
    assert.equal(typeof actual, 'number', path);
    assert.match(String(actual), /^\d{10}(?:\.\d{1,3})?$/, path);
  } else if (expected instanceof RegExp) {
    assert.equal(typeof actual, 'string', path);
    assert.match(String(actual), expected, path);
  } else if (Array.isArray(expected)) {
    assert.ok(Array.isArray(actual), path);
    assert.equal(actual.length, expected.length, path);
    for (const [index, one] of expected.entries()) matches(actual[index], one, `${path}[${index}]`);
  } else if (typeof expected === 'object' && expected !== null) {
    assert.ok(typeof actual === 'object' && actual !== null, path);
    assert.deepEqual(Object.keys(actual).toSorted(), Object.keys(expected).toSorted(), path);
    for (const [name, one] of Object.entries(expected)) {
      matches((actual as Members)[name], one, `${path}.${name}`);
    }
  } else {
    assert.deepEqual(actual, expected, path);
  }
}
