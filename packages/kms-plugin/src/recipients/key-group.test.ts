/** Several keys as one provider: who wraps, who opens, in which order, and what a thief of storage can do with the parts. */
import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import * as fc from 'fast-check';
import { testProviderContract } from '../contract/provider-contract.js';
import { KmsPluginError, ProviderError, type Failure, type FailureClass } from '../errors.js';
import type { MemberHost, Provider, Unwrap } from '../provider.js';
import { createLocalProvider } from '../providers/local.js';
import { createKeyring, rotateKeyring } from '../providers/local-keyring.js';
import { noKeyYet } from '../snapshot.js';
import { createFakeClock } from '../testing/fake-clock.js';
import { createFakeProvider } from '../testing/fake-provider.js';
import { tempFolder } from '../testing/temp-folder.js';
import { annotationName, parseAnnotation, recipientsOf } from './annotation.js';
import { createEscrowKey } from './escrow-key.js';
import { createKeyGroup, type KeyGroupOptions } from './key-group.js';

const ageRecipient = 'age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj';
const never = (): AbortSignal => new AbortController().signal;
const down: Failure = { class: 'unavailable', code: 'unavailable', advice: 'The backend is down.' };
const fail = (failure: Failure): Promise<never> => Promise.reject(new ProviderError('test', failure));

async function local(t: TestContext, name = 'default'): Promise<Provider> {
  const keyringFile = join(await tempFolder(t), 'keyring.json');
  await createKeyring(keyringFile, name);
  return createLocalProvider({ keyringFile });
}

/** A key whose backend can be switched off. */
function switched(provider: Provider): Provider & { up: boolean } {
  const made = {
    ...provider,
    up: true,
    encrypt: (...args: Parameters<Provider['encrypt']>) => (made.up ? provider.encrypt(...args) : fail(down)),
    decrypt: (...args: Parameters<Provider['decrypt']>) => (made.up ? provider.decrypt(...args) : fail(down)),
  };
  return made;
}

const seal = async (provider: Provider, plaintext = randomBytes(32)): Promise<Unwrap> => {
  const snapshot = provider.snapshot();
  return { ...(await provider.encrypt(snapshot, plaintext, never())), version: 'v2', keyId: snapshot.keyId };
};

function watched(provider: Provider): string[] {
  const seen: string[] = [];
  const host: MemberHost = {
    run: async ({ name, role }, operation, signal, attempt) => {
      let result = 'ok';
      try {
        return await attempt(signal);
      } catch (error) {
        result = error instanceof ProviderError ? error.failure.class : 'stranger';
        throw error;
      } finally {
        seen.push(`${role} ${name} ${operation} ${result}`);
      }
    },
    missing: (recipient, operation) => seen.push(`missing ${recipient} ${operation}`),
    altered: (recipient) => seen.push(`altered ${recipient}`),
  };
  provider.attach?.(host);
  return seen;
}

const failing =
  (failureClass: FailureClass, message = /./) =>
  (error: unknown) => {
    assert.ok(error instanceof ProviderError, String(error));
    assert.equal(error.failure.class, failureClass, error.message);
    assert.match(error.message, message);
    return true;
  };

testProviderContract('a group', async (t) =>
  createKeyGroup({
    primary: { provider: await local(t) },
    recipients: [
      { name: 'second', provider: await local(t) },
      { name: 'escrow', escrow: await createEscrowKey(ageRecipient) },
    ],
    readers: [{ name: 'old', provider: await local(t, 'old') }],
  }),
);

test("the primary's ciphertext and key id are what it makes alone; recipients lie in annotations of their own", async (t) => {
  const primary = await local(t);
  const group = createKeyGroup({
    primary: { provider: primary },
    recipients: [
      { name: 'second', provider: await local(t) },
      { name: 'escrow', escrow: await createEscrowKey(ageRecipient) },
    ],
  });
  const dek = randomBytes(32);
  const value = await seal(group, dek);
  assert.equal(group.snapshot().keyId, primary.snapshot().keyId);
  assert.equal(group.snapshot().recipients.length, 3);
  assert.deepEqual(recipientsOf(value.annotations), ['second', 'escrow']);
  assert.deepEqual(Object.keys(value.annotations), [
    'second.v1.recipients.waxseal.dev',
    'escrow.v1.recipients.waxseal.dev',
  ]);
  assert.deepEqual(await primary.decrypt({ ...value, annotations: {} }, never()), dek);
  for (const bytes of Object.values(value.annotations)) assert.ok(!bytes.includes(dek));
});

