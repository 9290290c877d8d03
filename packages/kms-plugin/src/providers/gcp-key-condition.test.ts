/** What Cloud KMS says of a key, through Google's own client. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { ProviderError } from '../errors.js';
import type { KeyCondition } from '../key-condition.js';
import type { Provider } from '../provider.js';
import {
  fail,
  startTestCloudKms,
  testGcpKey,
  type TestCloudKms,
} from '../testing/google-cloud-kms-server.js';
import { createGcpProvider } from './gcp.js';

const signal = (): AbortSignal => new AbortController().signal;

async function started(t: TestContext): Promise<{ readonly kms: TestCloudKms; readonly provider: Provider }> {
  const kms = await startTestCloudKms(t);
  const { endpoint, credentialsFile } = kms;
  const provider = createGcpProvider({ key: testGcpKey, endpoint, credentialsFile });
  t.after(() => provider.close());
  return { kms, provider };
}

async function conditionOf(provider: Provider): Promise<KeyCondition> {
  assert.ok(provider.describe !== undefined);
  return provider.describe(signal());
}

test('an enabled version is usable, before it was ever used too', async (t) => {
  const { kms, provider } = await started(t);
  assert.deepEqual(await conditionOf(provider), { state: 'usable', warnings: [] });
  assert.deepEqual(kms.problems, []);
});

const states = [
  ['DISABLED', 'disabled'],
  ['DESTROYED', 'gone'],
  ['DESTROY_SCHEDULED', 'pending-deletion'],
  ['PENDING_IMPORT', 'pending-import'],
] as const;
for (const [named, state] of states) {
  test(`a version that is ${named} is ${state}`, async (t) => {
    const { kms, provider } = await started(t);
    await provider.encrypt(provider.snapshot(), Buffer.from('dek'), signal());
    const version = kms.versions.get(1);
    assert.ok(version !== undefined);
    version.state = named;
    assert.equal((await conditionOf(provider)).state, state);
  });
}

test('the day of destruction is told', async (t) => {
  const { kms, provider } = await started(t);
  const version = kms.versions.get(1);
  assert.ok(version !== undefined);
  version.state = 'DESTROY_SCHEDULED';
  version.destroyTime = '2031-02-03T04:05:06Z';
  const condition = await conditionOf(provider);
  assert.deepEqual(condition, {
    state: 'pending-deletion',
    unreadableFromMs: Date.parse('2031-02-03T04:05:06Z'),
    warnings: [],
  });
});

test('an old version on its way out is warned of, and dated once values were read with it', async (t) => {
  const { kms, provider } = await started(t);
  const { ciphertext } = await provider.encrypt(provider.snapshot(), Buffer.from('dek'), signal());
  const { keyId } = provider.snapshot();
  await provider.decrypt({ ciphertext, version: 'v2', keyId, annotations: {} }, signal());
  for (let more = 0; more < 3; more += 1) kms.addVersion();
  await provider.encrypt(provider.snapshot(), Buffer.from('dek'), signal());
  const [one, two, three] = [1, 2, 3].map((number) => kms.versions.get(number));
  assert.ok(one !== undefined && two !== undefined && three !== undefined);
  one.state = 'DESTROY_SCHEDULED';
  one.destroyTime = '2031-02-03T00:00:00Z';
  two.state = 'DESTROY_SCHEDULED';
  two.destroyTime = '2030-01-01T00:00:00Z';
  three.state = 'DESTROYED';
  const condition = await conditionOf(provider);
  assert.equal(condition.state, 'usable');
  assert.equal(condition.unreadableFromMs, Date.parse('2031-02-03T00:00:00Z'));
  assert.equal(condition.warnings.length, 2);
  assert.match(condition.warnings[0] ?? '', /^Version 1 .*2031-02-03.*have been read.*\.$/);
  assert.match(condition.warnings[1] ?? '', /^Version 2 .*2030-01-01.*cannot be read\.$/);
});

test('a key without a primary version, and one of another purpose, are said so', async (t) => {
  const { kms, provider } = await started(t);
  kms.primary = undefined;
  kms.purpose = 5;
  const condition = await conditionOf(provider);
  assert.equal(condition.state, 'disabled');
  assert.equal(condition.warnings.length, 2);
});

test('without the permission to list versions the primary is still watched; without any it is an error', async (t) => {
  const { kms, provider } = await started(t);
  kms.interfere = ({ action }, response) => {
    if (action === 'list') fail(response, 403, 'PERMISSION_DENIED');
    return action === 'list';
  };
  const condition = await conditionOf(provider);
  assert.equal(condition.state, 'usable');
  assert.match(condition.warnings[0] ?? '', /roles\/cloudkms\.viewer/);
  kms.interfere = (_call, response) => {
    fail(response, 403, 'PERMISSION_DENIED');
    return true;
  };
  await assert.rejects(
    conditionOf(provider),
    (error) => error instanceof ProviderError && /cloudkms\.viewer/.test(error.message),
  );
});
