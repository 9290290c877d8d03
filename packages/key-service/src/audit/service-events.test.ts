// Goal: what the service does to keys by date is in the audit log as CloudTrail documents it, once, also when it could not be recorded at once.
import assert from 'node:assert/strict';
import { constants, createPublicKey, publicEncrypt, randomBytes } from 'node:crypto';
import { writeSync } from 'node:fs';
import { test } from 'node:test';
import * as sdk from '@aws-sdk/client-kms';
import { pino } from 'pino';
import { EventOutbox } from '../keys/event-outbox.js';
import { type AuditRecord, recordsOf } from '../testing/audit-records.js';
import { ACCOUNT, REGION, startTestService } from '../testing/harness.js';
import { createMemoryStore } from '../testing/memory-store.js';
import type { DatedServiceEvent, ServiceEvent } from './service-event.js';

const DAY_MS = 86_400_000;
const START_MS = Date.UTC(2026, 0, 1);
const EVENTS = new Set(['RotateKey', 'DeleteKey', 'DeleteExpiredKeyMaterial', 'SynchronizeMultiRegionKey']);

test('rotation, deletion and expiry by date are recorded as events of the service', async (t) => {
  let nowMs = START_MS;
  const kms = await startTestService({ now: () => nowMs });
  t.after(() => kms.close());
  const client = kms.client();
  const create = async (input: sdk.CreateKeyCommandInput): Promise<{ KeyId: string; Arn: string }> =>
    (await client.send(new sdk.CreateKeyCommand(input))).KeyMetadata as { KeyId: string; Arn: string };
  const describe = async (KeyId: string): Promise<string | undefined> =>
    (await kms.client().send(new sdk.DescribeKeyCommand({ KeyId }))).KeyMetadata?.CurrentKeyMaterialId;

  const rotated = await create({ MultiRegion: true });
  await client.send(new sdk.ReplicateKeyCommand({ KeyId: rotated.KeyId, ReplicaRegion: 'us-west-2' }));
  await client.send(new sdk.EnableKeyRotationCommand({ KeyId: rotated.KeyId, RotationPeriodInDays: 90 }));
  const before = await describe(rotated.KeyId);
  const deleted = await create({});
  await client.send(new sdk.ScheduleKeyDeletionCommand({ KeyId: deleted.KeyId, PendingWindowInDays: 7 }));
  const expiring = await create({ Origin: 'EXTERNAL' });
  const { ImportToken, PublicKey = Buffer.alloc(0) } = await client.send(
    new sdk.GetParametersForImportCommand({
      KeyId: expiring.KeyId,
      WrappingAlgorithm: 'RSAES_OAEP_SHA_256',
      WrappingKeySpec: 'RSA_2048',
    }),
  );
  const imported = await client.send(
    new sdk.ImportKeyMaterialCommand({
      KeyId: expiring.KeyId,
      ImportToken,
      EncryptedKeyMaterial: publicEncrypt(
        {
          key: createPublicKey({ key: Buffer.from(PublicKey), format: 'der', type: 'spki' }),
          padding: constants.RSA_PKCS1_OAEP_PADDING,
          oaepHash: 'sha256',
        },
        randomBytes(32),
      ),
      ValidTo: new Date(START_MS + DAY_MS),
    }),
  );

  nowMs += 100 * DAY_MS;
  await kms.restart();
  const after = await describe(rotated.KeyId);
  const isEvent = ({ eventName, eventTime }: AuditRecord): boolean =>
    EVENTS.has(eventName) && eventTime === '2026-04-11T00:00:00Z';
  const events = (await recordsOf(kms, ACCOUNT)).filter(isEvent);
  const named = (eventName: string): readonly AuditRecord[] =>
    events.filter((event) => event.eventName === eventName);
  assert.equal(events.length, 4);
  const record = (eventName: string): Record<string, unknown> => {
    const [found, ...others] = named(eventName);
    assert.deepEqual(others, []);
    const { eventID, waxsealChain, ...rest } = found as Record<string, unknown>;
    assert.match(String(eventID), /^[0-9a-f-]{36}$/);
    assert.ok(waxsealChain !== undefined);
    return rest;
  };
  const common = {
    eventVersion: '1.11',
    userIdentity: { accountId: ACCOUNT, invokedBy: 'AWS Internal' },
    eventTime: '2026-04-11T00:00:00Z',
    eventSource: 'kms.amazonaws.com',
    awsRegion: REGION,
    sourceIPAddress: 'AWS Internal',
    userAgent: 'AWS Internal',
    requestParameters: null,
    responseElements: null,
    readOnly: false,
    eventType: 'AwsServiceEvent',
    managementEvent: true,
    recipientAccountId: ACCOUNT,
    eventCategory: 'Management',
  };
  const resources = (ARN: string) => [{ accountId: ACCOUNT, type: 'AWS::KMS::Key', ARN }];
  assert.deepEqual(record('RotateKey'), {
    ...common,
    eventName: 'RotateKey',
    resources: resources(rotated.Arn),
    serviceEventDetails: {
      rotationType: 'AUTOMATIC',
      keyOrigin: 'AWS_KMS',
      previousKeyMaterialId: before,
      currentKeyMaterialId: after,
      keyId: rotated.KeyId,
    },
  });
  assert.notEqual(before, after);
  assert.deepEqual(record('DeleteKey'), {
    ...common,
    eventName: 'DeleteKey',
    resources: resources(deleted.Arn),
  });
  assert.deepEqual(record('DeleteExpiredKeyMaterial'), {
    ...common,
    eventName: 'DeleteExpiredKeyMaterial',
    resources: resources(expiring.Arn),
    serviceEventDetails: { keyId: expiring.KeyId, keyMaterialId: imported.KeyMaterialId },
  });
  assert.deepEqual(named('SynchronizeMultiRegionKey')[0]?.['resources'], resources(rotated.Arn));

  // Nothing is left to be recorded again.
  nowMs += DAY_MS;
  await kms.restart();
  assert.equal((await recordsOf(kms, ACCOUNT)).filter(isEvent).length, 4);
});

