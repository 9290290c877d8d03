/** Goal: the right provider opens a value, and stale says when it should be written again. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createAesGcmTransformer } from './aes-gcm.js';
import { EnvelopeError } from './errors.js';
import { createIdentityTransformer } from './identity.js';
import { createPrefixTransformer, type TransformObserver } from './prefix.js';
import { createCountingRandom } from './testing/vectors.js';
import type { Opened, Transformer } from './transformer.js';

const randomBytes = createCountingRandom();
const storageKey = Buffer.from('/registry/secrets/default/db');
const value = Buffer.from('{"kind":"Secret"}');
const identity = { prefix: '', transformer: createIdentityTransformer() };

function gcm(prefix: string): { readonly prefix: string; readonly transformer: Transformer } {
  return { prefix, transformer: createAesGcmTransformer({ key: randomBytes(32), randomBytes }) };
}

/** Opens to `data` or fails with `message`, now or later. */
function fixed(outcome: { data: string } | { message: string }, later: boolean): Transformer {
  const answer = (): Opened => {
    if ('message' in outcome) throw new EnvelopeError('decryption-failed', outcome.message);
    return { data: Buffer.from(outcome.data), stale: false };
  };
  return {
    transformFromStorage: () => (later ? Promise.resolve().then(answer) : answer()),
    transformToStorage: (data) => (later ? Promise.resolve(data) : data),
  };
}

test('the first provider writes; another one that opens the value makes it stale', async () => {
  const a = gcm('k8s:enc:aesgcm:v1:a:');
  const b = gcm('k8s:enc:aesgcm:v1:b:');
  const stored = await createPrefixTransformer({ transformers: [a] }).transformToStorage(value, storageKey);
  assert.equal(stored.subarray(0, 20).toString(), 'k8s:enc:aesgcm:v1:a:');
  const rotated = createPrefixTransformer({ transformers: [b, a, identity] });
  assert.deepEqual(await rotated.transformFromStorage(stored, storageKey), { data: value, stale: true });
  assert.deepEqual(await rotated.transformFromStorage(value, storageKey), { data: value, stale: true });
});

test('identity first reads plaintext as fresh and leaves encrypted values to the next provider', async () => {
  const a = gcm('k8s:enc:aesgcm:v1:a:');
  const stored = await createPrefixTransformer({ transformers: [a] }).transformToStorage(value, storageKey);
  const migrating = createPrefixTransformer({ transformers: [identity, a] });
  assert.deepEqual(await migrating.transformFromStorage(value, storageKey), { data: value, stale: false });
  assert.deepEqual(await migrating.transformFromStorage(stored, storageKey), { data: value, stale: true });
  assert.deepEqual(await migrating.transformToStorage(value, storageKey), value);
});

for (const later of [false, true]) {
  const when = later ? 'later' : 'at once';
  const create = (...outcomes: ({ data: string } | { message: string })[]): Transformer =>
    createPrefixTransformer({
      transformers: outcomes.map((outcome) => ({ prefix: 'p:', transformer: fixed(outcome, later) })),
    });

  test(`a provider that fails ${when} does not stop the next one with the same prefix`, async () => {
    const transformer = create({ message: 'one' }, { data: 'x' });
    const opened = await transformer.transformFromStorage(Buffer.from('p:..'), storageKey);
    assert.deepEqual(opened, { data: Buffer.from('x'), stale: true });
  });

  test(`failures ${when} become one error: one as it is, equal ones once, different ones in brackets`, async () => {
    const fails = async (...messages: string[]): Promise<string> => {
      const transformer = create(...messages.map((message) => ({ message })));
      const failure = Promise.resolve()
        .then(() => transformer.transformFromStorage(Buffer.from('p:..'), storageKey))
        .then(
          () => 'opened',
          (error: unknown) => (error as EnvelopeError).message,
        );
      return failure;
    };
    assert.equal(await fails('one'), 'one');
    assert.equal(await fails('one', 'one'), 'one');
    assert.equal(await fails('one', 'two', 'one'), '[one, two]');
  });
}

test('a value of no provider is refused in the reference’s words', () => {
  const transformer = createPrefixTransformer({ transformers: [gcm('k8s:enc:aesgcm:v1:a:'), identity] });
  assert.throws(
    () => transformer.transformFromStorage(Buffer.from('k8s:enc:aesgcm:v1:b:x'), storageKey),
    (error: unknown) =>
      error instanceof EnvelopeError &&
      error.code === 'no-matching-prefix' &&
      error.message === 'no matching prefix found',
  );
});

test('without providers nothing could be written', () => {
  assert.throws(() => createPrefixTransformer({ transformers: [] }), RangeError);
});

test('the observer sees each attempt with the prefix, and nothing of identity that refuses', async () => {
  const seen: string[] = [];
  const observer: TransformObserver = {
    start: () => 5,
    end: (type, prefix, mark, error) => {
      seen.push(`${type} ${prefix} ${mark} ${error === undefined ? 'ok' : 'failed'}`);
    },
  };
  const transformer = createPrefixTransformer({
    transformers: [
      identity,
      { prefix: 'k8s:enc:p:', transformer: fixed({ message: 'one' }, true) },
      { prefix: 'k8s:enc:p:', transformer: fixed({ data: 'x' }, false) },
    ],
    observer,
  });
  await transformer.transformToStorage(value, storageKey);
  await transformer.transformFromStorage(value, storageKey);
  await transformer.transformFromStorage(Buffer.from('k8s:enc:p:1'), storageKey);
  assert.throws(() => transformer.transformFromStorage(Buffer.from('k8s:enc:q:1'), storageKey));
  assert.deepEqual(seen, [
    'to_storage  5 ok',
    'from_storage identity 5 ok',
    'from_storage k8s:enc:p: 5 failed',
    'from_storage k8s:enc:p: 5 ok',
    'from_storage unknown 5 failed',
  ]);
});
