// Goal: LookupEvents finds every record once, newest first, by every attribute, over journal and delivered files, in bounded
// pages; the real AWS CLI reads it. Method: a folder of many deliveries asked page by page; a whole service asked over TLS.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { CreateKeyCommand, DescribeKeyCommand, EncryptCommand, ListKeysCommand } from '@aws-sdk/client-kms';
import { pino } from 'pino';
import { awsCli } from '../testing/aws-cli.js';
import { testSigner } from '../testing/audit-signer.js';
import { startTestService, type TestService } from '../testing/harness.js';
import { rawCall } from '../testing/raw-call.js';
import { AuditJournal } from './journal.js';
import { lookUpRecords } from './lookup.js';

const ACCOUNT = '111122223333';
const START = Date.parse('2026-01-02T23:00:00Z');

test('pages over many files and the journal give every record once, newest first', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'waxseal-lookup-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  let nowMs = START;
  const logger = pino({ level: 'silent' });
  const open = (): Promise<AuditJournal> =>
    AuditJournal.open({ folder, now: () => nowMs, logger, signer: testSigner });
  const append = async (journal: AuditJournal, i: number): Promise<void> => {
    await journal.append(ACCOUNT, 'us-east-1', {
      eventID: `e${i}`,
      eventTime: `${new Date(nowMs).toISOString().slice(0, 19)}Z`,
      awsRegion: 'us-east-1',
      recipientAccountId: ACCOUNT,
    });
    nowMs += 100_000;
  };
  const delivered = await open();
  for (let i = 0; i < 148; i++) await append(delivered, i);
  await delivered.close();
  const journal = await open();
  t.after(() => journal.close());
  for (let i = 148; i < 150; i++) await append(journal, i);
  const all = { accountId: ACCOUNT, region: 'us-east-1', startMs: 0, endMs: nowMs, matches: () => true };
  const seen: unknown[] = [];
  let before: number | undefined;
  do {
    const page = await lookUpRecords(folder, { ...all, limit: 7, before });
    seen.push(...page.found.map(({ record }) => record['eventID']));
    before = page.next;
  } while (before !== undefined);
  assert.deepEqual(
    seen,
    Array.from({ length: 150 }, (_, i) => `e${149 - i}`),
  );

  const some = await lookUpRecords(folder, {
    ...all,
    startMs: START + 100_000 * 40,
    endMs: START + 100_000 * 44,
    limit: 50,
  });
  assert.deepEqual(
    some.found.map(({ record }) => record['eventID']),
    ['e44', 'e43', 'e42', 'e41', 'e40'],
  );

  // One rare record behind more files than a page reads: empty pages lead to it.
  const rare = { ...all, limit: 5, needle: '"e3"', matches: (record: object) => 'eventID' in record };
  const first = await lookUpRecords(folder, rare);
  assert.deepEqual(first.found, []);
  assert.ok(first.next !== undefined);
  const second = await lookUpRecords(folder, { ...rare, before: first.next });
  assert.deepEqual(
    second.found.map(({ sequence }) => sequence),
    [4],
  );
});

interface LookupAnswer {
  readonly Events: readonly {
    readonly EventName: string;
    readonly Username?: string;
    readonly CloudTrailEvent: string;
    readonly Resources: readonly object[];
  }[];
  readonly NextToken?: string;
}

async function lookUp(kms: TestService, input: object): Promise<LookupAnswer> {
  const { status, body } = await rawCloudTrail(kms, input);
  assert.equal(status, 200, body);
  return JSON.parse(body) as LookupAnswer;
}

function rawCloudTrail(kms: TestService, input: object): ReturnType<typeof rawCall> {
  return rawCall(kms, {
    body: JSON.stringify(input),
    service: 'cloudtrail',
    headers: { 'x-amz-target': 'com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents' },
  });
}

const by = (AttributeKey: string, AttributeValue: string): object => ({
  LookupAttributes: [{ AttributeKey, AttributeValue }],
});

