// Goal: every form of a key's name is read as AWS reads it, and every other text is told apart, not crashed on.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { createKeyId, formatKeyId, isKeyId, packKeyId, parseKeyReference, unpackKeyId } from './key-id.js';

const UUID = '1234abcd-12ab-34cd-56ef-1234567890ab';
const SCOPE = { region: 'us-east-1', accountId: '111122223333' };

test('ids, ARNs, alias names and alias ARNs', () => {
  const arn = 'arn:aws:kms:us-east-1:111122223333:';
  assert.deepEqual(parseKeyReference(UUID), { kind: 'key', keyId: UUID });
  assert.deepEqual(parseKeyReference(`${arn}key/${UUID}`), { kind: 'key', keyId: UUID, scope: SCOPE });
  assert.deepEqual(parseKeyReference('alias/a/b'), { kind: 'alias', aliasName: 'alias/a/b' });
  assert.deepEqual(parseKeyReference(`${arn}alias/a:b`), {
    kind: 'alias',
    aliasName: 'alias/a:b',
    scope: SCOPE,
  });
});

test('an id in capitals is well-formed, and another one', () => {
  const keyId = UUID.toUpperCase();
  assert.deepEqual(parseKeyReference(keyId), { kind: 'key', keyId });
  assert.equal(isKeyId(keyId), false);
});

test('what is no name of a key', () => {
  for (const text of ['', 'fake-key-id', UUID.replaceAll('-', ''), 'mrk-fake', `${UUID}x`]) {
    assert.equal(parseKeyReference(text).kind, 'malformed-id', text);
  }
  for (const text of [
    'arn:',
    'arn:aws:s3:::bucket',
    `arn:aws:kms:us-east-1:1:key/${UUID}`,
    'arn:aws:kms::111122223333:x',
  ]) {
    assert.equal(parseKeyReference(text).kind, 'malformed-arn', text);
  }
});

test('every text has an answer', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.string().map((text) => `arn:aws:kms:${text}`),
      ),
      (text) => {
        assert.ok(parseKeyReference(text).kind);
      },
    ),
  );
});

test('a fresh id is a version 4 UUID', () => {
  for (let i = 0; i < 100; i++) {
    const keyId = createKeyId(randomBytes);
    assert.ok(isKeyId(keyId));
    assert.match(keyId, /^.{14}4.{4}[89ab]/);
  }
});

test('packed ids unpack to themselves', () => {
  for (const keyId of [UUID, `mrk-${'ab'.repeat(16)}`]) {
    const bytes = Buffer.alloc(20);
    packKeyId(keyId, bytes, 3);
    const packed = unpackKeyId(bytes, 3);
    assert.ok(packed);
    assert.equal(formatKeyId(packed), keyId);
  }
  assert.equal(unpackKeyId(Buffer.alloc(17, 2), 0), undefined);
});
