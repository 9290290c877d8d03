// Goal: a token keeps the root key, a service that runs is resealed to it and away from it, and every way in which the token is not
// the right one is told in one sentence. Method: SoftHSM2 with several tokens.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { CreateKeyCommand, EncryptCommand } from '@aws-sdk/client-kms';
import { openPkcs11Module, type Token } from '@waxseal/pkcs11';
import { createSoftHsm, type SoftHsm } from '@waxseal/pkcs11/testing';
import { findRunningKeyService } from '../control/control-client.js';
import { KeyServiceError } from '../errors.js';
import { ROOT_KEY_RECORD } from '../keys/store-keys.js';
import { startTestService } from '../testing/harness.js';
import { createMemoryStore } from '../testing/memory-store.js';
import { createPassphraseProtector } from './passphrase-protector.js';
import { createPkcs11Protector, type Pkcs11ProtectorOptions } from './pkcs11-protector.js';
import type { RootKeyProtector } from './protector.js';
import { openRootKey, resealRootKey, rootKeyProtectorOf } from './root-key.js';

let hsm: SoftHsm;
before(async () => {
  hsm = await createSoftHsm({ tokenLabels: ['main', 'other'] });
});
after(() => hsm.remove());

const protector = (options: Partial<Pkcs11ProtectorOptions> = {}): RootKeyProtector =>
  createPkcs11Protector(
    { modulePath: hsm.modulePath, tokenLabel: 'main', pin: async () => hsm.pin(), ...options },
    randomBytes,
  );

async function withToken<T>(label: string, use: (token: Token) => Promise<T>): Promise<T> {
  const token = await (await openPkcs11Module(hsm.modulePath)).openToken({ label, pin: hsm.pin() });
  try {
    return await use(token);
  } finally {
    await token.close();
  }
}

const refused = (code: KeyServiceError['code'], message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof KeyServiceError, String(error));
  assert.equal(error.code, code);
  assert.match(error.message, message);
  return true;
};

test('a token keeps the root key under a key it made and never gives away', async () => {
  const store = createMemoryStore();
  const rootKey = await openRootKey(store, [protector()], randomBytes);
  assert.deepEqual(await openRootKey(store, [protector({ tokenLabel: undefined })], randomBytes), rootKey);
  const record = (await store.get(ROOT_KEY_RECORD)).kv?.value.toString() ?? '';
  assert.equal(record.includes(rootKey.toString('base64')), false);
  const sealed = Buffer.from((JSON.parse(record) as { sealed: string }).sealed, 'base64').toString();
  assert.equal(sealed.includes(hsm.modulePath), false);
  assert.deepEqual(Object.keys(JSON.parse(sealed) as object), [
    'version',
    'token',
    'key',
    'algorithm',
    'iv',
    'wrapped',
  ]);
  await withToken('main', async (token) => {
    const key = await token.findKey({ label: 'waxseal-root-key' });
    const { sensitive, neverExtractable, encrypt, wrap } = await token.attributes(key);
    assert.deepEqual(
      { sensitive, neverExtractable, encrypt, wrap },
      { sensitive: true, neverExtractable: true, encrypt: true, wrap: false },
    );
  });
  // A second store is sealed under the same key of the token.
  await openRootKey(createMemoryStore(), [protector()], randomBytes);
  await withToken('main', (token) => token.findKey({ label: 'waxseal-root-key' }));
});

test('an RSA key pair that is there already wraps too', async () => {
  await withToken('main', (token) =>
    token.generateRsaKeyPair({
      label: 'rsa',
      id: Buffer.from('rsa'),
      modulusBits: 2048,
      encryptDecrypt: true,
    }),
  );
  const store = createMemoryStore();
  const rootKey = await openRootKey(store, [protector({ keyLabel: 'rsa' })], randomBytes);
  assert.deepEqual(await openRootKey(store, [protector()], randomBytes), rootKey);
});