test('any single key opens: each one alone, with the others down', async (t) => {
  const keys = [switched(await local(t)), switched(await local(t)), switched(await local(t))] as const;
  const [primary, second, third] = keys;
  const group = createKeyGroup({
    primary: { provider: primary },
    recipients: [
      { name: 'second', provider: second },
      { name: 'third', provider: third },
    ],
  });
  const dek = randomBytes(32);
  const value = await seal(group, dek);
  for (const alone of keys) {
    for (const key of keys) key.up = key === alone;
    assert.deepEqual(await group.decrypt(value, never()), dek);
  }
  for (const key of keys) key.up = false;
  await assert.rejects(group.decrypt(value, never()), failing('unavailable'));
});

test('a recipient that becomes the primary opens what it was a recipient of, the old key gone for good', async (t) => {
  const [lost, kept] = [await local(t), await local(t)];
  const dek = randomBytes(32);
  const value = await seal(
    createKeyGroup({ primary: { name: 'a', provider: lost }, recipients: [{ name: 'b', provider: kept }] }),
    dek,
  );
  const after = createKeyGroup({ primary: { name: 'b', provider: kept } });
  assert.deepEqual(await after.decrypt(value, never()), dek);
});

test('write policies: who must have wrapped', async (t) => {
  const rows: readonly (readonly [KeyGroupOptions['writePolicy'], number, boolean])[] = [
    ['all', 0, true],
    ['all', 1, false],
    ['quorum', 0, true],
    ['quorum', 1, true],
    ['quorum', 2, false],
    ['primary', 2, true],
  ];
  for (const [writePolicy, broken, works] of rows) {
    const recipients = [switched(await local(t)), switched(await local(t))];
    for (const provider of recipients.slice(0, broken)) provider.up = false;
    const group = createKeyGroup({
      primary: { provider: await local(t) },
      recipients: recipients.map((provider, i) => ({ name: `r${i}`, provider })),
      ...(writePolicy && { writePolicy }),
    });
    const seen = watched(group);
    const outcome = await seal(group).then(
      (value) => recipientsOf(value.annotations).length,
      (error: unknown) => error,
    );
    const row = `${writePolicy} with ${broken} down`;
    assert.equal(typeof outcome === 'number', works, row);
    const expected = works ? 2 - broken : undefined;
    assert.equal(typeof outcome === 'number' ? outcome : undefined, expected, row);
    assert.equal(seen.filter((line) => line.startsWith('missing')).length, works ? broken : 0, row);
  }
});

test('a write fails with the name of the recipient that stopped it, and with the primary whatever the policy', async (t) => {
  const second = switched(await local(t));
  const primary = switched(await local(t));
  const group = createKeyGroup({
    primary: { provider: primary },
    recipients: [{ name: 'second', provider: second }],
    writePolicy: 'quorum',
  });
  second.up = false;
  await assert.rejects(seal(group), failing('unavailable', /recipient second: test: The backend is down\./));
  second.up = true;
  primary.up = false;
  await assert.rejects(seal(group), failing('unavailable', /^test: /));
});

test('a recipient that hangs costs its timeout and no more', async (t) => {
  const clock = createFakeClock();
  const group = createKeyGroup({
    clock,
    primary: { provider: await local(t) },
    recipients: [{ name: 'second', provider: createFakeProvider({ encrypt: () => new Promise(() => {}) }) }],
    writePolicy: 'primary',
    recipientTimeoutMs: 500,
  });
  const sealing = seal(group);
  clock.advance(500);
  assert.deepEqual(recipientsOf((await sealing).annotations), []);
});

test('a primary that hangs on Decrypt is overtaken by a recipient', async (t) => {
  const clock = createFakeClock();
  const hanging = { ...(await local(t)) };
  const group = createKeyGroup({
    clock,
    primary: { provider: hanging },
    recipients: [{ name: 'second', provider: await local(t) }],
    fallbackAfterMs: 800,
  });
  const dek = randomBytes(32);
  const value = await seal(group, dek);
  hanging.decrypt = () => new Promise(() => {});
  const opening = group.decrypt(value, never());
  clock.advance(800);
  assert.deepEqual(await opening, dek);
});

