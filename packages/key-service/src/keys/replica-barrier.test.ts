// Goal: with replicas a call never sees less than what was answered before it, shares its reading with others, and is refused when the
// store or its watch is silent. Method: a store whose reads and watch events the test lets through one by one.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KeyValue, TxnRequest } from '@waxseal/storage';
import { createMemoryStore } from '../testing/memory-store.js';
import { markChanges, ReplicaBarrier } from './replica-barrier.js';
import { aliasRecordKey, LAST_CHANGE, LAST_USAGE_START, RECORDS_PREFIX } from './store-keys.js';

type Answer = { readonly revision: number; readonly kv: KeyValue | undefined };

function heldReads() {
  const reads: { answer(modRevision: number): void; fail(): void }[] = [];
  const get = (key: Buffer): Promise<Answer> => {
    assert.ok(key.equals(LAST_CHANGE));
    return new Promise((resolve, reject) => {
      reads.push({
        answer: (modRevision) => resolve({ revision: modRevision, kv: { modRevision } as KeyValue }),
        fail: () => reject(new Error('no store')),
      });
    });
  };
  return { reads, barrier: new ReplicaBarrier({ get }) };
}

/** Lets every promise that can settle do so. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('a call waits for a reading begun after it, and for the watch to bring what that reading names', async () => {
  const { reads, barrier } = heldReads();
  const passed: string[] = [];
  const pass = (name: string): Promise<void> => barrier.pass().then(() => void passed.push(name));
  const all = [pass('first'), pass('second'), pass('third')];
  assert.equal(reads.length, 1);
  reads[0]?.answer(7);
  await settled();
  assert.deepEqual(passed, []);
  // Those that came meanwhile have one reading together.
  assert.equal(reads.length, 2);
  barrier.saw(7);
  await settled();
  assert.deepEqual(passed, ['first']);
  reads[1]?.answer(7);
  await Promise.all(all);
  assert.deepEqual(passed, ['first', 'second', 'third']);
});

test('a failed reading refuses its own calls and no others', async () => {
  const { reads, barrier } = heldReads();
  const first = assert.rejects(barrier.pass(), /no store/);
  const second = barrier.pass();
  reads[0]?.fail();
  await first;
  await settled();
  reads[1]?.answer(0);
  await second;
});

test('a watch that brings nothing refuses the call after a while', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { reads, barrier } = heldReads();
  const refused = assert.rejects(barrier.pass(), { code: 'timeout' });
  reads[0]?.answer(3);
  await settled();
  t.mock.timers.tick(5_000);
  await refused;
});

test('a change of a record is marked in its own transaction, other writes are not', async () => {
  const store = createMemoryStore();
  const requests: TxnRequest[] = [];
  const marked = markChanges({
    ...store,
    txn: (request) => {
      requests.push(request);
      return store.txn(request);
    },
  });
  const value = Buffer.from('v');
  const put = (key: Buffer) =>
    marked.txn({ compare: [], success: [{ kind: 'put', key, value }], failure: [] });
  const alias = aliasRecordKey('111122223333', 'us-east-1', 'alias/a');
  const { revision } = await put(alias);
  assert.equal((await marked.get(LAST_CHANGE)).kv?.modRevision, revision);
  await put(LAST_USAGE_START);
  assert.equal((await marked.get(LAST_CHANGE)).kv?.modRevision, revision);
  await marked.txn({ compare: [], success: [{ kind: 'delete', key: alias }], failure: [] });
  assert.equal((await marked.get(LAST_CHANGE)).kv?.modRevision, revision + 2);
  assert.ok(LAST_CHANGE.subarray(0, RECORDS_PREFIX.length).equals(RECORDS_PREFIX));
  assert.deepEqual(
    requests.map(({ success }) => success.length),
    [2, 1, 2],
  );
});
