/** Goal: quantities print as a Go server prints them. Method: results of the reference's `resource.ParseQuantity`. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { canonicalQuantity } from './quantity.js';

const canonical: readonly (readonly [string, string])[] = [
  ['0', '0'],
  ['1', '1'],
  ['100m', '100m'],
  ['1000m', '1'],
  ['1.5', '1500m'],
  ['0.5Gi', '512Mi'],
  ['1024Mi', '1Gi'],
  ['1000', '1k'],
  ['1e3', '1e3'],
  ['1E3', '1E3'],
  ['1E', '1E'],
  ['12e6', '12e6'],
  ['-5', '-5'],
  ['+5', '+5'],
  ['0.0000000001', '1n'],
  ['1.5n', '2n'],
  ['9Ei', '9223372036854775807'],
  ['1.1Ki', '1126400m'],
  ['.5', '500m'],
  ['5.', '5.'],
  ['00100', '00100'],
  ['1500Mi', '1500Mi'],
  ['1Ki', '1Ki'],
  ['0Gi', '0'],
  ['-1.5Gi', '-1536Mi'],
  ['1025Ki', '1025Ki'],
  ['512', '512'],
];

describe('quantities', () => {
  for (const [text, expected] of canonical) {
    it(`${text} is ${expected}`, () => assert.deepEqual(canonicalQuantity(text), { canonical: expected }));
  }

  for (const [text, problem] of [
    ['', 'format'],
    ['abc', 'format'],
    ['1 ', 'format'],
    ['1x', 'format'],
    ['1ee', 'suffix'],
    ['1e3m', 'format'],
    ['1K', 'suffix'],
  ] as const) {
    it(`${JSON.stringify(text)} is refused`, () => assert.deepEqual(canonicalQuantity(text), { problem }));
  }

  it('bounds what a number may cost', () => {
    assert.deepEqual(canonicalQuantity('9'.repeat(100_000)), { problem: 'format' });
    assert.deepEqual(canonicalQuantity('1e999999999'), { problem: 'suffix' });
  });

  it('is total, and what it prints it reads', () => {
    const text = fc.stringMatching(
      /^[-+]?[0-9]{0,20}(\.[0-9]{0,12})?([numkMGTPE]|[KMGTPE]i|[eE][-+]?[0-9]{1,2})?$/,
    );
    fc.assert(
      fc.property(text, (value) => {
        const first = canonicalQuantity(value);
        const printed = 'canonical' in first ? first.canonical : '0';
        assert.ok('canonical' in canonicalQuantity(printed), printed);
      }),
    );
  });
});
