// Goal: the report says what AWS would charge for what the audit log holds. Method: a journal with calls of two accounts over
// two months, keys made, scheduled and rescued.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pino } from 'pino';
import { AuditJournal } from '../audit/journal.js';
import { testSigner } from '../testing/audit-signer.js';
import { reportCost } from './cost-report.js';
import { requestsUsd } from './prices.js';

test('requests beyond 20,000 cost 3 cents for 10,000', () => {
  assert.equal(requestsUsd(20_000), 0);
  assert.equal(Math.round(requestsUsd(30_000) * 1e6), 30_000);
  assert.equal(Math.round(requestsUsd(1_020_000) * 1e6), 3_000_000);
});

test('keys cost by the hour they are there, requests by the month', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'waxseal-cost-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const logger = pino({ level: 'silent' });
  const open = (): Promise<AuditJournal> =>
    AuditJournal.open({ folder, now: () => 0, logger, signer: testSigner });
  let journal = await open();
  const record = (account: string, eventTime: string, eventName: string, more: object = {}): Promise<void> =>
    journal.append(account, 'us-east-1', {
      eventTime,
      eventName,
      eventSource: 'kms.amazonaws.com',
      userIdentity: { type: 'IAMUser' },
      awsRegion: 'us-east-1',
      recipientAccountId: account,
      ...more,
    });
  const [one, two] = ['111122223333', '444455556666'] as const;
  const made = (arn: string): object => ({ responseElements: { keyMetadata: { arn } } });
  const of = (ARN: string): object => ({ resources: [{ ARN }] });
  // April has 720 hours, May 744.
  await record(one, '2026-04-16T00:00:00Z', 'CreateKey', made('k1'));
  await record(one, '2026-04-16T00:00:00Z', 'CreateKey', made('k2'));
  await record(one, '2026-04-16T12:00:00Z', 'ScheduleKeyDeletion', of('k2'));
  await record(one, '2026-04-16T12:00:00Z', 'ScheduleKeyDeletion', {
    ...of('k2'),
    errorCode: 'KMSInvalidStateException',
  });
  await journal.close();
  journal = await open();
  await record(one, '2026-05-01T00:00:00Z', 'CancelKeyDeletion', of('k2'));
  await record(two, '2026-05-01T00:00:00Z', 'Encrypt');
  await record(two, '2026-05-01T00:00:00Z', 'CreateAlias', {
    userIdentity: { type: 'Root', invokedBy: 'waxseal.internal' },
  });
  await record(two, '2026-05-01T00:00:00Z', 'Unknown', { userIdentity: { type: 'Unknown' } });
  await record(two, '2026-05-01T00:00:00Z', 'GetCallerIdentity', { eventSource: 'sts.amazonaws.com' });

  const report = await reportCost(folder, Date.parse('2026-05-16T12:00:00Z'));
  await journal.close();
  assert.deepEqual(
    report.map(({ month, accountId, requests, keyMonths }) => ({ month, accountId, requests, keyMonths })),
    [
      { month: '2026-04', accountId: one, requests: 4, keyMonths: (360 + 12) / 720 },
      { month: '2026-05', accountId: one, requests: 1, keyMonths: 1 },
      { month: '2026-05', accountId: two, requests: 1, keyMonths: 0 },
    ],
  );
  assert.equal(report[1]?.totalUsd, 1);
});
