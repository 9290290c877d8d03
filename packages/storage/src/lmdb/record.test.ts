/** Everything that lies on disk: decoded as it was encoded, and refused when a bit or a byte is missing. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { errorCode } from '../contract/harness.js';
import { encodeLogEntry, logKey, parseLogEntry } from './change-log.js';
import {
  historyBound,
  historyKey,
  historyKeyBytes,
  historyOwner,
  historyRevision,
  ownerKey,
} from './history-key.js';
import { encodeRecord, encodeTombstone, isTombstone, parseRecord, toKeyValue } from './record.js';

const key = fc.uint8Array({ minLength: 1, maxLength: 40 }).map((bytes) => Buffer.from(bytes));
const revision = fc.maxSafeNat();

function everyDamage(bytes: Buffer): Buffer[] {
  const truncated = Array.from({ length: bytes.length }, (_, length) => bytes.subarray(0, length));
  const flipped = Array.from({ length: bytes.length * 8 }, (_, bit) => {
    const copy = Buffer.from(bytes);
    copy[bit >> 3] = (copy[bit >> 3] as number) ^ (1 << (bit & 7));
    return copy;
  });
  return [...truncated, ...flipped, Buffer.concat([bytes, Buffer.from([0])])];
}

test('a record comes back as it was written', () => {
  fc.assert(
    fc.property(
      key,
      fc.uint8Array({ maxLength: 100 }),
      revision,
      revision,
      revision,
      fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }),
      (name, bytes, createRevision, modRevision, version, lease) => {
        const fields = { value: Buffer.from(bytes), createRevision, modRevision, version, lease };
        const record = parseRecord(name, Buffer.from(encodeRecord(name, fields)));
        assert.deepEqual(toKeyValue(name, record), { key: name, ...fields });
        assert.equal(isTombstone(record), false);
      },
    ),
  );
});

test('every truncation and every flipped bit of a record is found out', () => {
  const name = Buffer.from('/registry/secrets/default/a');
  const fields = { value: Buffer.from('sealed'), createRevision: 3, modRevision: 5, version: 2, lease: 7n };
  for (const record of [encodeRecord(name, fields), encodeTombstone(name, 9)]) {
    for (const damaged of everyDamage(record)) {
      assert.throws(() => parseRecord(name, damaged), errorCode('corrupt'));
    }
    assert.throws(
      () => parseRecord(Buffer.from('/registry/secrets/default/b'), record),
      errorCode('corrupt'),
    );
  }
});

test('every truncation and every flipped bit of a log entry is found out', () => {
  const at = logKey(5, 1);
  const entry = { revision: 5, position: 1, type: 'delete', key: Buffer.from('a key'), replaced: 3 } as const;
  const bytes = encodeLogEntry(entry, at);
  assert.deepEqual(parseLogEntry(at, bytes), entry);
  for (const damaged of everyDamage(bytes)) {
    assert.throws(() => parseLogEntry(at, damaged), errorCode('corrupt'));
  }
  assert.throws(() => parseLogEntry(logKey(5, 2), bytes), errorCode('corrupt'));
});

test('places in the history sort by key, then by revision, and can be read back', () => {
  const place = fc.tuple(
    fc.uint8Array({ minLength: 1, maxLength: 5, max: 3 }).map((bytes) => Buffer.from(bytes)),
    revision,
  );
  fc.assert(
    fc.property(place, place, ([keyA, revisionA], [keyB, revisionB]) => {
      const expected = keyA.compare(keyB) || Math.sign(revisionA - revisionB);
      const a = historyKey(keyA, revisionA);
      assert.equal(a.compare(historyKey(keyB, revisionB)), expected);
      assert.equal(a.length, historyKeyBytes(keyA));
      assert.ok(historyBound(keyA).compare(a) <= 0);
      assert.ok(keyA.compare(keyB) >= 0 || a.compare(historyBound(keyB)) < 0);
      assert.deepEqual(ownerKey(historyOwner(a)), keyA);
      assert.equal(historyRevision(a), revisionA);
    }),
    { numRuns: 500 },
  );
});
