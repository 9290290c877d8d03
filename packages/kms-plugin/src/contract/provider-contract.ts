/** What every provider must do, as tests of whichever is given. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test, type TestContext } from 'node:test';
import { ciphertextMaxBytes, keyIdMaxBytes } from '@waxseal/kms-api';
import { ProviderError } from '../errors.js';
import type { Provider, Unwrap } from '../provider.js';

/**
 * @param create a provider whose backend works; the suite closes it
 * @param plaintextMaxBytes the most its algorithm wraps; never under 64, twice what an API server sends
 */
export function testProviderContract(
  name: string,
  create: (t: TestContext) => Promise<Provider>,
  plaintextMaxBytes = 512,
): void {
  const signal = (): AbortSignal => new AbortController().signal;
  const provided = async (t: TestContext): Promise<Provider> => {
    const provider = await create(t);
    t.after(() => provider.close());
    return provider;
  };
  const sealed = async (provider: Provider, plaintext: Buffer): Promise<Unwrap> => {
    const snapshot = provider.snapshot();
    return {
      ...(await provider.encrypt(snapshot, plaintext, signal())),
      version: 'v2',
      keyId: snapshot.keyId,
    };
  };

  test(`${name}: what was wrapped is unwrapped, by v1 and v2`, async (t) => {
    const provider = await provided(t);
    for (const plaintext of [
      randomBytes(32),
      randomBytes(16),
      Buffer.from('ping'),
      randomBytes(plaintextMaxBytes),
    ]) {
      const wrapped = await sealed(provider, plaintext);
      assert.ok(wrapped.ciphertext.length >= 1 && wrapped.ciphertext.length <= ciphertextMaxBytes);
      assert.ok(!wrapped.ciphertext.includes(plaintext), 'the plaintext must not lie in the ciphertext');
      assert.ok(provider.recognizes(wrapped), 'a provider recognises what it made');
      assert.deepEqual(await provider.decrypt(wrapped, signal()), plaintext);
      assert.deepEqual(
        await provider.decrypt({ ...wrapped, version: 'v1', keyId: undefined }, signal()),
        plaintext,
      );
    }
  });

  test(`${name}: wrapping twice gives two ciphertexts`, async (t) => {
    const provider = await provided(t);
    const plaintext = randomBytes(32);
    const [one, two] = [await sealed(provider, plaintext), await sealed(provider, plaintext)];
    assert.ok(!one.ciphertext.equals(two.ciphertext));
  });

  test(`${name}: the snapshot stays the same object and its key id keeps the limits`, async (t) => {
    const provider = await provided(t);
    const snapshot = provider.snapshot();
    assert.ok(Object.isFrozen(snapshot));
    assert.ok(snapshot.keyId.length > 0 && Buffer.byteLength(snapshot.keyId) <= keyIdMaxBytes);
    await sealed(provider, randomBytes(32));
    assert.equal(provider.snapshot(), snapshot);
    await provider.reload();
    assert.equal(provider.snapshot().keyId, snapshot.keyId);
  });

  test(`${name}: a caller may overwrite what it gave and got`, async (t) => {
    const provider = await provided(t);
    const plaintext = randomBytes(32);
    const given = Buffer.from(plaintext);
    const wrapped = await sealed(provider, given);
    given.fill(0);
    const got = await provider.decrypt(wrapped, signal());
    assert.deepEqual(got, plaintext);
    got.fill(0);
    assert.deepEqual(await provider.decrypt(wrapped, signal()), plaintext);
  });

  test(`${name}: every truncation and every flipped bit of a ciphertext is corrupt`, async (t) => {
    const provider = await provided(t);
    const wrapped = await sealed(provider, randomBytes(32));
    const corrupt = async (ciphertext: Buffer, what: string): Promise<void> => {
      await assert.rejects(
        provider.decrypt({ ...wrapped, ciphertext }, signal()),
        (error) => error instanceof ProviderError && error.failure.class === 'corrupt',
        what,
      );
    };
    for (let length = 0; length < wrapped.ciphertext.length; length++) {
      await corrupt(wrapped.ciphertext.subarray(0, length), `first ${length} bytes`);
    }
    for (let bit = 0; bit < wrapped.ciphertext.length * 8; bit++) {
      const flipped = Buffer.from(wrapped.ciphertext);
      flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      await corrupt(flipped, `bit ${bit}`);
    }
    await corrupt(Buffer.from('vault:v1:abc'), "another plugin's ciphertext");
    await corrupt(randomBytes(1024), 'random bytes');
  });

  test(`${name}: a closed provider fails and does not hang`, async (t) => {
    const provider = await create(t);
    const wrapped = await sealed(provider, randomBytes(32));
    await provider.close();
    await provider.close();
    const outcome = await provider.decrypt(wrapped, signal()).catch((error: unknown) => error);
    assert.ok(outcome instanceof ProviderError || Buffer.isBuffer(outcome));
  });
}
