// Goal: uses are stored seldom but surely, and gone with their key.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Store } from '@waxseal/storage';
import { pino } from 'pino';
import { createMemoryStore } from '../testing/memory-store.js';
import { arnOf, type KeyRecord } from './key-record.js';
import { type KeyUse, UsageTracker } from './usage-tracker.js';

const HOUR_MS = 3_600_000;
const logger = pino({ level: 'silent' });

const KEY: KeyRecord = {
  accountId: '111122223333',
  region: 'eu-central-1',
  keyId: '1234abcd-12ab-34cd-56ef-1234567890ab',
  creationDateMs: 0,
  description: '',
  keySpec: 'SYMMETRIC_DEFAULT',
  keyUsage: 'ENCRYPT_DECRYPT',
  origin: 'AWS_KMS',
  state: { kind: 'Enabled' },
  policy: '{}',
  tags: [],
  materials: [{ materialId: '00', sealed: '' }],
};

const use = (dateMs: number): KeyUse => ({ operation: 'Encrypt', dateMs, eventId: 'e', requestId: 'r' });
const open = (store: Store, nowMs = 1): Promise<UsageTracker> =>
  UsageTracker.open(store, () => nowMs, logger);

test('a use is stored at once, then hourly, and always at the end', async () => {
  const store = createMemoryStore();
  const tracker = await open(store);
  const stored = async (): Promise<number | undefined> => (await (await open(store)).lastUse(KEY))?.dateMs;
  const noteAndFlush = async (dateMs: number, everything = false): Promise<number | undefined> => {
    tracker.note(arnOf(KEY), use(dateMs));
    await tracker.flush(() => true, everything);
    return stored();
  };
  const start = 10 * HOUR_MS;
  assert.equal(await noteAndFlush(start), start);
  assert.equal(await noteAndFlush(start + HOUR_MS - 1), start);
  assert.equal((await tracker.lastUse(KEY))?.dateMs, start + HOUR_MS - 1);
  assert.equal(await noteAndFlush(start + HOUR_MS), start + HOUR_MS);
  assert.equal(await noteAndFlush(start + HOUR_MS + 1, true), start + HOUR_MS + 1);
  await store.close();
});

test('the later of two replicas counts, wherever it is asked', async () => {
  const store = createMemoryStore();
  const one = await open(store);
  const two = await open(store);
  one.note(arnOf(KEY), use(HOUR_MS));
  two.note(arnOf(KEY), use(2 * HOUR_MS));
  await two.flush(() => true, true);
  assert.equal((await one.lastUse(KEY))?.dateMs, 2 * HOUR_MS);
  assert.equal((await two.lastUse(KEY))?.dateMs, 2 * HOUR_MS);
  await store.close();
});

test('a destroyed key leaves nothing', async () => {
  const store = createMemoryStore();
  const tracker = await open(store);
  tracker.note(arnOf(KEY), use(HOUR_MS));
  await tracker.flush(() => true, true);
  await tracker.forget(KEY);
  assert.equal(await tracker.lastUse(KEY), undefined);
  tracker.note(arnOf(KEY), use(HOUR_MS));
  await tracker.flush(() => false, true);
  assert.equal(await tracker.lastUse(KEY), undefined);
  await store.close();
});

test('tracking began when the store was first opened', async () => {
  const store = createMemoryStore();
  assert.equal((await open(store, 5)).trackingStartMs, 5);
  assert.equal((await open(store, 9)).trackingStartMs, 5);
  await store.close();
});

test('many keys are stored in parts', async () => {
  const store = createMemoryStore();
  const tracker = await open(store);
  const keys = Array.from({ length: 250 }, (_, i): KeyRecord => ({
    ...KEY,
    keyId: `1234abcd-12ab-34cd-56ef-${String(i).padStart(12, '0')}`,
  }));
  for (const key of keys) tracker.note(arnOf(key), use(HOUR_MS));
  await tracker.flush(() => true, true);
  const later = await open(store);
  for (const key of keys) assert.equal((await later.lastUse(key))?.dateMs, HOUR_MS);
  await store.close();
});
