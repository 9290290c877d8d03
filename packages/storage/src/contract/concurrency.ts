/** Many writers at once: one order, nothing lost, one winner. */
import assert from 'node:assert/strict';
import type { TxnResult } from '../store.js';
import { bytes, WatchRecorder, type ContractTest } from './harness.js';

const WRITERS = 32;

export function concurrencyContract(test: ContractTest): void {
  test('of many that create one key exactly one wins, and the others see it', async ({ store, key }) => {
    for (let round = 0; round < 5; round++) {
      const name = key(`contended${round}`);
      const attempts = await Promise.all(
        Array.from({ length: WRITERS }, (_, writer) =>
          store.txn({
            compare: [{ key: name, target: 'modRevision', result: 'equal', number: 0 }],
            success: [{ kind: 'put', key: name, value: bytes(`writer ${writer}`) }],
            failure: [{ kind: 'range', key: name }],
          }),
        ),
      );
      const winners = attempts.flatMap((attempt, writer) => (attempt.succeeded ? [writer] : []));
      assert.equal(winners.length, 1);
      const losers = attempts.filter((attempt) => !attempt.succeeded);
      assert.deepEqual(new Set(losers.map(valueRead)), new Set([`writer ${winners[0]}`]));
    }
  });

  test('increments by compare-and-swap are never lost', async ({ store, key, put, get }) => {
    await put('counter', '0');
    const name = key('counter');
    const increment = async (): Promise<void> => {
      for (;;) {
        const { kv } = await store.get(name);
        assert.ok(kv);
        const { succeeded } = await store.txn({
          compare: [{ key: name, target: 'modRevision', result: 'equal', number: kv.modRevision }],
          success: [{ kind: 'put', key: name, value: bytes(String(Number(kv.value.toString()) + 1)) }],
          failure: [],
        });
        if (succeeded) return;
      }
    };
    await Promise.all(Array.from({ length: 12 }, increment));
    const kv = await get('counter');
    assert.equal(kv?.value.toString(), '12');
    assert.equal(kv?.version, 13);
  });

  test('every write has a revision of its own, without gaps, and is seen once it is acknowledged', async ({
    store,
    key,
    all,
  }) => {
    const before = (await store.status()).revision;
    const recorder = new WatchRecorder();
    await store.watch(all, recorder).started;
    const revisions = await Promise.all(
      Array.from({ length: 200 }, async (_, i) => {
        const name = key(`k${i % 50}`);
        const { revision } = await store.txn({
          compare: [],
          success: [{ kind: 'put', key: name, value: bytes(String(i)) }],
          failure: [],
        });
        const read = await store.get(name);
        assert.ok(read.revision >= revision, 'a read after the answer sees the write');
        assert.ok(read.kv && read.kv.modRevision >= revision);
        assert.ok(read.kv.modRevision <= read.revision);
        return revision;
      }),
    );
    const expected = Array.from({ length: 200 }, (_, i) => before + 1 + i);
    assert.deepEqual(
      revisions.toSorted((a, b) => a - b),
      expected,
    );
    const events = await recorder.untilEvents(200);
    assert.deepEqual(
      events.map((event) => event.kv.modRevision),
      expected,
    );
  });
}

function valueRead(result: TxnResult): string | undefined {
  const [range] = result.results;
  return range?.kind === 'range' ? range.kvs[0]?.value.toString() : undefined;
}
