// Goal: a body is read whole and in one way only, whatever bytes it has. Method: properties over generated JSON, and each way to
// write what two parsers would read differently.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { AwsError } from '../aws-error.js';
import { parseJsonBody, parseUniqueJson } from './json-body.js';

const refused = (body: string | Buffer, message = ''): void => {
  assert.throws(
    () => parseJsonBody(Buffer.from(body)),
    (error) =>
      error instanceof AwsError && error.code === 'SerializationException' && error.message === message,
    String(body).slice(0, 80),
  );
};

test('what JSON.stringify writes is read back', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 6 })), (object) => {
      const text = JSON.stringify(object);
      assert.deepEqual(parseJsonBody(Buffer.from(text)), JSON.parse(text));
    }),
    { numRuns: 300 },
  );
});

test('a member given twice is refused, wherever it is', () => {
  for (const body of [
    '{"a":1,"a":1}',
    '{"a":1,"\\u0061":2}',
    '{"a":{"b":1,"b":2}}',
    '{"a":[{"b":1},{"b":1,"c":[{"d":{},"d":{}}]}]}',
    '{"__proto__":1,"__proto__":2}',
    '{"a":{"b":1},"a":{"c":1}}',
  ]) {
    refused(body);
  }
  fc.assert(
    fc.property(fc.string(), fc.jsonValue({ maxDepth: 4 }), (name, value) => {
      const member = `${JSON.stringify(name)}:${JSON.stringify(value)}`;
      refused(`{${member},${member}}`);
      refused(`{"outer":[{${member},${member}}]}`);
    }),
    { numRuns: 200 },
  );
});

test('colons in strings are no members', () => {
  for (const text of [':', 'a:b', '":', '\\":', '::::']) {
    assert.deepEqual(parseJsonBody(Buffer.from(JSON.stringify({ [text]: text }))), { [text]: text });
  }
});

test('what is no JSON object', () => {
  for (const body of [
    '',
    ' ',
    '{',
    'null',
    '"x"',
    '1',
    'true',
    '{"a":1,}',
    '{"a" 1}',
    '{a:1}',
    '{}{}',
    '\u0000',
  ])
    refused(body);
  refused('[]', 'Start of list found where not expected');
  refused(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]));
  refused(`{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`);
  refused(`{"a":${'['.repeat(32)}${']'.repeat(32)}}`);
});

test('every text has an answer', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      parseUniqueJson(Buffer.from(bytes), 4);
    }),
    { numRuns: 500 },
  );
});
