/** Goal: a key made by command is the one that writes next, and cannot leave the token. Method: SoftHSM2. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { openPkcs11Module, type Token } from '@waxseal/pkcs11';
import { createSoftHsm, type SoftHsm } from '@waxseal/pkcs11/testing';
import { ProviderError } from '../errors.js';
import { createPkcs11Key } from './pkcs11-create-key.js';
import { createPkcs11Provider } from './pkcs11.js';

let hsm: SoftHsm;
let token: Token;
before(async () => {
  hsm = await createSoftHsm();
  token = await (await openPkcs11Module(hsm.modulePath)).openToken({ pin: hsm.pin() });
});
after(async () => {
  await token.close();
  await hsm.remove();
});

test('keys are numbered, and the last one made writes', async (t) => {
  for (const mechanism of ['aes-gcm', 'aes-key-wrap', 'rsa-oaep-sha1'] as const) {
    const options = {
      modulePath: hsm.modulePath,
      keyLabel: `made for ${mechanism}`,
      mechanism,
      pin: async () => hsm.pin(),
    };
    assert.equal((await createPkcs11Key(options)).toString('hex'), '01');
    assert.equal((await createPkcs11Key(options)).toString('hex'), '02');
    const provider = await createPkcs11Provider({ ...options, startTimeoutMs: 30_000 });
    t.after(() => provider.close());
    assert.match(provider.snapshot().keyId, /^pkcs11:made%20for%20[a-z0-9-]+:02:[0-9a-f]{16}$/);
    const signal = new AbortController().signal;
    const plaintext = randomBytes(32);
    const wrapped = await provider.encrypt(provider.snapshot(), plaintext, signal);
    assert.deepEqual(
      await provider.decrypt({ ...wrapped, version: 'v1', keyId: undefined }, signal),
      plaintext,
    );
    assert.deepEqual(await provider.describe?.(signal), { state: 'usable', warnings: [] });
  }
});

test('the number behind 255 has two bytes, and what has no number is not followed', async () => {
  const options = {
    modulePath: hsm.modulePath,
    keyLabel: 'numbered',
    mechanism: 'aes-gcm',
    pin: async () => hsm.pin(),
  } as const;
  await token.generateAesKey({ label: 'numbered', id: Buffer.from([255]), bytes: 32 });
  assert.equal((await createPkcs11Key(options)).toString('hex'), '0100');
  await token.generateAesKey({ label: 'numbered', id: randomBytes(20), bytes: 32 });
  await assert.rejects(
    createPkcs11Key(options),
    (error) => error instanceof ProviderError && /tool of the token/.test(error.message),
  );
});
