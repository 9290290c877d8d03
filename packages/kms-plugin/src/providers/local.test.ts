import assert from 'node:assert/strict';
import { chmod, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { testProviderContract } from '../contract/provider-contract.js';
import { KmsPluginError, ProviderError, type KmsPluginErrorCode } from '../errors.js';
import { tempFolder } from '../testing/temp-folder.js';
import { createLocalProvider } from './local.js';
import { createKeyring, readKeyring, rotateKeyring } from './local-keyring.js';

async function keyring(t: TestContext): Promise<string> {
  const path = join(await tempFolder(t), 'keyring.json');
  await createKeyring(path);
  return path;
}

const failing = (code: KmsPluginErrorCode, message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof KmsPluginError, String(error));
  assert.equal(error.code, code);
  assert.match(error.message, message);
  return true;
};

testProviderContract('local', async (t) => createLocalProvider({ keyringFile: await keyring(t) }));

test('a keyring is created private and is never overwritten', async (t) => {
  const path = await keyring(t);
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  const before = await readFile(path, 'utf8');
  await assert.rejects(createKeyring(path), failing('keyring_exists', /never overwritten/));
  assert.equal(await readFile(path, 'utf8'), before);
});

test('a keyring that others may read is refused with the command that mends it', async (t) => {
  const path = await keyring(t);
  for (const mode of [0o640, 0o604, 0o660]) {
    await chmod(path, mode);
    await assert.rejects(readKeyring(path), failing('keyring_not_private', /chmod 0600/));
  }
});

test('after a rotation the new key writes and the old one still reads', async (t) => {
  const path = await keyring(t);
  const signal = new AbortController().signal;
  const provider = await createLocalProvider({ keyringFile: path });
  t.after(() => provider.close());
  const old = provider.snapshot();
  const before = await provider.encrypt(old, Buffer.from('dek'), signal);
  await rotateKeyring(path);
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  assert.equal(provider.snapshot(), old, 'nothing changes before the reload');
  await provider.reload();
  assert.match(provider.snapshot().keyId, /^local:default:2:/);
  const late = await provider.encrypt(old, Buffer.from('late'), signal);
  for (const [wrapped, plaintext] of [
    [before, 'dek'],
    [late, 'late'],
  ] as const) {
    const opened = await provider.decrypt({ ...wrapped, version: 'v2', keyId: old.keyId }, signal);
    assert.equal(opened.toString(), plaintext);
  }
});

test('a reload of a broken keyring changes nothing', async (t) => {
  const path = await keyring(t);
  const provider = await createLocalProvider({ keyringFile: path });
  t.after(() => provider.close());
  const snapshot = provider.snapshot();
  await writeFile(path, '{');
  await assert.rejects(provider.reload(), failing('keyring_invalid', /neither JSON nor YAML/));
  const wrapped = await provider.encrypt(snapshot, Buffer.from('dek'), new AbortController().signal);
  assert.ok(wrapped.ciphertext.includes(snapshot.keyId));
});

test('a ciphertext of a key that is not in the keyring says so', async (t) => {
  const [one, two] = [await keyring(t), await keyring(t)];
  const [writer, reader] = [
    await createLocalProvider({ keyringFile: one }),
    await createLocalProvider({ keyringFile: two }),
  ];
  const signal = new AbortController().signal;
  const wrapped = await writer.encrypt(writer.snapshot(), Buffer.from('dek'), signal);
  await assert.rejects(
    reader.decrypt({ ...wrapped, version: 'v1', keyId: undefined }, signal),
    (error) =>
      error instanceof ProviderError &&
      error.failure.code === 'failed_precondition' &&
      /put that key back/.test(error.message),
  );
});

test('YAML is read as well', async (t) => {
  const path = join(await tempFolder(t), 'keyring.yaml');
  const key = Buffer.alloc(32, 7).toString('base64');
  const text = `apiVersion: waxseal.dev/v1\nkind: Keyring\nkeys:\n  - name: main\n    version: 3\n    key: ${key}\n`;
  await writeFile(path, text, { mode: 0o600 });
  assert.deepEqual(await readKeyring(path), [{ name: 'main', version: 3, key: Buffer.alloc(32, 7) }]);
});

test('a keyring that cannot be used says where, and never quotes itself', async (t) => {
  const folder = await tempFolder(t);
  const secret = Buffer.alloc(32, 9).toString('base64');
  const one = { name: 'a', version: 1, key: secret };
  const document = (keys: unknown): string =>
    JSON.stringify({ apiVersion: 'waxseal.dev/v1', kind: 'Keyring', keys });
  const cases: readonly (readonly [string, RegExp])[] = [
    ['', /not an object/],
    ['[]', /not an object/],
    [`{"keys": "${secret}`, /neither/],
    [`a: "${secret}\n b`, /neither/],
    [`a: &x ${secret}\nb: *x\n`, /neither|apiVersion/],
    [JSON.stringify({ kind: 'Keyring', keys: [one] }), /apiVersion/],
    [JSON.stringify({ apiVersion: 'waxseal.dev/v1', keys: [one] }), /kind/],
    [document([]), /at least one key/],
    [document({}), /at least one key/],
    [document([secret]), /keys\[0\] is not an object/],
    [document([one, { ...one, name: 'Not A Name' }]), /keys\[1\]\.name/],
    [document([{ ...one, version: 0 }]), /keys\[0\]\.version/],
    [document([{ ...one, version: '1' }]), /keys\[0\]\.version/],
    [document([{ ...one, key: Buffer.alloc(31).toString('base64') }]), /keys\[0\]\.key must be 32 bytes/],
    [document([{ ...one, key: Buffer.alloc(33).toString('base64') }]), /keys\[0\]\.key/],
    [document([one, one]), /a\/1 is there twice/],
    [document(Array.from({ length: 1001 }, (_, i) => ({ ...one, version: i + 1 }))), /no more than 1000/],
    [' '.repeat(1024 * 1024 + 1), /larger than/],
  ];
  for (const [index, [text, message]] of cases.entries()) {
    const path = join(folder, `k${index}`);
    await writeFile(path, text, { mode: 0o600 });
    await assert.rejects(readKeyring(path), (error: unknown) => {
      assert.ok(!String(error).includes(secret));
      return failing('keyring_invalid', message)(error);
    });
  }
  await assert.rejects(readKeyring(folder), failing('keyring_invalid', /not a file/));
  await assert.rejects(readKeyring(join(folder, 'absent')), failing('keyring_unreadable', /ENOENT/));
  await assert.rejects(createKeyring(join(folder, 'x'), 'Bad Name'), failing('keyring_invalid', /the name/));
});
