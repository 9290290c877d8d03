/** Goal: the table is a Map. Method: random keys, few enough to meet again, many enough to make it grow; and one seed for all hashes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { KeyTable } from './key-table.js';

test('what a Map says, the table says', () => {
  const key = fc.oneof(
    fc.integer({ min: 0, max: 20_000 }).map((number) => `/registry/secrets/default/s${number}`),
    fc.string({ maxLength: 8 }),
  );
  fc.assert(
    fc.property(fc.array(key, { minLength: 5_000, maxLength: 9_000 }), fc.nat(), (keys, seed) => {
      const table = new KeyTable(seed);
      const model = new Map<string, number>();
      for (const [number, text] of keys.entries()) {
        assert.equal(table.set(Buffer.from(text), number), model.get(text));
        model.set(text, number);
      }
    }),
    { seed: 5, numRuns: 5 },
  );
});

test('a key that no etcd takes is refused', () => {
  assert.throws(() => new KeyTable(1).set(Buffer.alloc(3 * 1024 * 1024), 1), { code: 'source-damaged' });
});