test('calls are found by every attribute, before and after delivery, by the account that made them only', async (t) => {
  const kms = await startTestService();
  t.after(() => kms.close());
  const created = await kms.client().send(new CreateKeyCommand({}));
  const { KeyId = '', Arn = '' } = created.KeyMetadata ?? {};
  await kms.client().send(new EncryptCommand({ KeyId, Plaintext: Buffer.from('x') }));
  await kms.restart();
  await kms.client('reader').send(new ListKeysCommand({}));
  await kms.client('foreigner').send(new ListKeysCommand({}));
  await kms.client().send(new DescribeKeyCommand({ KeyId }));

  const names = async (input: object): Promise<string[]> =>
    (await lookUp(kms, input)).Events.map(({ EventName }) => EventName);
  assert.deepEqual(await names({}), ['DescribeKey', 'ListKeys', 'Encrypt', 'CreateKey']);
  const keyCalls = ['DescribeKey', 'Encrypt', 'CreateKey'];
  assert.deepEqual(await names(by('ResourceName', Arn)), keyCalls);
  assert.deepEqual(await names(by('ResourceName', KeyId)), keyCalls);
  assert.deepEqual(await names(by('ResourceType', 'AWS::KMS::Key')), keyCalls);
  assert.deepEqual(await names(by('EventName', 'Encrypt')), ['Encrypt']);
  assert.deepEqual(await names(by('Username', 'reader')), ['ListKeys']);
  assert.deepEqual(await names(by('AccessKeyId', 'reader')), ['ListKeys']);
  assert.deepEqual(await names(by('ReadOnly', 'false')), ['CreateKey']);
  assert.deepEqual(await names({ ...by('EventSource', 'kms.amazonaws.com'), MaxResults: 2 }), [
    'DescribeKey',
    'ListKeys',
  ]);
  const [found] = (await lookUp(kms, by('EventName', 'CreateKey'))).Events;
  const event = JSON.parse(found?.CloudTrailEvent ?? '{}') as { readonly [member: string]: unknown };
  assert.equal(event['eventName'], 'CreateKey');
  assert.equal(event['waxsealChain'], undefined);
  assert.deepEqual(found?.Resources, [{ ResourceType: 'AWS::KMS::Key', ResourceName: Arn }]);

  const page = await lookUp(kms, { ...by('ResourceName', Arn), MaxResults: 2 });
  assert.ok(page.NextToken);
  const NextToken = page.NextToken;
  assert.deepEqual(await names({ ...by('ResourceName', Arn), NextToken }), ['CreateKey']);

  for (const [input, type] of [
    [{ NextToken }, 'InvalidNextTokenException'],
    [{ NextToken: '%%%' }, 'InvalidNextTokenException'],
    [{ MaxResults: 51 }, 'InvalidMaxResultsException'],
    [{ StartTime: 2, EndTime: 1 }, 'InvalidTimeRangeException'],
    [
      { LookupAttributes: [1, 2].map(() => ({ AttributeKey: 'EventName', AttributeValue: 'x' })) },
      'InvalidLookupAttributesException',
    ],
    [{ EventCategory: 'insight' }, 'InvalidEventCategoryException'],
  ] as const) {
    const { status, body } = await rawCloudTrail(kms, input);
    assert.equal(status, 400);
    assert.equal((JSON.parse(body) as { __type: string }).__type, type);
  }
  const denied = await rawCall(kms, {
    body: '{}',
    user: 'nobody',
    service: 'cloudtrail',
    headers: { 'x-amz-target': 'com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents' },
  });
  assert.match(denied.body, /AccessDeniedException.*cloudtrail:LookupEvents/);
});

test('the real aws cloudtrail lookup-events reads it, page by page', async (t) => {
  const kms = await startTestService();
  t.after(() => kms.close());
  for (let i = 0; i < 60; i++) await kms.client().send(new ListKeysCommand({ Limit: 1 + i }));
  const aws = await awsCli(kms);
  const attributes = 'AttributeKey=EventName,AttributeValue=ListKeys';
  const answer = await aws(
    'cloudtrail',
    'lookup-events',
    '--lookup-attributes',
    attributes,
    '--output',
    'json',
  );
  const { Events } = JSON.parse(answer) as LookupAnswer;
  assert.equal(Events.length, 60);
  const parameters = Events.map(
    ({ CloudTrailEvent }) =>
      (JSON.parse(CloudTrailEvent) as { requestParameters: { limit: number } }).requestParameters.limit,
  );
  assert.deepEqual(
    parameters,
    Array.from({ length: 60 }, (_, i) => 60 - i),
  );
});
