/** Assertions on how a call of the API fails. */
import assert from 'node:assert/strict';

/** Fails unless the promise rejects with this AWS error code and, when given, exactly this message. */
export async function rejectsWith(promise: Promise<unknown>, code: string, message?: string): Promise<void> {
  const error: unknown = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof Error, `the call succeeded; expected ${code}`);
  assert.equal('code' in error ? error.code : error.name, code, error.message);
  if (message !== undefined) assert.equal(error.message, message);
}