test('an event the audit log does not take is recorded by a later start', async (t) => {
  let nowMs = START_MS;
  let broken = false;
  const kms = await startTestService({
    now: () => nowMs,
    writeAudit(fd, bytes, offset) {
      if (broken) throw new Error('the disk is gone');
      return writeSync(fd, bytes, offset);
    },
  });
  t.after(() => kms.close());
  const { KeyMetadata } = await kms.client().send(new sdk.CreateKeyCommand({}));
  const KeyId = KeyMetadata?.KeyId;
  await kms.client().send(new sdk.ScheduleKeyDeletionCommand({ KeyId, PendingWindowInDays: 7 }));
  nowMs += 8 * DAY_MS;
  const deletedMs = nowMs;
  broken = true;
  await kms.restart();
  assert.match(kms.log(), /an event cannot be recorded in the audit log/);
  broken = false;
  nowMs += 60_000;
  await kms.restart();
  const deletions = (await recordsOf(kms, ACCOUNT)).filter(({ eventName }) => eventName === 'DeleteKey');
  assert.deepEqual(
    deletions.map(({ eventTime }) => eventTime),
    [`${new Date(deletedMs).toISOString().slice(0, 19)}Z`],
  );
});

test('an event that cannot be recorded is kept, and recorded later under the same id', async (t) => {
  const store = createMemoryStore();
  t.after(() => store.close());
  let nowMs = START_MS;
  let broken = true;
  const recorded: DatedServiceEvent[] = [];
  const outbox = new EventOutbox({
    store,
    record: (event) => {
      if (broken) return Promise.reject(new Error('the disk is full'));
      recorded.push(event);
      return Promise.resolve();
    },
    createUuid: () => '11111111-2222-3333-4444-555555555555',
    now: () => nowMs,
    logger: pino({ level: 'silent' }),
  });
  const event: ServiceEvent = {
    eventName: 'DeleteKey',
    accountId: ACCOUNT,
    region: REGION,
    keyArn: `arn:aws:kms:${REGION}:${ACCOUNT}:key/k`,
  };
  const dated = outbox.date(event);
  await store.txn({ compare: [], success: [outbox.keep(dated)], failure: [] });
  await outbox.publish([dated]);
  broken = false;
  // Another process may be about to record it.
  await outbox.publishForgotten();
  assert.deepEqual(recorded, []);
  nowMs += 31_000;
  await outbox.publishForgotten();
  await outbox.publishForgotten();
  assert.deepEqual(recorded, [
    { ...event, eventId: '11111111-2222-3333-4444-555555555555', eventTimeMs: START_MS },
  ]);
});
