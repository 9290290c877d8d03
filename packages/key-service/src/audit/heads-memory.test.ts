// Goal: an audit folder that was emptied, or put back to an older copy, does not verify. Method: a journal that remembers in a store.
import assert from 'node:assert/strict';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { pino } from 'pino';
import { AUDIT_HEADS } from '../keys/store-keys.js';
import { testSigner } from '../testing/audit-signer.js';
import { createMemoryStore } from '../testing/memory-store.js';
import { createHeadsMemory } from './heads-memory.js';
import { AuditJournal } from './journal.js';
import { verifyAudit } from './verify.js';

const logger = pino({ level: 'silent' });
const ACCOUNT = '111122223333';

const append = (journal: AuditJournal, eventID: string): Promise<void> =>
  journal.append(ACCOUNT, 'us-east-1', {
    eventID,
    eventTime: '2026-01-02T03:04:05Z',
    awsRegion: 'us-east-1',
    recipientAccountId: ACCOUNT,
  });

async function setUp(t: TestContext) {
  const parent = await mkdtemp(join(tmpdir(), 'waxseal-heads-'));
  t.after(() => rm(parent, { recursive: true, force: true }));
  const folder = join(parent, 'audit');
  const store = createMemoryStore();
  const record = async (eventID: string): Promise<void> => {
    const journal = await AuditJournal.open({
      folder,
      now: () => 0,
      logger,
      signer: testSigner,
      memory: createHeadsMemory(store),
    });
    await append(journal, eventID);
    await journal.close();
  };
  return { folder, copy: join(parent, 'copy'), store, record };
}

test('a whole log verifies', async (t) => {
  const { folder, record } = await setUp(t);
  await record('one');
  await record('two');
  const { findings, records } = await verifyAudit({ folder });
  assert.deepEqual([findings, records], [[], 2]);
});

test('a folder that was emptied is missed, before and after the next record', async (t) => {
  const { folder, record } = await setUp(t);
  await record('one');
  await rm(folder, { recursive: true });
  await record('two');
  const { findings, records } = await verifyAudit({ folder });
  assert.equal(records, 1);
  assert.ok(findings.some(({ kind }) => kind === 'missing'));
});

test('an older copy of the folder is found out', async (t) => {
  const { folder, copy, record } = await setUp(t);
  await record('one');
  await cp(folder, copy, { recursive: true });
  await record('two');
  await rm(folder, { recursive: true });
  await cp(copy, folder, { recursive: true });
  await record('three');
  const { findings } = await verifyAudit({ folder });
  assert.ok(findings.some(({ kind }) => kind === 'missing'));
});

test('a memory that is damaged refuses the start', async (t) => {
  const { store, record } = await setUp(t);
  const success = [{ kind: 'put', key: AUDIT_HEADS, value: Buffer.from('{') }] as const;
  await store.txn({ compare: [], success, failure: [] });
  await assert.rejects(record('one'), { code: 'store-corrupt' });
});

test('a delivery stands even when the store cannot remember it', async (t) => {
  const { folder, store, record } = await setUp(t);
  const journal = await AuditJournal.open({
    folder,
    now: () => 0,
    logger,
    signer: testSigner,
    memory: {
      recall: async () => undefined,
      remember: () => Promise.reject(new Error('no store')),
    },
  });
  await append(journal, 'one');
  await journal.close();
  await record('two');
  const { findings, records } = await verifyAudit({ folder });
  assert.deepEqual([findings, records], [[], 2]);
  assert.ok((await store.get(AUDIT_HEADS)).kv);
});
