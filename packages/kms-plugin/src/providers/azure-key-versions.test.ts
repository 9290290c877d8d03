/** Versions of a Key Vault key: which one writes, which one reads, what is said of them. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import type { Provider } from '../provider.js';
import { testKeyVersion, type TestKeyVersion, type TestVault } from '../testing/azure-key-vault-server.js';
import {
  createAzureTestMaterial,
  failing,
  never,
  open,
  seal,
  startAzureTest,
} from '../testing/azure-provider.js';
import { keyIdOf } from './azure-key-url.js';

const material = await createAzureTestMaterial();
const daySeconds = 86_400;
const nowMs = 1_800_000_000_000;
const pollIntervalMs = 1000;

interface Rotating {
  readonly vault: TestVault;
  readonly provider: Provider;
  readonly first: TestKeyVersion;
  /** Adds a version, newer than all. */
  rotate: (overrides?: Partial<TestKeyVersion>) => TestKeyVersion;
  /** Time passes until the vault may be asked again. */
  pass: () => void;
  /** That, and the answer is there. */
  poll: () => Promise<void>;
  keyIdOf: (version: TestKeyVersion) => string;
}

async function startRotating(t: TestContext, pinned = false): Promise<Rotating> {
  const time = { ms: nowMs };
  const test = await startAzureTest(t, material, { nowMs: () => time.ms });
  const { vault, version: first } = test;
  const keyUrl = `${vault.vaultUrl}/keys/k8s${pinned ? `/${first.version}` : ''}`;
  const provider = await test.create({ keyUrl, pollIntervalMs }, { nowMs: () => time.ms });
  return {
    vault,
    provider,
    first,
    rotate: (overrides = {}) => {
      const createdSeconds = first.createdSeconds + vault.versions.length;
      const version = testKeyVersion(material.rsa, { createdSeconds, ...overrides });
      vault.versions.push(version);
      return version;
    },
    pass: () => {
      time.ms += pollIntervalMs;
    },
    poll: async () => {
      time.ms += pollIntervalMs;
      await provider.describe?.(never());
    },
    keyIdOf: ({ version }) => keyIdOf(`${vault.vaultUrl}/keys/k8s/${version}`),
  };
}

test('without a pinned version the newest writes, from the first call on', async (t) => {
  const { provider, first, keyIdOf: idOf } = await startRotating(t);
  const before = provider.snapshot();
  assert.equal(before.keyVersion, undefined);
  const wrapped = await seal(provider, 'dek');
  assert.equal(wrapped.keyId, idOf(first));
  assert.equal(provider.snapshot().keyVersion, first.version);
  assert.equal(await open(provider, wrapped), 'dek');
  assert.equal(
    await open(provider, { ...wrapped, keyId: before.keyId }),
    'dek',
    'the key id of the first moment',
  );
});

test('a new version takes over as a whole, and the old one still reads', async (t) => {
  const { provider, first, rotate, poll, keyIdOf: idOf } = await startRotating(t);
  const old = await seal(provider, 'old');
  const [snapshot, second] = [provider.snapshot(), rotate()];
  assert.equal((await seal(provider, 'still old')).keyId, idOf(first));
  await poll();
  assert.notEqual(provider.snapshot(), snapshot);
  assert.ok(Object.isFrozen(provider.snapshot()));
  const fresh = await seal(provider, 'new');
  assert.equal(fresh.keyId, idOf(second));
  assert.equal(fresh.annotations['key-version.azure.akv.io']?.toString(), second.version);
  assert.equal(await open(provider, old), 'old');
  assert.equal(await open(provider, fresh), 'new');
  // A write that began before the change is wrapped under what it began with.
  const late = await provider.encrypt(snapshot, Buffer.from('late'), never());
  assert.equal(late.annotations['key-version.azure.akv.io']?.toString(), first.version);
});

test('a write asks for a newer version by itself once it is time, and does not wait for the answer', async (t) => {
  const { vault, provider, first, rotate, pass, keyIdOf: idOf } = await startRotating(t);
  await seal(provider, 'dek');
  const second = rotate();
  const gets = (): number => vault.calls.filter(({ method }) => method === 'GET').length;
  const before = gets();
  await Promise.all([seal(provider, 'a'), seal(provider, 'b')]);
  assert.equal(gets(), before, 'not yet');
  pass();
  const snapshot = provider.snapshot();
  await Promise.all([seal(provider, 'a'), seal(provider, 'b')]);
  for (let turns = 0; provider.snapshot() === snapshot && turns < 1000; turns++) await setTimeout(1);
  assert.equal(gets(), before + 1, 'one question for all');
  assert.deepEqual([snapshot.keyId, provider.snapshot().keyId], [idOf(first), idOf(second)]);
});

test('a pinned version stays, however many newer ones there are', async (t) => {
  const { provider, first, rotate, poll, keyIdOf: idOf } = await startRotating(t, true);
  rotate();
  await poll();
  assert.equal((await seal(provider, 'dek')).keyId, idOf(first));
});

test('a version that cannot write is passed over for the newest that can', async (t) => {
  const { provider, first, rotate, poll, keyIdOf: idOf } = await startRotating(t);
  rotate({ enabled: false });
  rotate({ notBeforeSeconds: nowMs / 1000 + daySeconds });
  rotate({ expiresSeconds: nowMs / 1000 - daySeconds });
  await poll();
  assert.equal((await seal(provider, 'dek')).keyId, idOf(first));
});

