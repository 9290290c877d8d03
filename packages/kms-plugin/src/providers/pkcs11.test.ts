/**
 * Goal: keys on a token wrap DEKs by every mechanism, rotate, are told apart, and heal. Method: SoftHSM2 for what tokens do, a token in
 * memory for what they do not do on demand.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test, type TestContext } from 'node:test';
import { openPkcs11Module, type Token } from '@waxseal/pkcs11';
import { createSoftHsm, type SoftHsm } from '@waxseal/pkcs11/testing';
import { testProviderContract } from '../contract/provider-contract.js';
import { KmsPluginError, ProviderError, type FailureClass } from '../errors.js';
import type { Provider, Unwrap } from '../provider.js';
import { noKeyYet } from '../snapshot.js';
import { createMemoryToken, type MemoryToken } from '../testing/memory-token.js';
import { createPkcs11Provider, type Pkcs11ProviderOptions } from './pkcs11.js';

const signal = new AbortController().signal;
const failing =
  (kind: FailureClass, message: RegExp) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof ProviderError, String(error));
    assert.equal(error.failure.class, kind, error.message);
    assert.match(error.message, message);
    return true;
  };

async function seal(provider: Provider, plaintext = randomBytes(32)): Promise<[Unwrap, Buffer]> {
  const snapshot = provider.snapshot();
  const wrapped = await provider.encrypt(snapshot, plaintext, signal);
  return [{ ...wrapped, version: 'v2', keyId: snapshot.keyId }, plaintext];
}

let hsm: SoftHsm;
let token: Token;
before(async () => {
  hsm = await createSoftHsm();
  token = await (await openPkcs11Module(hsm.modulePath)).openToken({ pin: hsm.pin() });
  const both = { bytes: 32, encryptDecrypt: true, wrapUnwrap: true } as const;
  await token.generateAesKey({ label: 'aes', id: Buffer.from([1]), ...both });
  await token.generateRsaKeyPair({
    label: 'rsa',
    id: Buffer.from([1]),
    modulusBits: 2048,
    encryptDecrypt: true,
    endDate: new Date('2031-05-06T00:00:00Z'),
  });
});
after(async () => {
  await token.close();
  await hsm.remove();
});

const onSoftHsm = (options: Partial<Pkcs11ProviderOptions>): Promise<Provider> =>
  createPkcs11Provider({
    modulePath: hsm.modulePath,
    keyLabel: 'aes',
    pin: async () => hsm.pin(),
    // Making a session is slow while other tests keep both cores busy.
    startTimeoutMs: 10_000,
    ...options,
  });

for (const mechanism of ['aes-gcm', 'aes-key-wrap', 'aes-key-wrap-pad'] as const) {
  testProviderContract(`pkcs11 ${mechanism}`, () => onSoftHsm({ mechanism }));
}
testProviderContract('pkcs11 rsa-oaep-sha1', () =>
  onSoftHsm({ keyLabel: 'rsa', mechanism: 'rsa-oaep-sha1' }),
);

const inMemory = async (
  t: TestContext,
  memory: MemoryToken,
  options: Partial<Pkcs11ProviderOptions> = {},
): Promise<Provider> => {
  const provider = await createPkcs11Provider({
    modulePath: '/memory.so',
    keyLabel: 'kek',
    openModule: memory.openModule,
    pin: async () => Buffer.from(memory.pin),
    startTimeoutMs: 10_000,
    ...options,
  });
  t.after(() => provider.close());
  return provider;
};

testProviderContract('pkcs11 rsa-oaep-sha256', async (t) => {
  const memory = createMemoryToken();
  memory.addRsaKey('kek', 1);
  return inMemory(t, memory);
});

test('the key id is the same after a restart, and another one when the key was replaced', async (t) => {
  const id = Buffer.from([7]);
  const options = { label: 'replaced', id, bytes: 32, encryptDecrypt: true } as const;
  const key = await token.generateAesKey(options);
  let nowMs = 0;
  const open = (): Promise<Provider> => onSoftHsm({ keyLabel: 'replaced', nowMs: () => nowMs });
  const [one, two] = [await open(), await open()];
  t.after(() => Promise.all([one.close(), two.close()]));
  const before = one.snapshot();
  assert.match(before.keyId, /^pkcs11:replaced:07:[0-9a-f]{16}$/);
  assert.equal(two.snapshot().keyId, before.keyId);
  await token.destroy(key);
  await token.generateAesKey(options);
  nowMs = 60_000;
  await assert.rejects(seal(one), failing('unavailable', /another one than before/));
  assert.notEqual(one.snapshot().keyId, before.keyId);
  const [wrapped, plaintext] = await seal(one);
  assert.deepEqual(await two.decrypt(wrapped, signal), plaintext);
  await two.reload();
  assert.equal(two.snapshot().keyId, one.snapshot().keyId);
});

test('a key added under the label writes after a reload; the old one goes on reading', async (t) => {
  const add = (id: number): Promise<unknown> =>
    token.generateAesKey({ label: 'rotating', id: Buffer.from([id]), bytes: 32, encryptDecrypt: true });
  await add(9);
  const [provider, other] = [
    await onSoftHsm({ keyLabel: 'rotating' }),
    await onSoftHsm({ keyLabel: 'rotating' }),
  ];
  t.after(() => Promise.all([provider.close(), other.close()]));
  const old = provider.snapshot();
  const [before, plaintext] = await seal(provider);
  await add(10);
  assert.equal(provider.snapshot(), old, 'nothing changes before the reload');
  await provider.reload();
  assert.match(provider.snapshot().keyId, /^pkcs11:rotating:0a:/);
  const [late, latePlaintext] = await seal(provider);
  assert.deepEqual(await provider.decrypt(before, signal), plaintext);
  assert.deepEqual(await other.decrypt(late, signal), latePlaintext, 'before its own reload');
  const kept = await provider.encrypt(old, Buffer.from('under the old key'), signal);
  assert.deepEqual(kept.ciphertext.subarray(10, 13), Buffer.from([0x06, 1, 9]));
  const pinned = await onSoftHsm({ keyLabel: 'rotating', keyId: Buffer.from([9]) });
  t.after(() => pinned.close());
  assert.equal(pinned.snapshot().keyId, old.keyId);
});

test('the token says what is wrong with a key', async (t) => {
  const provider = await onSoftHsm({ keyLabel: 'rsa', mechanism: 'rsa-oaep-sha1' });
  t.after(() => provider.close());
  assert.deepEqual(await provider.describe?.(signal), {
    state: 'usable',
    unreadableFromMs: Date.parse('2031-05-07T00:00:00Z'),
    warnings: ['The key is meant to be used until 2031-05-06 (CKA_END_DATE); add a new one before.'],
  });
  const memory = createMemoryToken();
  memory.addAesKey('kek', 1, {
    extractable: true,
    sensitive: false,
    private: false,
    endDate: new Date('2030-01-31T00:00:00Z'),
  });
  const bad = await inMemory(t, memory, { nowMs: () => Date.parse('2030-02-01T00:00:00Z') });
  const condition = await bad.describe?.(signal);
  assert.equal(condition?.state, 'expired');
  assert.match(condition.warnings.join(' '), /CKA_EXTRACTABLE.*CKA_SENSITIVE.*CKA_PRIVATE.*2030-01-31/);
  memory.keys.length = 0;
  assert.deepEqual(await bad.describe?.(signal), {
    state: 'gone',
    warnings: ['The key is not on the token any more.'],
  });
});

test('a wrong PIN, mechanism, label, token or module is told, and nothing is thrown at the start', async (t) => {
  const cases: readonly (readonly [Partial<Pkcs11ProviderOptions>, FailureClass, RegExp])[] = [
    [{ keyLabel: 'absent' }, 'user-induced', /no key with this label/],
    [{ keyId: Buffer.from([99]) }, 'user-induced', /no key with this label and CKA_ID/],
    [{ tokenLabel: 'absent' }, 'unavailable', /no such token/],
    [{ modulePath: '/nowhere.so' }, 'user-induced', /module cannot be loaded/],
    [{ keyLabel: 'rsa', mechanism: 'rsa-oaep-sha256' }, 'user-induced', /choose another mechanism/],
    [{ pin: async () => Buffer.from('000000') }, 'denied', /refuses the PIN/],
  ];
  for (const [options, kind, message] of cases) {
    const provider = await onSoftHsm(options);
    t.after(() => provider.close());
    await assert.rejects(seal(provider), failing(kind, message));
  }
  for (const options of [{ modulePath: 'relative.so' }, { keyLabel: '' }, { keyId: Buffer.alloc(0) }]) {
    await assert.rejects(
      onSoftHsm(options),
      (error) => error instanceof KmsPluginError && error.code === 'invalid_options',
    );
  }
});

test('keys whose order or name is not clear are refused, and old values still open', async (t) => {
  const memory = createMemoryToken();
  memory.addAesKey('kek', 1);
  const provider = await inMemory(t, memory);
  const [wrapped, plaintext] = await seal(provider);
  const refusals: readonly (readonly [() => void, RegExp])[] = [
    [() => memory.addAesKey('kek', randomBytes(20)), /say which one writes/],
    [() => memory.addAesKey('kek', Buffer.from([0, 1])), /remove the one that is not meant/],
    [() => memory.addAesKey('kek', Buffer.alloc(0)), /has no CKA_ID/],
    [() => memory.addRsaKey('kek', 3), /say which mechanism/],
  ];
  for (const [add, message] of refusals) {
    const kept = memory.keys.length;
    add();
    await assert.rejects(provider.reload(), failing('user-induced', message));
    const restarted = await inMemory(t, memory);
    assert.equal(restarted.snapshot(), noKeyYet);
    assert.deepEqual(await restarted.decrypt(wrapped, signal), plaintext);
    memory.keys.length = kept;
  }
});

test('a token that is away at the start, or pulled later, is waited for', async (t) => {
  const memory = createMemoryToken();
  memory.addAesKey('kek', 1);
  memory.failure = 'token-not-found';
  const provider = await inMemory(t, memory);
  assert.equal(provider.snapshot(), noKeyYet);
  await assert.rejects(seal(provider), failing('unavailable', /no such token/));
  memory.failure = undefined;
  await assert.rejects(seal(provider), failing('unavailable', /another one than before/));
  const [wrapped, plaintext] = await seal(provider);
  const { keyId } = provider.snapshot();
  memory.failure = 'token-gone';
  await assert.rejects(seal(provider), failing('unavailable', /is away/));
  await assert.rejects(provider.decrypt(wrapped, signal), failing('unavailable', /is away/));
  assert.equal(provider.snapshot().keyId, keyId);
  memory.failure = undefined;
  assert.deepEqual(await provider.decrypt(wrapped, signal), plaintext);
  await seal(provider);
  assert.equal(memory.open, 1, 'every other login was closed');
  await provider.close();
  assert.equal(memory.open, 0);
});

test('a refused PIN is sent once, until it is another one or somebody reloads', async (t) => {
  const memory = createMemoryToken();
  memory.addAesKey('kek', 1);
  let pin = 'wrong';
  const provider = await inMemory(t, memory, { pin: async () => Buffer.from(pin) });
  for (let call = 0; call < 3; call++) await assert.rejects(seal(provider), failing('denied', /PIN/));
  assert.deepEqual(memory.pinsSent, ['wrong']);
  await assert.rejects(provider.reload(), failing('denied', /PIN/));
  assert.deepEqual(memory.pinsSent, ['wrong', 'wrong']);
  pin = memory.pin;
  await provider.reload();
  await seal(provider);
  memory.failure = 'pin-incorrect';
  await assert.rejects(seal(provider), failing('denied', /PIN/));
  memory.failure = undefined;
  await seal(provider);
  assert.deepEqual(memory.pinsSent, ['wrong', 'wrong', '1234', '1234']);
  await assert.rejects(
    seal(
      await inMemory(t, memory, {
        pin: () => Promise.reject(new KmsPluginError('invalid_options', 'No PIN.')),
      }),
    ),
    failing('user-induced', /No PIN\./),
  );
});

test('what a foreign mechanism cannot do says nothing against the key', async (t) => {
  const memory = createMemoryToken();
  memory.addAesKey('kek', 1);
  const provider = await inMemory(t, memory);
  const [wrapped] = await seal(provider);
  const head = Buffer.concat([Buffer.from('pkcs11:v1:'), Buffer.from([0x09, 1, 1, 0, 40])]);
  const ciphertext = Buffer.concat([head, randomBytes(40 + 48)]);
  await assert.rejects(
    provider.decrypt({ ...wrapped, ciphertext }, signal),
    failing('corrupt', /that mechanism/),
  );
});

test('only a key of the type that writes opens: a public key must not be a way around a secret one', async (t) => {
  const memory = createMemoryToken();
  memory.addRsaKey('kek', 1);
  const rsa = await inMemory(t, memory);
  assert.equal(rsa.forgeable, true);
  const [wrapped] = await seal(rsa);
  memory.addAesKey('kek', 2);
  const aes = await inMemory(t, memory, { mechanism: 'aes-gcm' });
  assert.equal(aes.forgeable, false);
  await assert.rejects(aes.decrypt(wrapped, signal), failing('corrupt', /another type/));
});
