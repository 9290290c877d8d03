/** Goal: bodies parse within limits and faults are located without being quoted. Method: faulty documents by hand, and random ones. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { DecodeError } from './errors.js';
import { parseJson } from './json.js';

function parse(text: string, findDuplicates = false) {
  return parseJson(Buffer.from(text), { findDuplicates });
}

describe('JSON bodies', () => {
  it('parses, and finds duplicates only when asked', () => {
    const text = '{"a":1,"m":{"x":1,"x":2},"l":[{"k":1},{"k":1,"k":2}],"a":2}';
    assert.deepEqual(parse(text), { value: { a: 2, m: { x: 2 }, l: [{ k: 1 }, { k: 2 }] }, duplicates: [] });
    assert.deepEqual(parse(text, true).duplicates, ['m.x', 'l[1].k', 'a']);
    assert.deepEqual(parse('{"a":1,"\\u0061":2}', true).duplicates, ['a']);
  });

  it('keeps __proto__ an ordinary field', () => {
    const { value } = parse('{"__proto__":{"polluted":true}}', true);
    assert.deepEqual(Object.keys(value ?? {}), ['__proto__']);
    assert.equal('polluted' in {}, false);
  });

  for (const [text, message] of [
    ['', /line 1, column 1 \(byte 0\): unexpected end/],
    ['{"a":1,}', /line 1, column 8 \(byte 7\): expected a field name/],
    ['{"a":\n  s3cr3t}', /line 2, column 3 \(byte 8\): expected a value/],
    ['{"a" 1}', /expected ":"/],
    ['[1 2]', /expected ","/],
    ['{"a":1]', /expected ","/],
    ['{} x', /unexpected text after/],
    ['"s3cr3t', /a string is not closed/],
    ['{"é":x}', /byte 6/],
    ['[1,]', /expected a value/],
    ['01', /unexpected text after/],
    ['nul', /expected a value/],
  ] as const) {
    it(`locates the fault of ${JSON.stringify(text)}`, () => {
      assert.throws(
        () => parse(text),
        (error: unknown) =>
          error instanceof DecodeError &&
          error.problem === 'malformed-json' &&
          message.test(error.message) &&
          !error.message.includes('s3cr3t') &&
          error.cause === undefined,
      );
    });
  }

  it('bounds nesting', () => {
    assert.doesNotThrow(() => parse('['.repeat(900) + ']'.repeat(900)));
    assert.throws(() => parse('['.repeat(100_000)), { problem: 'too-deep' });
    assert.throws(() => parse('{"a":'.repeat(100_000)), { problem: 'too-deep' });
    assert.doesNotThrow(() => parse(`"${'['.repeat(5000)}"`));
  });

  it('agrees with JSON.parse about every document and every prefix', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        assert.deepEqual(parse(text, true).value, JSON.parse(text));
        for (let length = 0; length < text.length; length++) {
          const prefix = text.slice(0, length);
          let legal = true;
          try {
            JSON.parse(prefix);
          } catch {
            legal = false;
          }
          if (legal) parse(prefix);
          else assert.throws(() => parse(prefix), DecodeError);
        }
      }),
      { numRuns: 50 },
    );
  });
});
