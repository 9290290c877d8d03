/** Goal: what is written as YAML is read back the same by Kubernetes's rules. Method: the words that mean something else in YAML 1.1 or 1.2, random objects. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { parse } from 'yaml';
import type { JsonObject } from './object.js';
import { formatYaml } from './yaml-format.js';
import { parseYaml } from './yaml.js';

const readBack = (text: string): unknown[] => [
  parseYaml(Buffer.from(text)).value,
  // As a reader of YAML 1.2 does.
  parse(text),
];

test('words that are more than strings are quoted', () => {
  const words =
    'y n Y yes NO on Off true ~ null NaN .nan .inf -.Inf 0o17 017 0x1f 0b1 1_000 1e3 E0 e5 12:30:00 2026-01-31 << = - ? : # & * ! | > % @ ` {} [] "" a: #b';
  for (const word of ['', ' ', 'a b', 'a\nb', 'a\n', '\n', 'a\tb', '\u0000', '\u2028', ...words.split(' ')]) {
    for (const value of readBack(formatYaml({ [word]: word }))) assert.deepEqual(value, { [word]: word });
  }
});

test('any object comes back', () => {
  const strings = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.base64String());
  const { object } = fc.letrec<{ value: unknown; object: JsonObject }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      strings,
      fc.integer(),
      fc.boolean(),
      fc.constant(null),
      fc.array(tie('value'), { maxLength: 3 }),
      tie('object'),
    ),
    object: fc.dictionary(strings, tie('value'), {
      maxKeys: 4,
      noNullPrototype: true,
    }) as fc.Arbitrary<JsonObject>,
  }));
  fc.assert(
    fc.property(object, (value) => {
      for (const read of readBack(formatYaml(value))) assert.deepEqual(read, value);
    }),
    { numRuns: 200 },
  );
});
