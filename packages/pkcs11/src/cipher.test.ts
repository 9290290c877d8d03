/**
 * Goal: the bytes are those of the standards, not only ones the token itself can read. Method: a key of known value is put onto the
 * token and node:crypto does the same with it.
 */
import assert from 'node:assert/strict';
import { createCipheriv, createHmac, randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import * as fc from 'fast-check';
import { CKF, CKK, CKO } from './constants.js';
import { loadCryptoki } from './cryptoki.js';
import { Pkcs11Error } from './errors.js';
import { openPkcs11Module } from './module.js';
import { readUlong, type Template, ULONG_BYTES } from './native-memory.js';
import { createSoftHsm, type SoftHsm } from './testing/soft-hsm.js';
import type { Token, TokenKey } from './token.js';

const value = randomBytes(32);
/** RFC 3394 §2.2.3.1 and RFC 5649 §3. */
const KEY_WRAP_IV = Buffer.alloc(8, 0xa6);
const KEY_WRAP_PAD_IV = Buffer.from('a65959a6', 'hex');

let hsm: SoftHsm;
let token: Token;
let aes: TokenKey;
before(async () => {
  hsm = await createSoftHsm();
  token = await (await openPkcs11Module(hsm.modulePath)).openToken({ pin: hsm.pin() });
  await importKey('known aes', CKK.aes, ['CKA_ENCRYPT', 'CKA_DECRYPT', 'CKA_WRAP', 'CKA_UNWRAP']);
  await importKey('known mac', CKK['generic-secret'], ['CKA_SIGN', 'CKA_VERIFY']);
  aes = await token.findKey({ label: 'known aes' });
});
after(async () => {
  await token.close();
  await hsm.remove();
});

/** What no user of the package can do: put a key of known value onto the token. */
async function importKey(
  label: string,
  keyType: number,
  usage: readonly Template[number][0][],
): Promise<void> {
  const cryptoki = await loadCryptoki(hsm.modulePath);
  const template: Template = [
    ['CKA_CLASS', CKO.secret],
    ['CKA_KEY_TYPE', keyType],
    ['CKA_TOKEN', true],
    ['CKA_LABEL', label],
    ['CKA_VALUE', value],
    ...usage.map((name) => [name, true] as const),
  ];
  await cryptoki.withMemory(async (memory) => {
    const out = memory.reserve(ULONG_BYTES);
    const flags = CKF.CKF_SERIAL_SESSION | CKF.CKF_RW_SESSION;
    await cryptoki.checked('C_OpenSession', token.info.slotId, flags, null, null, out);
    const session = readUlong(out) ?? 0;
    await cryptoki.checked('C_CreateObject', session, memory.template(template), template.length, out);
    await cryptoki.checked('C_CloseSession', session);
  });
}

test('sessions closed behind the token’s back are opened and logged in again', async () => {
  const cipher = { kind: 'aes-gcm', iv: randomBytes(12) } as const;
  const sealed = await token.encrypt(aes, cipher, Buffer.from('text'));
  const cryptoki = await loadCryptoki(hsm.modulePath);
  // SoftHSM2 numbers its handles from 1.
  for (let handle = 1; handle < 100; handle++) await cryptoki.call('C_CloseSession', handle);
  assert.equal((await token.decrypt(aes, cipher, sealed)).toString(), 'text');
});

test('AES-GCM is that of SP 800-38D: ciphertext, then tag', async () => {
  const iv = randomBytes(12);
  const aad = randomBytes(20);
  const plaintext = randomBytes(100);
  const cipher = createCipheriv('aes-256-gcm', value, iv);
  cipher.setAAD(aad);
  const expected = Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
  assert.deepEqual(await token.encrypt(aes, { kind: 'aes-gcm', iv, aad }, plaintext), expected);
});

test('AES-CBC is padded by PKCS#7', async () => {
  const iv = randomBytes(16);
  const cipher = createCipheriv('aes-256-cbc', value, iv);
  const expected = Buffer.concat([cipher.update('thirteen byte'), cipher.final()]);
  assert.deepEqual(
    await token.encrypt(aes, { kind: 'aes-cbc-pad', iv }, Buffer.from('thirteen byte')),
    expected,
  );
});

test('AES key wrap is that of RFC 3394', async () => {
  const plaintext = randomBytes(40);
  const cipher = createCipheriv('id-aes256-wrap', value, KEY_WRAP_IV);
  const expected = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  assert.deepEqual(await token.encrypt(aes, { kind: 'aes-key-wrap' }, plaintext), expected);
  assert.deepEqual(await token.decrypt(aes, { kind: 'aes-key-wrap' }, expected), plaintext);
});

const padded = (plaintext: Buffer): Buffer => {
  const cipher = createCipheriv('id-aes256-wrap-pad', value, KEY_WRAP_PAD_IV);
  return Buffer.concat([cipher.update(plaintext), cipher.final()]);
};

test('padded AES key wrap is that of RFC 5649', async () => {
  for (let bytes = 8; bytes <= 64; bytes += 8) {
    const plaintext = randomBytes(bytes);
    const expected = padded(plaintext);
    assert.deepEqual(await token.encrypt(aes, { kind: 'aes-key-wrap-pad' }, plaintext), expected);
    assert.deepEqual(await token.decrypt(aes, { kind: 'aes-key-wrap-pad' }, expected), plaintext);
  }
});

test('padded AES key wrap of other lengths opens; a token that would change the length is found out', async () => {
  for (const bytes of [1, 7, 9, 15, 33]) {
    const plaintext = randomBytes(bytes);
    assert.deepEqual(await token.decrypt(aes, { kind: 'aes-key-wrap-pad' }, padded(plaintext)), plaintext);
    await assert.rejects(
      token.encrypt(aes, { kind: 'aes-key-wrap-pad' }, plaintext),
      (error) => error instanceof Pkcs11Error && error.code === 'mechanism-unsupported',
    );
  }
});

test('HMAC is that of RFC 2104', async () => {
  const key = await token.findKey({ label: 'known mac' });
  const mac = await token.sign(key, { kind: 'hmac', hash: 'sha256' }, Buffer.from('message'));
  assert.deepEqual(mac, createHmac('sha256', value).update('message').digest());
});

test('whatever is decrypted, the answer is plaintext or a Pkcs11Error', async () => {
  const mechanism = fc.oneof(
    fc.record({
      kind: fc.constant('aes-gcm' as const),
      iv: fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
    }),
    fc.record({
      kind: fc.constant('aes-cbc-pad' as const),
      iv: fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
    }),
    fc.constantFrom({ kind: 'aes-key-wrap' as const }, { kind: 'aes-key-wrap-pad' as const }),
    fc.constant({ kind: 'rsa-pkcs-oaep' as const, hash: 'sha1' as const }),
  );
  await fc.assert(
    fc.asyncProperty(mechanism, fc.uint8Array({ maxLength: 200 }), async (cipher, bytes) => {
      const outcome = await token.decrypt(aes, cipher, Buffer.from(bytes)).catch((error: unknown) => error);
      assert.ok(Buffer.isBuffer(outcome) || outcome instanceof Pkcs11Error, String(outcome));
    }),
    { numRuns: 300 },
  );
});
