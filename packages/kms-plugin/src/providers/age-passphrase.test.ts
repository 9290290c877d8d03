/**
 * Goal: an encrypted keyring is a file of age, and nothing but its passphrase opens it. Method: age's own TypeScript implementation
 * reads what we write, and we read what it writes.
 */
import assert from 'node:assert/strict';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { armor, Decrypter, Encrypter, generateX25519Identity, identityToRecipient } from 'age-encryption';
import { testProviderContract } from '../contract/provider-contract.js';
import { KmsPluginError, type KmsPluginErrorCode } from '../errors.js';
import { tempFolder } from '../testing/temp-folder.js';
import { createLocalProvider } from './local.js';
import {
  createKeyring,
  isKeyringEncrypted,
  readKeyring,
  rotateKeyring,
  setKeyringPassphrase,
} from './local-keyring.js';

const phrase = 'correct horse battery staple ✓';
const passphrase = async (): Promise<Buffer> => Buffer.from(phrase);
const another = async (): Promise<Buffer> => Buffer.from('another one');

const failing = (code: KmsPluginErrorCode, message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof KmsPluginError, String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.message, message);
  assert.ok(!JSON.stringify(error).includes(phrase));
  return true;
};

async function encryptedKeyring(t: TestContext): Promise<string> {
  const path = join(await tempFolder(t), 'keyring.age');
  await createKeyring(path, 'default', undefined, passphrase);
  return path;
}

/** With scrypt's lowest work factor, for tests that open it often. */
async function encryptCheaply(text: string): Promise<Buffer> {
  const encrypter = new Encrypter();
  encrypter.setPassphrase(phrase);
  encrypter.setScryptWorkFactor(1);
  return Buffer.from(await encrypter.encrypt(text));
}

testProviderContract('local, encrypted', async (t) => {
  const path = join(await tempFolder(t), 'keyring.json');
  await createKeyring(path);
  await writeFile(path, await encryptCheaply(await readFile(path, 'utf8')));
  return createLocalProvider({ keyringFile: path, passphrase });
});

test('age reads an encrypted keyring, and a rotated one stays encrypted and private', async (t) => {
  const path = await encryptedKeyring(t);
  const [first] = await readKeyring(path, passphrase);
  assert.equal((await rotateKeyring(path, undefined, passphrase)).version, 2);
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  assert.equal(await isKeyringEncrypted(path), true);
  const decrypter = new Decrypter();
  decrypter.addPassphrase(phrase);
  const text = await decrypter.decrypt(armor.decode(await readFile(path, 'utf8')), 'text');
  const { keys } = JSON.parse(text) as { keys: { version: number; key: string }[] };
  assert.deepEqual(
    keys.map(({ version }) => version),
    [2, 1],
  );
  assert.equal(keys[1]?.key, first?.key.toString('base64'));
});

test('what age wrote with a passphrase is read, armored or not', async (t) => {
  const path = join(await tempFolder(t), 'keyring.age');
  const key = Buffer.alloc(32, 7);
  const document = { apiVersion: 'waxseal.dev/v1', kind: 'Keyring' };
  const keys = [{ name: 'main', version: 3, key: key.toString('base64') }];
  const file = await encryptCheaply(JSON.stringify({ ...document, keys }));
  for (const written of [file, armor.encode(file)]) {
    await writeFile(path, written, { mode: 0o600 });
    assert.deepEqual(await readKeyring(path, passphrase), [{ name: 'main', version: 3, key }]);
  }
});

test('a passphrase is put on a plain keyring, and changed', async (t) => {
  const path = join(await tempFolder(t), 'keyring.json');
  await createKeyring(path);
  const keys = await readKeyring(path);
  await assert.rejects(readKeyring(path, passphrase), failing('keyring_invalid', /is not encrypted/));
  await setKeyringPassphrase(path, another);
  await assert.rejects(readKeyring(path), failing('keyring_passphrase_missing', /--passphrase-file/));
  await assert.rejects(readKeyring(path, passphrase), failing('keyring_passphrase_wrong', /does not open/));
  await setKeyringPassphrase(path, passphrase, another);
  assert.deepEqual(await readKeyring(path, passphrase), keys);
  const before = await readFile(path);
  await assert.rejects(
    setKeyringPassphrase(path, passphrase, another),
    failing('keyring_passphrase_wrong', /does not open/),
  );
  await writeFile(`${path}.new`, '');
  await assert.rejects(
    rotateKeyring(path, undefined, passphrase),
    failing('keyring_exists', /remove .*\.new/),
  );
  assert.deepEqual(await readFile(path), before);
});

test('every truncation of an encrypted keyring is refused, and so is every changed byte', async (t) => {
  const path = join(await tempFolder(t), 'keyring.age');
  const keys = [{ name: 'main', version: 1, key: Buffer.alloc(32, 7).toString('base64') }];
  const file = await encryptCheaply(JSON.stringify({ apiVersion: 'waxseal.dev/v1', kind: 'Keyring', keys }));
  const refused = async (changed: Buffer, what: string): Promise<void> => {
    await writeFile(path, changed, { mode: 0o600 });
    await assert.rejects(readKeyring(path, passphrase), (error) => error instanceof KmsPluginError, what);
  };
  for (let length = 0; length < file.length; length++) {
    await refused(file.subarray(0, length), `first ${length} bytes`);
  }
  for (let index = 0; index < file.length; index++) {
    const changed = Buffer.from(file);
    changed.writeUInt8(changed.readUInt8(index) ^ 1, index);
    await refused(changed, `byte ${index}`);
  }
});

test('files encrypted to keys, or with an excessive work factor, say so', async (t) => {
  const path = join(await tempFolder(t), 'keyring.age');
  const toKey = new Encrypter();
  toKey.addRecipient(await identityToRecipient(await generateX25519Identity()));
  await writeFile(path, await toKey.encrypt('x'), { mode: 0o600 });
  await assert.rejects(readKeyring(path, passphrase), failing('keyring_invalid', /not with a passphrase/));
  const salt = Buffer.alloc(16).toString('base64').replace(/=+$/, '');
  const body = Buffer.alloc(32).toString('base64').replace(/=+$/, '');
  const header = `age-encryption.org/v1\n-> scrypt ${salt} 21\n${body}\n--- ${body}\n`;
  await writeFile(path, Buffer.concat([Buffer.from(header), Buffer.alloc(48)]), { mode: 0o600 });
  await assert.rejects(readKeyring(path, passphrase), failing('keyring_invalid', /work factor 21/));
});