test('an annotation of another value, a changed one and one under another name do not open', async (t) => {
  const primary = switched(await local(t));
  const group = createKeyGroup({
    primary: { provider: primary },
    recipients: [
      { name: 'second', provider: await local(t) },
      { name: 'third', provider: await local(t) },
    ],
  });
  const [dek, other] = [randomBytes(32), randomBytes(32)];
  const [value, stranger] = [await seal(group, dek), await seal(group, other)];
  const seen = watched(group);
  const mixed = {
    ...value,
    annotations: { ...value.annotations, [annotationName('second')]: at(stranger, 'second') },
  };
  assert.deepEqual(await group.decrypt(mixed, never()), dek, 'the primary still opens');
  assert.ok(seen.includes('altered second'));
  primary.up = false;
  assert.deepEqual(await group.decrypt(mixed, never()), dek, 'the other recipient still opens');
  const wholly = { ...value, annotations: stranger.annotations };
  await assert.rejects(group.decrypt(wholly, never()), failing('unavailable'));
  primary.up = true;
  await assert.rejects(
    group.decrypt({ ...stranger, ciphertext: flipped(stranger.ciphertext) }, never()),
    failing('corrupt'),
  );
});

test('every truncation and every flipped bit of an annotation is refused, and the value still opens by its primary', async (t) => {
  const primary = switched(await local(t));
  const group = createKeyGroup({
    primary: { provider: primary },
    recipients: [{ name: 'second', provider: await local(t) }],
  });
  const dek = randomBytes(32);
  const value = await seal(group, dek);
  const bytes = at(value, 'second');
  const changed = [
    ...Array.from({ length: bytes.length }, (_, length) => bytes.subarray(0, length)),
    ...Array.from({ length: bytes.length * 8 }, (_, bit) => flipped(bytes, bit)),
    Buffer.concat([bytes, Buffer.from([0])]),
  ];
  for (const annotation of changed) {
    const altered = { ...value, annotations: { [annotationName('second')]: annotation } };
    primary.up = true;
    assert.deepEqual(await group.decrypt(altered, never()), dek);
    primary.up = false;
    await assert.rejects(group.decrypt(altered, never()), (error) => error instanceof ProviderError);
  }
});

test('what anyone could have wrapped with a public key does not open a value that another key calls damaged', async (t) => {
  const forgeable = { ...(await local(t)), forgeable: true };
  const primary = switched(await local(t));
  const group = createKeyGroup({
    primary: { provider: primary },
    recipients: [{ name: 'rsa', provider: forgeable }],
  });
  const dek = randomBytes(32);
  const value = await seal(group, dek);
  primary.up = false;
  assert.deepEqual(await group.decrypt(value, never()), dek, 'while the primary is away it opens');
  // Another key under the same name: every ciphertext is damaged to it.
  const another = createKeyGroup({
    primary: { provider: await local(t) },
    recipients: [{ name: 'rsa', provider: forgeable }],
  });
  await assert.rejects(another.decrypt(value, never()), failing('corrupt'));
});

test('an old key and another plugin read; a reader that is down harms nothing else', async (t) => {
  const [fresh, old] = [await local(t, 'new'), switched(await local(t, 'old'))];
  const foreign = createFakeProvider();
  const [before, elsewhere] = [await seal(old), await seal(foreign, Buffer.from('dek of another plugin'))];
  const group = createKeyGroup({
    primary: { provider: fresh },
    readers: [
      { name: 'old', provider: old },
      { name: 'foreign', provider: foreign },
    ],
  });
  const seen = watched(group);
  assert.equal((await group.decrypt(before, never())).length, 32);
  assert.deepEqual(seen, ['reader old decrypt ok'], 'the key id names it: nobody else is asked');
  assert.equal((await group.decrypt(elsewhere, never())).toString(), 'dek of another plugin');
  assert.equal(
    (await group.decrypt({ ...elsewhere, version: 'v1', keyId: undefined }, never())).toString(),
    'dek of another plugin',
  );
  assert.ok(group.recognizes(before) && group.recognizes(elsewhere));
  old.up = false;
  await assert.rejects(group.decrypt(before, never()), failing('unavailable'));
  const now = await seal(group);
  assert.equal((await group.decrypt(now, never())).length, 32);
  assert.equal(seen.at(-1), 'primary primary decrypt ok');
});

