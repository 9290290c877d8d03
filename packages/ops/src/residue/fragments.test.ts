// Goal: what is injected among noise is found, all of it, and nothing else. Method: seeded.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { encodeKeyValue } from '../etcd-db/encode-key-value.js';
import { findFragments } from './fragments.js';

const prefix = Buffer.from('/registry/');
const stored = (name: string, value: Buffer): Buffer =>
  encodeKeyValue({
    key: Buffer.from(`/registry/secrets/default/${name}`),
    value,
    createRevision: 300,
    modRevision: 70_000,
    version: 2,
    lease: 0n,
  });

test('every injected value is found where it is, and no other', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          noise: fc.uint8Array({ maxLength: 300 }),
          name: fc.stringMatching(/^[a-z0-9]{1,150}$/),
          value: fc.uint8Array({ minLength: 1, maxLength: 300 }),
        }),
        { maxLength: 8 },
      ),
      (pieces) => {
        const bytes = Buffer.concat(
          pieces.flatMap(({ noise, name, value }) => [Buffer.from(noise), stored(name, Buffer.from(value))]),
        );
        const found = [...findFragments(bytes, prefix)];
        assert.deepEqual(
          found.map(({ key, value, isWhole }) => [key.toString(), value.toString('hex'), isWhole]),
          pieces.map(({ name, value }) => [
            `/registry/secrets/default/${name}`,
            Buffer.from(value).toString('hex'),
            true,
          ]),
        );
      },
    ),
    { seed: 20_251_122, numRuns: 200 },
  );
});

test('cut anywhere, it is a beginning of the value or nothing', () => {
  const whole = stored('a', Buffer.from('{"kind":"Secret"}'));
  for (let length = 0; length < whole.length; length++) {
    for (const { value, isWhole } of findFragments(whole.subarray(0, length), prefix)) {
      assert.equal(isWhole, '{"kind":"Secret"}' === value.toString());
      assert.ok('{"kind":"Secret"}'.startsWith(value.toString()));
    }
  }
});

test('a key without a value, or a path inside text, is none', () => {
  assert.deepEqual([...findFragments(Buffer.from('see /registry/secrets/default/a for it'), prefix)], []);
});
