/**
 * Goal: no changed value opens as something it was not. Method: every truncation and every single flipped bit of
 * stored values of every authenticated provider, prefix included.
 *
 * Two providers cannot promise it and are tested for what they can: identity stores no check at all, and aescbc (also
 * as the fallback of KMS v1, see the last test) checks padding only. Both must still answer with a value or an
 * EnvelopeError, never with another exception.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EnvelopeError } from './errors.js';
import { createIdentityTransformer } from './identity.js';
import { createKmsV1Transformer } from './kms-v1.js';
import { createKmsV2Transformer } from './kms-v2.js';
import { DEK_SOURCE_TYPE, encodeEncryptedObject } from './kms-v2-object.js';
import { createKmsV2WriteState } from './kms-v2-write-state.js';
import { createAesGcmTransformer } from './aes-gcm.js';
import { createPrefixTransformer } from './prefix.js';
import { createBase64Kms, createCountingRandom, createStaticProvider } from './testing/vectors.js';
import type { Transformer } from './transformer.js';

const randomBytes = createCountingRandom();
const storageKey = Buffer.from('/registry/secrets/default/db');
const plaintexts = [Buffer.alloc(0), Buffer.from([7]), Buffer.from('{"kind":"Secret"}')];

function* corruptions(stored: Buffer): Generator<Buffer> {
  for (let length = 0; length < stored.length; length++) yield stored.subarray(0, length);
  for (let bit = 0; bit < stored.length * 8; bit++) {
    const flipped = Buffer.from(stored);
    flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
    yield flipped;
  }
}

type Outcome = { readonly data: Buffer } | { readonly error: unknown };

async function read(transformer: Transformer, stored: Buffer): Promise<Outcome> {
  try {
    return { data: (await transformer.transformFromStorage(stored, storageKey)).data };
  } catch (error) {
    return { error };
  }
}

async function assertNothingOpens(transformer: Transformer, stored: Buffer): Promise<void> {
  for (const changed of corruptions(stored)) {
    const outcome = await read(transformer, changed);
    assert.ok('error' in outcome, `a changed value opened: ${changed.toString('hex')}`);
    assert.ok(outcome.error instanceof EnvelopeError, String(outcome.error));
  }
}

function kmsV2(): Transformer {
  const annotations = { 'a.example.com': Buffer.from('one'), 'b.example.com': Buffer.from([0, 255]) };
  const seed = randomBytes(32);
  const state = createKmsV2WriteState({
    encryptedDekSource: Buffer.from(seed.toString('base64')),
    seed,
    keyId: 'key-1',
    annotations,
    uid: '',
    expiresAtMs: 1,
  });
  const service = createBase64Kms('key-1', annotations).v2;
  const transformer = createKmsV2Transformer({ service, getState: () => state, randomBytes, nowMs: () => 0 });
  return createPrefixTransformer({ transformers: [{ prefix: 'k8s:enc:kms:v2:p:', transformer }] });
}

for (const provider of ['aesgcm', 'secretbox'] as const) {
  test(`${provider}: no changed value opens`, async () => {
    const transformer = createStaticProvider(provider, 'k', randomBytes(32), randomBytes);
    for (const plaintext of plaintexts) {
      await assertNothingOpens(transformer, await transformer.transformToStorage(plaintext, storageKey));
    }
  });
}

test('KMS v2 with a seed: no changed value opens', async () => {
  const transformer = kmsV2();
  for (const plaintext of plaintexts) {
    await assertNothingOpens(transformer, await transformer.transformToStorage(plaintext, storageKey));
  }
});

test('KMS v2 with a plain DEK: no changed value opens', async () => {
  const dek = randomBytes(32);
  const service = createBase64Kms('key-1').v2;
  const transformer = createKmsV2Transformer({
    service,
    getState: () => undefined,
    randomBytes,
    nowMs: () => 0,
  });
  const sealer = createAesGcmTransformer({ key: dek, randomBytes });
  for (const plaintext of plaintexts) {
    const stored = encodeEncryptedObject({
      encryptedData: await sealer.transformToStorage(plaintext, storageKey),
      keyId: 'key-1',
      encryptedDekSource: Buffer.from(dek.toString('base64')),
      annotations: {},
      encryptedDekSourceType: DEK_SOURCE_TYPE.AES_GCM_KEY,
    });
    assert.deepEqual(await read(transformer, stored), { data: plaintext });
    await assertNothingOpens(transformer, stored);
  }
});

test('KMS v1: no changed value opens, where AES-CBC cannot be meant', async () => {
  const transformer = createKmsV1Transformer({
    service: createBase64Kms('').v1,
    cacheSize: 1000,
    randomBytes,
  });
  for (const plaintext of plaintexts) {
    const stored = await transformer.transformToStorage(plaintext, storageKey);
    // nonce 12 + tag 16 + data: none of the plaintexts makes a multiple of 16
    assert.notEqual((28 + plaintext.length) % 16, 0);
    const wrappedBytes = stored.readUInt16BE(0);
    const truncatedToBlocks = (length: number): boolean =>
      length > 2 + wrappedBytes && (length - 2 - wrappedBytes) % 16 === 0;
    for (const changed of corruptions(stored)) {
      const outcome = await read(transformer, changed);
      assert.ok(
        'error' in outcome ? outcome.error instanceof EnvelopeError : truncatedToBlocks(changed.length),
        `a changed value opened: ${changed.toString('hex')}`,
      );
    }
  }
});

test('identity and aescbc: a changed value opens or is an EnvelopeError, nothing else happens', async () => {
  const identity = createPrefixTransformer({
    transformers: [{ prefix: '', transformer: createIdentityTransformer() }],
  });
  const aescbc = createStaticProvider('aescbc', 'k', randomBytes(32), randomBytes);
  let opened = 0;
  let refused = 0;
  for (const transformer of [identity, aescbc]) {
    for (const plaintext of plaintexts) {
      const stored = await transformer.transformToStorage(plaintext, storageKey);
      for (const changed of corruptions(stored)) {
        const outcome = await read(transformer, changed);
        assert.ok('data' in outcome || outcome.error instanceof EnvelopeError, JSON.stringify(outcome));
        if ('data' in outcome) opened++;
        else refused++;
      }
    }
  }
  assert.ok(opened > 0 && refused > 0, `${opened} opened, ${refused} refused`);
});