test('the way back: the old key as primary reads what the new one wrote', async (t) => {
  const [a, b] = [await local(t, 'a'), await local(t, 'b')];
  const there = await seal(
    createKeyGroup({ primary: { provider: b }, readers: [{ name: 'a', provider: a }] }),
  );
  const back = createKeyGroup({ primary: { provider: a }, readers: [{ name: 'b', provider: b }] });
  assert.equal((await back.decrypt(there, never())).length, 32);
});

test('the snapshot changes as a whole when any key does; the key id only on request', async (t) => {
  const keyringFile = join(await tempFolder(t), 'keyring.json');
  await createKeyring(keyringFile);
  const second = await createLocalProvider({ keyringFile });
  const primary = await local(t);
  const make = (recipientsInKeyId: boolean): Provider =>
    createKeyGroup({
      primary: { provider: primary },
      recipients: [{ name: 'second', provider: second }],
      recipientsInKeyId,
    });
  const [plain, covering] = [make(false), make(true)];
  const [first, firstCovering] = [plain.snapshot(), covering.snapshot()];
  const value = await seal(covering);
  assert.match(firstCovering.keyId, /^local:default:1:[0-9a-f]{16}\+recipients-[0-9a-f]{16}$/);
  await rotateKeyring(keyringFile);
  await plain.reload();
  assert.notEqual(plain.snapshot(), first);
  assert.notDeepEqual(plain.snapshot().recipients, first.recipients);
  assert.equal(plain.snapshot().keyId, first.keyId);
  assert.notEqual(covering.snapshot().keyId, firstCovering.keyId);
  assert.equal(plain.snapshot(), plain.snapshot());
  for (const group of [plain, covering]) assert.equal((await group.decrypt(value, never())).length, 32);
});

test('a recipient that knows its key only once it was reached is part of the first value already', async (t) => {
  const known = await local(t);
  let reached = false;
  const late: Provider = {
    ...known,
    snapshot: () => (reached ? known.snapshot() : noKeyYet),
    encrypt: async (used, ...rest) => {
      reached = true;
      return used === noKeyYet ? fail(down) : known.encrypt(used, ...rest);
    },
  };
  const group = createKeyGroup({
    primary: { provider: await local(t) },
    recipients: [{ name: 'late', provider: late }],
  });
  assert.deepEqual(recipientsOf((await seal(group)).annotations), ['late']);
  const waiting = createKeyGroup({ primary: { provider: { ...known, snapshot: () => noKeyYet } } });
  assert.equal(waiting.snapshot(), noKeyYet, 'without a primary there is nothing to name');
});

test('no bytes make the parser of annotations throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      const parsed = parseAnnotation(Buffer.from([1, 1, ...bytes]));
      assert.ok(parsed === undefined || parsed.tag.length === 32);
    }),
    { numRuns: 2000, verbose: 1 },
  );
});

test('names are checked, RSA escrow keys wrap what fits, and a private half is refused', async (t) => {
  const provider = await local(t);
  const invalid = (error: unknown): boolean =>
    error instanceof KmsPluginError && error.code === 'invalid_options';
  for (const name of ['', 'Upper', 'a.b', '-a', 'primary', 'a'.repeat(64)]) {
    assert.throws(
      () => createKeyGroup({ primary: { provider }, recipients: [{ name, provider }] }),
      invalid,
      name,
    );
  }
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
  const group = createKeyGroup({
    primary: { provider },
    recipients: [{ name: 'safe', escrow: await createEscrowKey(pem) }],
  });
  const wrapping = parseAnnotation(at(await seal(group), 'safe'));
  assert.equal(wrapping?.kind, 'rsa-oaep-256');
  assert.equal(wrapping.ciphertext.length, 256);
  await assert.rejects(seal(group, randomBytes(191)), failing('user-induced', /recipient safe: .*190 bytes/));
  for (const text of [
    privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    `${ageRecipient.slice(0, -1)}q`,
    'ssh-ed25519 AAAA',
    '',
    generateKeyPairSync('rsa', { modulusLength: 1024 })
      .publicKey.export({ type: 'spki', format: 'pem' })
      .toString(),
  ]) {
    await assert.rejects(createEscrowKey(text), invalid);
  }
});

function at(value: Unwrap, recipient: string): Buffer {
  const bytes = value.annotations[annotationName(recipient)];
  assert.ok(bytes !== undefined);
  return bytes;
}

function flipped(bytes: Buffer, bit = 8 * bytes.length - 1): Buffer {
  const copy = Buffer.from(bytes);
  copy.writeUInt8(copy.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
  return copy;
}