test('a disabled version writes nothing more, though the vault itself would let it', async (t) => {
  for (const pinned of [true, false]) {
    const { vault, provider, first, poll } = await startRotating(t, pinned);
    const wrapped = await seal(provider, 'dek');
    first.enabled = false;
    await poll();
    const encrypts = (): number => vault.calls.filter(({ path }) => path.endsWith('/encrypt')).length;
    const before = encrypts();
    await assert.rejects(seal(provider, 'dek'), failing('user-induced', /disabled; enable it/));
    assert.equal(encrypts(), before);
    await assert.rejects(open(provider, wrapped), failing('user-induced', /disabled; enable it/));
    first.enabled = true;
    assert.equal(await open(provider, wrapped), 'dek');
    assert.equal(
      (await seal(provider, 'dek')).keyId,
      wrapped.keyId,
      'at once, without waiting for the next poll',
    );
  }
});

test('a disabled version makes room for a new one at once', async (t) => {
  const { provider, first, rotate, poll, keyIdOf: idOf } = await startRotating(t);
  await seal(provider, 'dek');
  first.enabled = false;
  await poll();
  const second = rotate();
  await assert.rejects(seal(provider, 'dek'), failing('user-induced', /disabled/));
  assert.equal((await seal(provider, 'dek')).keyId, idOf(second));
});

test('a value of an old version without our annotation is found by its key id, and by trying', async (t) => {
  const { vault, provider, rotate, poll } = await startRotating(t);
  const old = await seal(provider, 'old');
  rotate();
  rotate();
  await poll();
  const { 'key-version.azure.akv.io': _ours, ...annotations } = old.annotations;
  assert.equal(await open(provider, { ...old, annotations }), 'old');
  const lists = vault.calls.filter(({ path }) => path.endsWith('/versions')).length;
  assert.equal(lists, 1);
  assert.equal(
    await open(provider, { ciphertext: old.ciphertext, annotations: {}, version: 'v1', keyId: undefined }),
    'old',
  );
  await assert.rejects(
    open(provider, { ...old, annotations, keyId: '0'.repeat(64) }),
    failing('corrupt', /another key/),
  );
});

test('an identity that may only encrypt and decrypt works with a pinned version', async (t) => {
  const { vault, provider } = await startRotating(t, true);
  vault.mayGet = false;
  const { 'key-version.azure.akv.io': _ours, ...annotations } = (await seal(provider, 'dek')).annotations;
  const wrapped = await seal(provider, 'dek');
  assert.equal(await open(provider, { ...wrapped, annotations }), 'dek');
  assert.equal(
    await open(provider, {
      ciphertext: wrapped.ciphertext,
      annotations: {},
      version: 'v1',
      keyId: undefined,
    }),
    'dek',
  );
  await assert.rejects(provider.describe?.(never()) ?? Promise.resolve(), failing('denied', /Crypto User/));
});

test('an expired version still reads: the vault lets it, and so does the plugin', async (t) => {
  const { provider, first, poll } = await startRotating(t, true);
  const wrapped = await seal(provider, 'dek');
  first.expiresSeconds = nowMs / 1000 - 1;
  await poll();
  assert.equal(await open(provider, wrapped), 'dek');
  await assert.rejects(seal(provider, 'dek'), failing('user-induced', /expired/));
});

test('what the vault says of a key becomes its condition', async (t) => {
  const { vault, provider, first } = await startRotating(t, true);
  const condition = (): unknown => provider.describe?.(never());
  assert.deepEqual(await condition(), { state: 'usable', warnings: [] });
  first.expiresSeconds = nowMs / 1000 + 10 * daySeconds;
  assert.deepEqual(await condition(), {
    state: 'usable',
    warnings: ['The version expires on 2027-01-25, in 10 days; it then only reads.'],
  });
  first.expiresSeconds = nowMs / 1000 - daySeconds;
  assert.deepEqual(await condition(), {
    state: 'expired',
    warnings: ['The version expired on 2027-01-14: it writes no more, and still reads.'],
  });
  delete first.expiresSeconds;
  first.notBeforeSeconds = nowMs / 1000 + daySeconds;
  first.operations = ['encrypt'];
  vault.recoveryLevel = 'Recoverable+Purgeable';
  assert.deepEqual(await condition(), {
    state: 'usable',
    warnings: [
      'The version writes only from 2027-01-16 on.',
      'The key operations do not permit decrypt.',
      'The vault has no purge protection: a deleted key can be destroyed within its 90 days.',
    ],
  });
  delete first.notBeforeSeconds;
  first.operations = ['encrypt', 'decrypt'];
  vault.recoveryLevel = 'Purgeable';
  first.enabled = false;
  assert.deepEqual(await condition(), {
    state: 'disabled',
    warnings: ['The vault has no soft delete: a deleted key is lost at once.'],
  });
});

test('a deleted key is unreadable at once and can be recovered until its purge; then it is gone', async (t) => {
  const { vault, provider } = await startRotating(t);
  const wrapped = await seal(provider, 'dek');
  const deletedSeconds = nowMs / 1000 - daySeconds;
  vault.deleted = { deletedSeconds, purgeSeconds: nowMs / 1000 + 89 * daySeconds };
  assert.deepEqual(await provider.describe?.(never()), {
    state: 'pending-deletion',
    unreadableFromMs: deletedSeconds * 1000,
    warnings: ['The key is deleted and will be destroyed on 2027-04-14; recover it before.'],
  });
  await assert.rejects(open(provider, wrapped), failing('user-induced', /recover it/));
  vault.deleted = undefined;
  assert.equal(await open(provider, wrapped), 'dek');
  vault.versions.length = 0;
  assert.deepEqual(await provider.describe?.(never()), { state: 'gone', warnings: [] });
});
