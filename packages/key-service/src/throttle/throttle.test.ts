// Goal: a quota lets its burst through at once and its rate from then on, for each account and Region alone. Method: a moved clock.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DescribeKeyCommand, ListKeysCommand } from '@aws-sdk/client-kms';
import { startTestService } from '../testing/harness.js';
import { rejectsWith } from '../testing/rejects.js';
import { createThrottle, parseQuotas } from './throttle.js';
import { parseThrottling } from './throttling-file.js';

function admitted(
  throttle: ReturnType<typeof createThrottle>,
  operation: string,
  region = 'r',
  account = 'a',
): boolean {
  try {
    throttle.admit(operation, account, region);
    return true;
  } catch {
    return false;
  }
}

test('burst first, then the rate', () => {
  let nowMs = 0;
  const throttle = createThrottle(new Map([['CreateKey', { perSecond: 2, burst: 3 }]]), () => nowMs);
  const tries = (count: number): number =>
    Array.from({ length: count }, () => admitted(throttle, 'CreateKey')).filter(Boolean).length;
  assert.equal(tries(10), 3);
  nowMs = 499;
  assert.equal(tries(1), 0);
  nowMs = 500;
  assert.equal(tries(2), 1);
  nowMs = 60_000;
  assert.equal(tries(10), 3);
  assert.equal(admitted(throttle, 'CreateKey', 'other'), true);
  assert.equal(admitted(throttle, 'CreateKey', 'r', 'other'), true);
  assert.equal(admitted(throttle, 'ListKeys'), true);
});

test('cryptographic operations share a quota', () => {
  const throttle = createThrottle(parseQuotas({ CryptographicOperations: 2 }, new Set()), () => 0);
  assert.deepEqual(
    ['Encrypt', 'Decrypt', 'GenerateDataKey', 'DescribeKey'].map((one) => admitted(throttle, one)),
    [true, true, false, true],
  );
});

test('quotas are read from the configuration, with the place of every mistake', () => {
  const yaml = 'accounts: []\nthrottling: {Encrypt: 100, CreateKey: {perSecond: 5, burst: 10}}';
  assert.deepEqual(
    [...parseThrottling(yaml)],
    [
      ['Encrypt', { perSecond: 100, burst: 100 }],
      ['CreateKey', { perSecond: 5, burst: 10 }],
    ],
  );
  assert.equal(parseThrottling('accounts: []').size, 0);
  for (const [throttling, message] of [
    [{ Encript: 1 }, /throttling\.Encript is no operation/],
    [{ Encrypt: 0 }, /throttling\.Encrypt must be a number/],
    [{ Encrypt: { perSecond: 1, burst: 0 } }, /throttling\.Encrypt\.burst/],
    [{ Encrypt: { perSecond: 1, bursts: 2 } }, /knows perSecond and burst only/],
    [3, /must be a mapping/],
  ] as const) {
    assert.throws(() => parseQuotas(throttling, new Set(['Encrypt'])), message);
  }
});

test("a call too many gets AWS's error", async (t) => {
  const kms = await startTestService({ quotas: parseQuotas({ ListKeys: 1 }, new Set(['ListKeys'])) });
  t.after(() => kms.close());
  const client = kms.client();
  await client.send(new ListKeysCommand({}));
  await client.send(new DescribeKeyCommand({ KeyId: 'alias/none' })).catch(() => undefined);
  await rejectsWith(
    client.send(new ListKeysCommand({})),
    'ThrottlingException',
    'You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.',
  );
});
