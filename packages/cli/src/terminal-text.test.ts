/** Goal: nothing that was read from storage acts on a terminal, and no name, however long, pushes a table off the screen. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { formatTable } from './table.js';
import { printable, shortPrintable } from './terminal-text.js';

const ACTS = /[\p{Cc}\p{Bidi_Control}\p{Cs}\u2028\u2029]/u;

test('what a terminal would act on is written out', () => {
  assert.equal(printable('a\u001b[2Jb\u009b\n\u202e'), 'a\\u001b[2Jb\\u009b\\u000a\\u202e');
  assert.equal(printable('Schlüssel 鍵 🔑'), 'Schlüssel 鍵 🔑');
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      assert.doesNotMatch(printable(text), ACTS);
      assert.ok(shortPrintable(text.repeat(50)).length <= 120);
    }),
    { seed: 20_261_122 },
  );
});

test('a table stays one, whatever is in its cells', () => {
  const rows = [
    ['x'.repeat(65_536), 'a\nb\tc', 'last'],
    ['\u001b]0;title\u0007', '', '=1+1'],
  ];
  const lines = formatTable(['A', 'B', 'C'], rows).split('\n');
  assert.equal(lines.length, 3);
  assert.match(lines[1] ?? '', /^x{95}…x{24} {2}a\\u000ab\\u0009c {2}last$/);
  assert.ok(lines.every((line) => line.length < 200 && !ACTS.test(line)));
});
