// Goal: every row of the table of conditions, with IfExists and without the key; malformed ones are refused; hostile patterns are bounded.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { CONDITION_CASES, MALFORMED_CONDITIONS } from './condition-cases.js';
import { compileConditions } from './conditions.js';
import { compileGlob } from './glob.js';
import { PolicyError } from './policy-error.js';
import type { ConditionContext } from './policy-variables.js';

const KEY = 'kms:Some:Key';

const contextOf = (values: readonly string[] | undefined): ConditionContext => ({
  values(key) {
    switch (key) {
      case 'kms:some:key':
        return values;
      case 'aws:username':
        return ['alice'];
      case 'aws:starred':
        return ['*'];
      default:
        return undefined;
    }
  },
});

function holds(operator: string, wanted: unknown, values: readonly string[] | undefined): boolean {
  const conditions = compileConditions({ [operator]: { [KEY]: wanted } }, true);
  return conditions.every((condition) => condition.holds(contextOf(values)));
}

for (const [operator, wanted, values, expected] of CONDITION_CASES) {
  test(`${operator} ${JSON.stringify(wanted)} of ${JSON.stringify(values) ?? 'nothing'}`, () => {
    assert.equal(holds(operator, wanted, values), expected);
  });
}

const plain = CONDITION_CASES.filter(([operator]) => !/:|IfExists|^Null/.test(operator));

for (const [operator, wanted, values, expected] of plain) {
  test(`${operator}IfExists ${JSON.stringify(wanted)} of ${JSON.stringify(values)}, and of nothing`, () => {
    assert.equal(holds(`${operator}IfExists`, wanted, values), expected);
    assert.equal(holds(`${operator}IfExists`, wanted, undefined), true);
    assert.equal(holds(operator, wanted, undefined), /Not/.test(operator));
  });
}

for (const [operator, wanted] of MALFORMED_CONDITIONS) {
  test(`malformed: ${operator} ${JSON.stringify(wanted)}`, () => {
    assert.throws(() => compileConditions({ [operator]: { [KEY]: wanted } }, true), PolicyError);
  });
}

test('malformed blocks and keys', () => {
  for (const element of [1, [], 'x', { StringEquals: 'x' }, { StringEquals: { nocolon: 'x' } }]) {
    assert.throws(() => compileConditions(element, true), PolicyError);
  }
});

test('all conditions must hold', () => {
  const conditions = compileConditions(
    { StringEquals: { [KEY]: 'a', 'aws:username': 'alice' }, Null: { 'aws:absent': 'true' } },
    true,
  );
  assert.equal(conditions.length, 3);
  assert.ok(conditions.every((condition) => condition.holds(contextOf(['a']))));
  assert.ok(!conditions.every((condition) => condition.holds(contextOf(['b']))));
});

test('policies of version 2008-10-17 have no variables', () => {
  const [condition] = compileConditions({ StringEquals: { [KEY]: '${aws:username}' } }, false);
  assert.equal(condition?.holds(contextOf(['alice'])), false);
  assert.equal(condition?.holds(contextOf(['${aws:username}'])), true);
});

test('long pieces of patterns are found as short ones are', () => {
  const letters = fc.constantFrom('a', 'b');
  const long = fc.string({ unit: letters, minLength: 200, maxLength: 600 });
  const piece = fc.string({ unit: fc.constantFrom('a', 'b', '?'), minLength: 100, maxLength: 140 });
  fc.assert(
    fc.property(long, piece, fc.nat(400), (text, wanted, at) => {
      // Half of the time the piece is really there.
      const holed = at % 2 === 0 ? text.slice(at, at + 130).replaceAll(/ab/g, 'a?') : wanted;
      const expected = new RegExp(`^.*${holed.replaceAll('?', '.')}.*$`).test(text);
      assert.equal(compileGlob(`*${holed}*`)(text), expected);
    }),
    { numRuns: 300 },
  );
});

test('the most hostile condition costs a bounded number of steps', () => {
  const half = 'a'.repeat(8000);
  for (const pattern of [`*${'?'.repeat(100)}${half}b*`, `${'*a'.repeat(4000)}b`, `*${half}?b`]) {
    assert.equal(holds('StringLike', pattern, ['a'.repeat(16_000)]), false);
  }
});
