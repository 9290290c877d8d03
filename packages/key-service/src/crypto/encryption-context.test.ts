// Goal: two contexts share an encoding exactly when they are the same set of pairs.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { encodeEncryptionContext } from './encryption-context.js';

const context = fc.dictionary(fc.string(), fc.string(), { maxKeys: 5, noNullPrototype: true });

test('no context is the empty context', () => {
  assert.deepEqual(encodeEncryptionContext(undefined), Buffer.alloc(4));
  assert.deepEqual(encodeEncryptionContext({}), Buffer.alloc(4));
});

test('the bytes are those of the format document', () => {
  assert.equal(
    encodeEncryptionContext({ b: '', a: 'xy' }).toString('hex'),
    ['00000002', '00000001', '61', '00000002', '7879', '00000001', '62', '00000000'].join(''),
  );
});

test('pairs that run together differently stay different', () => {
  const encodings = [{ a: 'bc' }, { ab: 'c' }, { abc: '' }, { a: 'b', c: '' }, { a: '', b: 'c' }].map((one) =>
    encodeEncryptionContext(one).toString('hex'),
  );
  assert.equal(new Set(encodings).size, encodings.length);
});

test('the order of the pairs does not matter', () => {
  fc.assert(
    fc.property(context, (one) => {
      const reversed = Object.fromEntries(Object.entries(one).toReversed());
      assert.deepEqual(encodeEncryptionContext(reversed), encodeEncryptionContext(one));
    }),
  );
});

test('different contexts have different encodings', () => {
  fc.assert(
    fc.property(context, context, (a, b) => {
      // Strings that are not well formed have no UTF-8 of their own; requests cannot carry them.
      const asBytes = (one: Record<string, string>): string =>
        JSON.stringify(
          Object.entries(one)
            .map((pair) => pair.map((text) => Buffer.from(text).toString('hex')))
            .toSorted((x, y) => (x.join() < y.join() ? -1 : 1)),
        );
      assert.equal(encodeEncryptionContext(a).equals(encodeEncryptionContext(b)), asBytes(a) === asBytes(b));
    }),
  );
});