test('wrong PIN, other token, missing key, missing module: one sentence each', async () => {
  const store = createMemoryStore();
  await openRootKey(store, [protector({ keyLabel: 'doomed' })], randomBytes);
  const opening = (options: Partial<Pkcs11ProtectorOptions>): Promise<Buffer> =>
    openRootKey(store, [protector(options)], randomBytes);

  await assert.rejects(opening({ pin: async () => Buffer.from('0000') }), (error) => {
    assert.ok(error instanceof KeyServiceError);
    assert.equal(error.code, 'root-key-wrong');
    assert.match(error.message, /refuses the PIN. It was tried once/);
    assert.doesNotMatch(error.message, /0000/);
    return true;
  });
  await assert.rejects(
    opening({ tokenLabel: 'other' }),
    refused('root-key-missing', /no secret key with label 'doomed'/),
  );
  await assert.rejects(
    opening({ tokenLabel: 'third' }),
    refused('root-key-missing', /no initialized token with label 'third'. It has: .*'main'/),
  );
  await assert.rejects(opening({ modulePath: undefined }), refused('invalid-option', /--pkcs11-module/));
  await assert.rejects(
    opening({ modulePath: '/nowhere/module.so' }),
    refused('root-key-unreadable', /\/nowhere\/module\.so cannot be used/),
  );
  await withToken('main', async (token) => token.destroy(await token.findKey({ label: 'doomed' })));
  await assert.rejects(opening({}), refused('root-key-missing', /no secret key with label 'doomed'/));
  // A key of the same name is not the same key.
  await withToken('main', (token) =>
    token.generateAesKey({ label: 'doomed', id: Buffer.from([1]), bytes: 32, encryptDecrypt: true }),
  );
  await assert.rejects(opening({}), refused('root-key-missing', /no secret key with label 'doomed'/));
});

test('two keys of one label, and a key that can leave the token, are refused', async () => {
  await withToken('other', async (token) => {
    await token.generateAesKey({ label: 'twin', id: Buffer.from([1]), bytes: 32, encryptDecrypt: true });
    await token.generateAesKey({ label: 'twin', id: Buffer.from([2]), bytes: 32, encryptDecrypt: true });
  });
  await assert.rejects(
    openRootKey(createMemoryStore(), [protector({ tokenLabel: 'other', keyLabel: 'twin' })], randomBytes),
    refused('root-key-unreadable', /2 keys with label 'twin'/),
  );
});

test('altered wrapped bytes do not open', async () => {
  const sealed = await protector().seal(randomBytes(32));
  const stored = JSON.parse(sealed.toString()) as Record<string, unknown>;
  for (const [change, code] of [
    [{ wrapped: randomBytes(48).toString('base64') }, 'root-key-wrong'],
    [{ iv: randomBytes(12).toString('base64') }, 'root-key-wrong'],
    [{ iv: 'AA==' }, 'invalid-option'],
    [{ version: 2 }, 'store-corrupt'],
    [{ token: null }, 'store-corrupt'],
    [{ algorithm: 'ROT13' }, 'store-corrupt'],
    [{ wrapped: 1 }, 'store-corrupt'],
  ] as const) {
    await assert.rejects(protector().open(Buffer.from(JSON.stringify({ ...stored, ...change }))), { code });
  }
});

test('a running service is resealed from file to token to passphrase, and keeps working', async (t) => {
  const kms = await startTestService();
  t.after(() => kms.close());
  const { KeyMetadata } = await kms.client().send(new CreateKeyCommand({}));
  const KeyId = KeyMetadata?.KeyId;
  const running = await findRunningKeyService(kms.dataDir);
  assert.ok(running);
  assert.deepEqual(
    await running.reseal({
      kind: 'pkcs11',
      modulePath: hsm.modulePath,
      tokenLabel: 'main',
      pin: hsm.pin().toString('base64'),
    }),
    { rootKeyProtector: 'pkcs11' },
  );
  assert.equal(existsSync(join(kms.dataDir, 'root.key')), false);
  await kms.client().send(new EncryptCommand({ KeyId, Plaintext: Buffer.from('x') }));
  await assert.rejects(
    running.reseal({ kind: 'pkcs11', modulePath: hsm.modulePath, tokenLabel: 'main', pin: 'AAAA' }),
    { code: 'root-key-wrong' },
  );
  assert.deepEqual(
    await running.reseal({ kind: 'passphrase', passphrase: Buffer.from('correct horse').toString('base64') }),
    { rootKeyProtector: 'passphrase' },
  );
  await kms.client().send(new EncryptCommand({ KeyId, Plaintext: Buffer.from('x') }));
});

test('reseal goes from passphrase to token and back without a change of the root key', async () => {
  const passphrase = createPassphraseProtector(async () => Buffer.from('correct horse'), randomBytes);
  const store = createMemoryStore();
  const rootKey = await openRootKey(store, [passphrase], randomBytes);
  await resealRootKey(store, rootKey, protector(), [passphrase], randomBytes);
  assert.equal(await rootKeyProtectorOf(store), 'pkcs11');
  assert.deepEqual(await openRootKey(store, [passphrase, protector()], randomBytes), rootKey);
  await resealRootKey(store, rootKey, passphrase, [protector()], randomBytes);
  assert.deepEqual(await openRootKey(store, [passphrase], randomBytes), rootKey);
});
