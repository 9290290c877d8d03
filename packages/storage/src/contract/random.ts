/** Random transactions, reads of the past and watches against the model; the seed is printed by fast-check. */
import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import type { Compare, KeyValue, Op, OpResult, TxnRequest, TxnResult } from '../store.js';
import { StoreModel } from './model.js';
import { errorCode, plain, WatchRecorder, type ContractTest } from './harness.js';

const RUNS = 15;
const KEYS = ['a', 'aa', 'b', 'b\0', 'c'] as const;

export function modelContract(test: ContractTest): void {
  test('random transactions do what the model does', async ({ store, all, key, t }) => {
    const seed = Number(process.env['WAXSEAL_SEED'] ?? Date.now() % 2 ** 31);
    t.diagnostic(`seed ${seed} (WAXSEAL_SEED=${seed} repeats it)`);
    await fc.assert(
      fc.asyncProperty(fc.array(transaction(key), { minLength: 1, maxLength: 12 }), async (requests) => {
        await store.txn({ compare: [], success: [{ kind: 'delete', ...all }], failure: [] });
        const start = (await store.status()).revision;
        const model = new StoreModel(start);
        const recorder = new WatchRecorder();
        const watch = store.watch({ ...all, startRevision: start + 1 }, recorder);
        for (const request of requests) {
          const outcome = await store.txn(request).catch((error: unknown) => {
            // The generator does not avoid these; nothing may have changed then.
            assert.ok(errorCode('duplicate-key')(error) || errorCode('key-not-found')(error), String(error));
          });
          if (outcome) assertSame(outcome, model.txn(request));
          assert.equal((await store.status()).revision, model.revision);
        }
        for (let revision = start; revision <= model.revision; revision++) {
          for (const request of [
            { ...all, revision },
            { ...all, revision, limit: 2 },
            { key: key('aa'), rangeEnd: key('c'), revision },
          ]) {
            assert.deepEqual(readable(await store.range(request)), readable(model.range(request)));
          }
        }
        watch.requestProgress();
        await recorder.until(
          ({ calls, progress }) =>
            calls.some((call) => call.revision >= model.revision) ||
            progress.some((each) => each >= model.revision),
        );
        watch.cancel();
        assert.deepEqual(replayed(recorder), (await store.range(all)).kvs.map(plain));
      }),
      { seed, numRuns: RUNS, endOnFailure: true },
    );
  });
}

function transaction(key: (suffix: string) => Buffer): fc.Arbitrary<TxnRequest> {
  const name = fc.constantFrom(...KEYS).map(key);
  const range = fc.oneof(
    fc.record({ key: name }),
    fc.record({ key: name, rangeEnd: name }),
    fc.constant({ key: key('a'), rangeEnd: key('d') }),
  );
  const value = fc.constantFrom('', 'x', 'y', 'zz').map((text) => Buffer.from(text));
  const result = fc.constantFrom('equal', 'notEqual', 'less', 'greater');
  const compare: fc.Arbitrary<Compare> = fc.oneof(
    fc
      .tuple(range, result, fc.nat({ max: 3 }))
      .map(([keys, sign, number]) => ({ ...keys, result: sign, target: 'version' as const, number })),
    fc
      .tuple(range, result)
      .map(([keys, sign]) => ({ ...keys, result: sign, target: 'createRevision' as const, number: 0 })),
    fc
      .tuple(range, result, value)
      .map(([keys, sign, given]) => ({ ...keys, result: sign, target: 'value' as const, value: given })),
  );
  const { txn } = fc.letrec<{ txn: TxnRequest; op: Op }>((tie) => ({
    op: fc.oneof(
      { depthSize: 'small', maxDepth: 2 },
      fc.tuple(name, value, fc.boolean(), fc.boolean()).map(([keyName, given, prevKv, ignoreValue]) => ({
        kind: 'put' as const,
        key: keyName,
        value: ignoreValue ? Buffer.alloc(0) : given,
        prevKv,
        ignoreValue,
      })),
      fc.tuple(range, fc.boolean()).map(([keys, prevKv]) => ({ kind: 'delete' as const, ...keys, prevKv })),
      fc
        .tuple(range, fc.nat({ max: 3 }), fc.boolean(), fc.boolean())
        .map(([keys, limit, keysOnly, countOnly]) => ({
          kind: 'range' as const,
          ...keys,
          limit,
          keysOnly,
          countOnly,
        })),
      tie('txn').map((request) => ({ kind: 'txn' as const, ...request })),
    ),
    txn: fc.record({
      compare: fc.array(compare, { maxLength: 2 }),
      success: fc.array(tie('op'), { maxLength: 3 }),
      failure: fc.array(tie('op'), { maxLength: 3 }),
    }),
  }));
  return txn;
}

function assertSame(actual: TxnResult, expected: TxnResult): void {
  assert.equal(actual.revision, expected.revision);
  assert.deepEqual(outline(actual), outline(expected));
}

/** Everything of a result but the revisions of nested answers, which implementations may leave as they like. */
function outline(result: TxnResult): object {
  return { succeeded: result.succeeded, results: result.results.map(outlineOp) };
}

function outlineOp(result: OpResult): object {
  if (result.kind === 'put') return { kind: 'put', prevKv: plain(result.prevKv) };
  if (result.kind === 'delete') {
    return { kind: 'delete', deleted: result.deleted, prevKvs: result.prevKvs.map(plain) };
  }
  if (result.kind === 'range') {
    return { kind: 'range', kvs: result.kvs.map(plain), more: result.more, count: result.count };
  }
  return { kind: 'txn', ...outline(result) };
}

function readable(result: {
  kvs: readonly KeyValue[];
  more: boolean;
  count: number;
  revision: number;
}): unknown {
  return { ...result, kvs: result.kvs.map(plain) };
}

/** The state that the events alone lead to. */
function replayed(recorder: WatchRecorder): unknown[] {
  const state = new Map<string, KeyValue>();
  for (const { type, kv } of recorder.events) {
    const key = kv.key.toString('latin1');
    if (type === 'put') state.set(key, kv);
    else state.delete(key);
  }
  return [...state.values()].toSorted((a, b) => Buffer.compare(a.key, b.key)).map(plain);
}
