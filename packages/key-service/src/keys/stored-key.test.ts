// Goal: a record that is parsed late is the same record, tells at once that it is of another version, and is never
// overlooked when something is due.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDue } from './lifecycle.js';
import { type KeyRecord, serializeRecord } from './key-record.js';
import { keyRecordName, scopeName } from './store-keys.js';
import { StoredKey } from './stored-key.js';

const DATE_MS = 1_000;

const plain: KeyRecord = {
  accountId: '111122223333',
  region: 'us-east-1',
  keyId: '1234abcd-12ab-34cd-56ef-1234567890ab',
  creationDateMs: 0,
  description: 'dated: {"nextDateMs":1}, "EXTERNAL", "PendingDeletion"',
  keySpec: 'SYMMETRIC_DEFAULT',
  keyUsage: 'ENCRYPT_DECRYPT',
  origin: 'AWS_KMS',
  state: { kind: 'Enabled' },
  policy: '{}',
  tags: [],
  materials: [{ materialId: 'aa', sealed: 'AA==' }],
};
const storeKey = keyRecordName(plain.accountId, plain.region, plain.keyId);
const stored = (value: Buffer): StoredKey => new StoredKey(storeKey, value, 7);

test('the record is what was written, once parsed always the same object', () => {
  const key = stored(serializeRecord(plain));
  assert.deepEqual(key.record, plain);
  assert.equal(key.record, key.record);
  assert.deepEqual(key.name, { scope: scopeName(plain.accountId, plain.region), keyId: plain.keyId });
});

const due: readonly (readonly [string, Partial<KeyRecord>])[] = [
  ['a deletion', { state: { kind: 'PendingDeletion', deletionDateMs: DATE_MS } }],
  ['a rotation', { rotation: { periodDays: 365, nextDateMs: DATE_MS } }],
  [
    'an expiry',
    {
      origin: 'EXTERNAL',
      materials: [{ materialId: 'aa', sealed: 'AA==', imported: { validToMs: DATE_MS } }],
    },
  ],
];
for (const [name, change] of due) {
  test(`${name} is not overlooked`, () => {
    const key = { ...plain, ...change };
    assert.equal(isDue(key, DATE_MS), true);
    assert.equal(stored(serializeRecord(key)).mayBecomeDue, true);
  });
}

test('a key without dates is passed over unparsed', () => {
  assert.equal(isDue(plain, Number.MAX_SAFE_INTEGER), false);
  assert.equal(stored(serializeRecord(plain)).mayBecomeDue, false);
});

test('a value of another version is refused at once, a damaged one when it is used', () => {
  const value = serializeRecord(plain);
  const newer = Buffer.from(value.toString().replace('"version":1', '"version":2'));
  assert.throws(() => stored(newer), { code: 'store-corrupt' });
  assert.throws(() => stored(Buffer.alloc(0)), { code: 'store-corrupt' });
  const damaged = stored(value.subarray(0, value.length - 1));
  assert.throws(() => damaged.record, { code: 'store-corrupt' });
  assert.throws(() => damaged.record, { code: 'store-corrupt' });
});
