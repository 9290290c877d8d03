/** Every target against every result, for keys that exist, keys that do not, and ranges. */
import assert from 'node:assert/strict';
import type { Compare, CompareResult, KeyRange } from '../store.js';
import { bytes, type ContractTest, type Fixture } from './harness.js';

const RESULTS: readonly CompareResult[] = ['equal', 'notEqual', 'less', 'greater'];

/** Which results hold when the stored side is less than, equal to or greater than the given one. */
const HOLDS: Record<'below' | 'same' | 'above', readonly CompareResult[]> = {
  below: ['notEqual', 'less'],
  same: ['equal'],
  above: ['notEqual', 'greater'],
};

type Target = { readonly target: 'modRevision' | 'createRevision' | 'version'; readonly number: number };

export function txnCompareContract(test: ContractTest): void {
  test('compare: the numbers of a key', async (fixture) => {
    const { put, store, get } = fixture;
    await put('a', '1');
    await put('a', '2');
    const kv = await get('a');
    assert.ok(kv);
    const numbers = { modRevision: kv.modRevision, createRevision: kv.createRevision, version: kv.version };
    for (const target of ['modRevision', 'createRevision', 'version'] as const) {
      for (const [relation, offset] of [
        ['below', 1],
        ['same', 0],
        ['above', -1],
      ] as const) {
        const given: Target = { target, number: numbers[target] + offset };
        assert.deepEqual(
          await holding(fixture, { key: kv.key }, given),
          HOLDS[relation],
          `${target} ${relation}`,
        );
      }
    }
    assert.equal((await store.status()).revision, kv.modRevision);
  });

  test('compare: a key that does not exist has zeros', async (fixture) => {
    const range = { key: fixture.key('absent') };
    for (const target of ['modRevision', 'createRevision', 'version'] as const) {
      assert.deepEqual(await holding(fixture, range, { target, number: 0 }), HOLDS.same);
      assert.deepEqual(await holding(fixture, range, { target, number: 1 }), HOLDS.below);
    }
    assert.deepEqual(await holding(fixture, range, { target: 'lease', lease: 0n }), HOLDS.same);
  });

  test('compare: values are ordered by their bytes', async (fixture) => {
    await fixture.put('a', Buffer.from([1, 0x80]));
    const range = { key: fixture.key('a') };
    const value = (...octets: number[]): { target: 'value'; value: Buffer } => ({
      target: 'value',
      value: Buffer.from(octets),
    });
    assert.deepEqual(await holding(fixture, range, value(1, 0x80)), HOLDS.same);
    assert.deepEqual(await holding(fixture, range, value(1, 0x80, 0)), HOLDS.below);
    assert.deepEqual(await holding(fixture, range, value(1, 0x7f, 0xff)), HOLDS.above);
    assert.deepEqual(await holding(fixture, range, value(1)), HOLDS.above);
    assert.deepEqual(await holding(fixture, range, value()), HOLDS.above);
  });

  test('compare: no value condition holds for a key that does not exist', async (fixture) => {
    const range = { key: fixture.key('absent') };
    assert.deepEqual(await holding(fixture, range, { target: 'value', value: Buffer.alloc(0) }), []);
    assert.deepEqual(await holding(fixture, range, { target: 'value', value: bytes('x') }), []);
  });

  test('compare: leases', async (fixture) => {
    const { store, key, run } = fixture;
    const { id } = await store.leaseGrant(60);
    await run({ kind: 'put', key: key('a'), value: bytes('1'), lease: id });
    const range = { key: key('a') };
    assert.deepEqual(await holding(fixture, range, { target: 'lease', lease: id }), HOLDS.same);
    assert.deepEqual(await holding(fixture, range, { target: 'lease', lease: 0n }), HOLDS.above);
    await store.leaseRevoke(id);
  });

  test('compare: a range holds when every key in it does', async (fixture) => {
    const { put, key, all } = fixture;
    await put('a', 'x');
    await put('b', 'x');
    await put('b', 'x');
    assert.deepEqual(await holding(fixture, all, { target: 'value', value: bytes('x') }), HOLDS.same);
    assert.deepEqual(await holding(fixture, all, { target: 'version', number: 1 }), []);
    assert.deepEqual(await holding(fixture, all, { target: 'version', number: 0 }), HOLDS.above);
    assert.deepEqual(await holding(fixture, all, { target: 'version', number: 3 }), HOLDS.below);
    const first = { key: key('a'), rangeEnd: key('b') };
    assert.deepEqual(await holding(fixture, first, { target: 'version', number: 1 }), HOLDS.same);
    assert.deepEqual(
      await holding(fixture, { key: key('a'), rangeEnd: Buffer.from([0]) }, { target: 'version', number: 0 }),
      HOLDS.above,
    );
  });

  test('compare: an empty range is judged as a key that does not exist', async (fixture) => {
    const range = { key: fixture.key('x'), rangeEnd: fixture.key('y') };
    assert.deepEqual(await holding(fixture, range, { target: 'version', number: 0 }), HOLDS.same);
    assert.deepEqual(await holding(fixture, range, { target: 'value', value: Buffer.alloc(0) }), []);
  });

  test('compare: all conditions must hold, and the other branch runs when one does not', async ({
    store,
    put,
    key,
    get,
  }) => {
    const revision = await put('a');
    const exists = { key: key('a'), target: 'modRevision', result: 'equal', number: revision } as const;
    const absent = { key: key('b'), target: 'createRevision', result: 'equal', number: 0 } as const;
    const attempt = (compare: readonly Compare[]) =>
      store.txn({
        compare,
        success: [{ kind: 'put', key: key('then'), value: bytes('1') }],
        failure: [{ kind: 'range', key: key('a') }],
      });
    assert.equal((await attempt([exists, absent])).succeeded, true);
    assert.ok(await get('then'));
    const refused = await attempt([exists, { ...absent, result: 'notEqual' }]);
    assert.equal(refused.succeeded, false);
    const [range] = refused.results;
    assert.ok(range?.kind === 'range');
    assert.equal(range.kvs[0]?.modRevision, revision);
    assert.equal((await get('then'))?.version, 1);
    assert.equal((await attempt([])).succeeded, true);
  });
}

async function holding(
  { store }: Fixture,
  range: KeyRange,
  target: Target | { target: 'value'; value: Buffer } | { target: 'lease'; lease: bigint },
): Promise<CompareResult[]> {
  const held: CompareResult[] = [];
  for (const result of RESULTS) {
    const compare: Compare = { key: range.key, rangeEnd: range.rangeEnd, ...target, result };
    const { succeeded } = await store.txn({ compare: [compare], success: [], failure: [] });
    if (succeeded) held.push(result);
  }
  return held;
}
