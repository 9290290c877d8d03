/** Goal: the codec is total and keeps the format's limits. Method: limits at their edge, hand-made bytes, properties. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { EnvelopeError } from './errors.js';
import {
  decodeEncryptedObject,
  encodeEncryptedObject,
  encryptedDataHeadBytes,
  locateEncryptedData,
  writeEncryptedDataHead,
  type EncryptedObject,
} from './kms-v2-object.js';

const object: EncryptedObject = {
  encryptedData: Buffer.from([1, 2, 3]),
  keyId: 'key-1',
  encryptedDekSource: Buffer.from([4]),
  annotations: {},
  encryptedDekSourceType: 1,
};

function assertRefused(change: Partial<EncryptedObject>, message: RegExp): void {
  assert.throws(() => encodeEncryptedObject({ ...object, ...change }), { name: 'EnvelopeError', message });
}

test('each limit holds at its edge', () => {
  encodeEncryptedObject({ ...object, keyId: 'k'.repeat(1024) });
  encodeEncryptedObject({ ...object, encryptedDekSource: Buffer.alloc(1024) });
  encodeEncryptedObject({ ...object, annotations: { 'a.b': Buffer.alloc(32 * 1024 - 3) } });
  assertRefused({ keyId: '' }, /^failed to validate key id: keyID is empty$/);
  assertRefused({ keyId: 'é'.repeat(513) }, /keyID is 1026 bytes, which exceeds the max size of 1024$/);
  assertRefused({ encryptedDekSource: Buffer.alloc(0) }, /encrypted DEK source is empty$/);
  assertRefused(
    { encryptedDekSource: Buffer.alloc(1025) },
    /is 1025 bytes, which exceeds the max size of 1024$/,
  );
  assertRefused({ encryptedData: Buffer.alloc(0) }, /^encrypted data is empty$/);
  assertRefused(
    { annotations: { 'a.b': Buffer.alloc(32 * 1024 - 2) } },
    /total size of annotations is 32769, which exceeds the max size of 32768$/,
  );
});

test('annotation keys are fully qualified domain names', () => {
  for (const name of ['a.b', 'a.b.', 'kms-1.example.com', `${'a'.repeat(63)}.b`]) {
    encodeEncryptedObject({ ...object, annotations: { [name]: Buffer.alloc(0) } });
  }
  const tooLong = `${'a.'.repeat(126)}aa`;
  for (const name of [
    '',
    'a',
    'A.b',
    'a..b',
    '.a.b',
    'a.-b',
    'a_b.c',
    `${'a'.repeat(64)}.b`,
    tooLong,
    '__proto__',
  ]) {
    const annotations = Object.fromEntries([[name, Buffer.alloc(0)]]);
    assertRefused({ annotations }, /^failed to validate annotations: .*fully qualified domain name/);
  }
});

test('proto3: the last of a repeated field wins, unknown fields and groups are skipped', () => {
  const body = Buffer.concat([
    encodeEncryptedObject({ ...object, keyId: 'first' }),
    encodeEncryptedObject(object),
    Buffer.from([0x30, 0x80, 0x01]), // field 6, varint
    Buffer.from([0x3b, 0x08, 0x01, 0x3c]), // field 7, group
    Buffer.from([0x0d, 1, 2, 3, 4]), // field 1 with another wire type
  ]);
  assert.deepEqual({ ...decodeEncryptedObject(body) }, { ...object, annotations: Object.create(null) });
});

test('malformed bytes are refused', () => {
  const valid = encodeEncryptedObject(object);
  const bad: Record<string, Buffer> = {
    'unknown source type': Buffer.concat([valid, Buffer.from([0x28, 2])]),
    'negative source type': Buffer.concat([valid, Buffer.from([0x28, ...Buffer.alloc(9, 0xff), 1])]),
    'key id no UTF-8': Buffer.concat([valid, Buffer.from([0x12, 1, 0xff])]),
    'length beyond the end': Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f, 1]),
    'endless varint': Buffer.alloc(64, 0xff),
    'varint cut at the end': Buffer.concat([valid, Buffer.from([0x30, 0x80])]),
    'field number 0': Buffer.concat([valid, Buffer.from([0x02, 0])]),
    'groups without end': Buffer.alloc(1_500_000, 0x33),
    'nothing at all': Buffer.alloc(0),
  };
  for (const [name, body] of Object.entries(bad)) {
    assert.throws(() => decodeEncryptedObject(body), EnvelopeError, name);
  }
});

const annotationKey = fc.stringMatching(/^[a-z0-9]{1,10}(\.[a-z0-9]{1,10}){1,3}$/);
const bytes = (minLength: number, maxLength: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ minLength, maxLength }).map((array) => Buffer.from(array));
const encryptedObject = fc.record({
  encryptedData: bytes(1, 300),
  keyId: fc.string({ minLength: 1, maxLength: 40, unit: 'grapheme' }),
  encryptedDekSource: bytes(1, 200),
  annotations: fc.dictionary(annotationKey, bytes(0, 40), { maxKeys: 4 }),
  encryptedDekSourceType: fc.constantFrom(0 as const, 1 as const),
});

test('property: what is encoded decodes to the same, and its encrypted data is found without decoding', () => {
  fc.assert(
    fc.property(encryptedObject, (original) => {
      const body = encodeEncryptedObject(original);
      const decoded = decodeEncryptedObject(body);
      assert.deepEqual(
        { ...decoded, annotations: { ...decoded.annotations } },
        {
          ...original,
          annotations: { ...original.annotations },
        },
      );
      const place = locateEncryptedData(body);
      assert.deepEqual(body.subarray(place?.start, place?.end), original.encryptedData);
    }),
    { numRuns: 200 },
  );
});

test('property: any bytes decode or are refused with an EnvelopeError', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (array) => {
      try {
        decodeEncryptedObject(Buffer.from(array));
      } catch (error) {
        assert.ok(error instanceof EnvelopeError, String(error));
      }
    }),
    { numRuns: 2000 },
  );
});

test('the head of the encrypted data is as long as said, at every varint size', () => {
  for (const length of [1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152]) {
    const body = Buffer.alloc(length + 8);
    const start = writeEncryptedDataHead(body, 0, length);
    assert.equal(start, encryptedDataHeadBytes(length));
    assert.deepEqual(locateEncryptedData(body), { start, end: start + length });
    assert.equal(locateEncryptedData(body.subarray(0, start + length - 1)), undefined);
  }
});
