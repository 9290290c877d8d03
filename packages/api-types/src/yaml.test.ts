/** Goal: YAML reads as sigs.k8s.io/yaml reads it, and hostile YAML is bounded. Method: the reference's results by hand. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DecodeError } from './errors.js';
import { parseYaml } from './yaml.js';

function parse(text: string, findDuplicates = false) {
  return parseYaml(Buffer.from(text), { findDuplicates });
}

describe('YAML bodies', () => {
  for (const [text, value] of [
    ['a: yes\nb: no\nc: on\nd: "yes"', { a: true, b: false, c: true, d: 'yes' }],
    ['a: 0755\nb: 0x1f\nc: 1_000\nd: 1e3', { a: 493, b: 31, c: 1000, d: 1000 }],
    ['a: 12:30:45\nb: 2020-01-01', { a: '12:30:45', b: '2020-01-01' }],
    ['E0: a\nb: e5\nc: .\nd: -.\ne: .e1', { E0: 'a', b: 'e5', c: '.', d: '-.', e: '.e1' }],
    ['a: 1.5\nb: .5e1\nc: 2.E1\nd: -1_0.5', { a: 1.5, b: 5, c: 20, d: -10.5 }],
    ['a: ~\nb: null\nc:', { a: null, b: null, c: null }],
    ['a: &x {b: 1}\nc: *x', { a: { b: 1 }, c: { b: 1 } }],
    ['a: &x {b: 1}\nc:\n  <<: *x\n  d: 2', { a: { b: 1 }, c: { b: 1, d: 2 } }],
    ['1: a\ntrue: b', { '1': 'a', true: 'b' }],
    ['a: |\n  text\n  more\n', { a: 'text\nmore\n' }],
    ['{"a":1,"b":[true,null]}', { a: 1, b: [true, null] }],
    ['a: 1\n---\nb: 2', { a: 1 }],
    ['a: 1\n---\nb: [', { a: 1 }],
    ['# nothing', null],
    ['', null],
    ['- a\n- b', ['a', 'b']],
  ] as const) {
    it(`reads ${JSON.stringify(text)}`, () => assert.deepEqual(parse(text).value, value));
  }

  it('finds duplicate fields when asked; the last one counts', () => {
    const text = 'a: 1\nm:\n  x: 1\n  x: 2\nl:\n- k: 1\n  k: 2\na: 3';
    assert.deepEqual(parse(text), { value: { a: 3, m: { x: 2 }, l: [{ k: 2 }] }, duplicates: [] });
    assert.deepEqual(parse(text, true).duplicates, ['m.x', 'l[0].k', 'a']);
  });

  for (const text of [
    'a: [',
    'a: b: c',
    'a: *nope',
    '\ta: s3cr3t',
    'a: .inf',
    '? [x]\n: y',
    'a: "s3cr3t',
    '&a [*a]',
  ]) {
    it(`refuses ${JSON.stringify(text)} without quoting it`, () => {
      assert.throws(
        () => parse(text),
        (error: unknown) =>
          error instanceof DecodeError &&
          error.message.startsWith('invalid YAML') &&
          !error.message.includes('s3cr3t'),
      );
    });
  }

  it('takes the last anchor before the alias', () => {
    assert.deepEqual(parse('[&a 1, *a, &a 2, *a]').value, [1, 1, 2, 2]);
    assert.throws(() => parse('[*a, &a 1]'), { problem: 'malformed-yaml', message: /unresolved alias/ });
    assert.throws(() => parse('&a [*a]'), { problem: 'too-deep' });
  });

  it('bounds what a body may cost before it is built', () => {
    assert.throws(() => parse(`[${'1,'.repeat(1_000_000)}1]`), {
      message: /tokens; send so large a body as JSON/,
    });
    assert.throws(() => parse('{'.repeat(1_000_000)), { problem: 'too-deep' });
    const aliases = Array.from({ length: 9_000 }, (_, i) => `- &a${i} x\n- *a${i}`).join('\n');
    assert.deepEqual((parse(aliases).value as string[]).length, 18_000);
  });

  it('bounds alias bombs and nesting', () => {
    const bomb = Array.from(
      { length: 40 },
      (_, i) => `a${i}: &a${i} [${i === 0 ? '1' : `*a${i - 1},*a${i - 1}`}]`,
    ).join('\n');
    assert.throws(() => parse(bomb), { problem: 'malformed-yaml', message: /aliases/ });
    assert.throws(() => parse('['.repeat(50_000)), DecodeError);
    const flow = (levels: number): string => '['.repeat(levels) + ']'.repeat(levels);
    assert.ok(Array.isArray(parse(flow(200)).value));
    assert.throws(() => parse(flow(201)), { problem: 'too-deep' });
    for (const level of ['- ', '? ', '[', '{a: ', '[{a: ', '- ? ']) {
      assert.throws(() => parse(level.repeat(5_000)), { problem: 'too-deep' }, level);
    }
    const lines = Array.from({ length: 1_000 }, (_, level) => `${' '.repeat(level)}a:`);
    assert.throws(() => parse(lines.join('\n')), { problem: 'too-deep' });
  });
});
