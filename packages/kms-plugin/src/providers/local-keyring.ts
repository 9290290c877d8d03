/**
 * The keyring file of the local provider: named, versioned 256-bit keys; the first one writes, all of them read.
 *
 * The file is YAML or JSON, mode 0600, plain or encrypted with a passphrase. docs/formats/local-plugin-ciphertext.md describes it.
 */
import { createHash, randomBytes as systemRandomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { open, rename, unlink, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { KmsPluginError } from '../errors.js';
import { decryptWithPassphrase, encryptWithPassphrase, isAgeFile } from './age-passphrase.js';

export interface KeyringKey {
  /** Lower-case letters, digits and dashes; 1..63. */
  readonly name: string;
  /** 1 and up. */
  readonly version: number;
  /** 32 bytes. */
  readonly key: Buffer;
}

/**
 * The passphrase of an encrypted keyring, read whenever the file is read or written. The buffer is overwritten. Given, the keyring must be
 * encrypted.
 */
export type ReadPassphrase = () => Promise<Buffer>;

const keyringApiVersion = 'waxseal.dev/v1';
const keyBytes = 32;
const fileMaxBytes = 1024 * 1024;
const keysMax = 1000;
const namePattern = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/;
// Exactly 32 bytes: 43 digits of which the last carries two zero bits, and one pad.
const keyPattern = /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/;

/**
 * Reads a keyring.
 *
 * @returns at least one key; the first is the one to write with
 * @throws KmsPluginError `keyring_unreadable`, `keyring_not_private`, `keyring_invalid`, `keyring_passphrase_missing` or
 * `keyring_passphrase_wrong`
 */
export async function readKeyring(path: string, passphrase?: ReadPassphrase): Promise<readonly KeyringKey[]> {
  const file = await readPrivateFile(path);
  const text = await decrypted(file, path, passphrase);
  try {
    return parseKeyring(await parseText(text.toString('utf8'), path), path);
  } finally {
    text.fill(0);
  }
}

/**
 * Creates a keyring with one fresh key, encrypted when a passphrase is given.
 *
 * @param name of the key; `default` unless given
 * @throws KmsPluginError `keyring_exists`, `keyring_unreadable` or `keyring_invalid`
 */
export async function createKeyring(
  path: string,
  name = 'default',
  randomBytes: (sizeBytes: number) => Buffer = systemRandomBytes,
  passphrase?: ReadPassphrase,
): Promise<void> {
  const key: KeyringKey = { name, version: 1, key: randomBytes(keyBytes) };
  checkName(name, 'the name', path);
  await writePrivateFile(path, await encrypted(render([key]), passphrase));
  key.key.fill(0);
}

/**
 * Puts a fresh version of the writing key in front; the older ones go on reading.
 *
 * The new file takes the old one's place in one step, so a reader sees either; it is encrypted when the old one was.
 *
 * @returns the new version, and the key id that an API server sees when the plugin writes with it
 * @throws KmsPluginError as `readKeyring`; then the keyring is as it was
 */
export async function rotateKeyring(
  path: string,
  randomBytes: (sizeBytes: number) => Buffer = systemRandomBytes,
  passphrase?: ReadPassphrase,
): Promise<{ readonly version: KeyringKey['version']; readonly keyId: string }> {
  const keys = await readKeyring(path, passphrase);
  const name = keys[0]?.name ?? 'default';
  const version = Math.max(...keys.filter((key) => key.name === name).map((key) => key.version)) + 1;
  const fresh = { name, version, key: randomBytes(keyBytes) };
  const keyId = keyIdOf(fresh);
  await replaceKeyring(path, [fresh, ...keys], passphrase);
  return { version, keyId };
}

/**
 * Encrypts the keyring with another passphrase, or for the first time.
 *
 * @param passphrase of the keyring as it is; undefined while it is plain
 * @throws KmsPluginError as `readKeyring`; then the keyring is as it was
 */
export async function setKeyringPassphrase(
  path: string,
  next: ReadPassphrase,
  passphrase?: ReadPassphrase,
): Promise<void> {
  await replaceKeyring(path, await readKeyring(path, passphrase), next);
}

/** Readers see the old file or the new one; the keys are overwritten. */
async function replaceKeyring(
  path: string,
  keys: readonly KeyringKey[],
  passphrase: ReadPassphrase | undefined,
): Promise<void> {
  const text = await encrypted(render(keys), passphrase);
  for (const { key } of keys) key.fill(0);
  const beside = `${path}.new`;
  await writePrivateFile(beside, text).catch((error: unknown) => {
    if (!(error instanceof KmsPluginError) || error.code !== 'keyring_exists') throw error;
    throw new KmsPluginError(
      'keyring_exists',
      `Somebody else changes the keyring, or was interrupted. If nobody does, remove ${beside} and try again.`,
    );
  });
  await rename(beside, path).catch(async (cause: unknown) => {
    await unlink(beside).catch(() => {});
    throw unreadable(path, cause);
  });
  await syncFolder(path);
}

async function encrypted(text: string, passphrase: ReadPassphrase | undefined): Promise<string> {
  if (passphrase === undefined) return text;
  const secret = await passphrase();
  const plaintext = Buffer.from(text);
  try {
    return await encryptWithPassphrase(plaintext, secret);
  } finally {
    secret.fill(0);
    plaintext.fill(0);
  }
}

async function decrypted(
  file: Buffer,
  path: string,
  passphrase: ReadPassphrase | undefined,
): Promise<Buffer> {
  if (!isAgeFile(file)) {
    if (passphrase === undefined) return file;
    throw new KmsPluginError(
      'keyring_invalid',
      `The keyring ${path} is not encrypted, though a passphrase is given. Encrypt it first: waxseal plugin local set-passphrase`,
    );
  }
  if (passphrase === undefined) {
    throw new KmsPluginError(
      'keyring_passphrase_missing',
      `The keyring ${path} is encrypted, and no passphrase is given. Give it by --passphrase-file or WAXSEAL_PASSPHRASE.`,
    );
  }
  const secret = await passphrase();
  try {
    return await decryptWithPassphrase(file, secret, path);
  } finally {
    secret.fill(0);
  }
}

/** Whether a keyring is encrypted, by its first bytes. @throws KmsPluginError as `readKeyring` */
export async function isKeyringEncrypted(path: string): Promise<boolean> {
  return isAgeFile(await readPrivateFile(path));
}

async function readPrivateFile(path: string): Promise<Buffer> {
  let file: FileHandle;
  try {
    file = await open(path, constants.O_RDONLY);
  } catch (cause) {
    throw unreadable(path, cause);
  }
  try {
    const found = await file.stat();
    if (!found.isFile()) throw new KmsPluginError('keyring_invalid', `The keyring ${path} is not a file.`);
    if ((found.mode & 0o077) !== 0) {
      throw new KmsPluginError(
        'keyring_not_private',
        `Others may read the keyring ${path}. Make it private: chmod 0600 ${shellWord(path)}`,
      );
    }
    if (found.size > fileMaxBytes) {
      throw new KmsPluginError(
        'keyring_invalid',
        `The keyring ${path} is larger than ${fileMaxBytes} bytes.`,
      );
    }
    return await file.readFile();
  } finally {
    await file.close();
  }
}

async function parseText(text: string, path: string): Promise<unknown> {
  try {
    if (text.trimStart().startsWith('{')) return JSON.parse(text);
    // Loaded only when needed: it would double the plugin's start.
    const { parse } = await import('yaml');
    return parse(text, { maxAliasCount: 0, prettyErrors: false });
  } catch {
    // The parser's message may quote the file, and with it a key.
    throw new KmsPluginError('keyring_invalid', `The keyring ${path} is neither JSON nor YAML.`);
  }
}

function parseKeyring(document: unknown, path: string): readonly KeyringKey[] {
  const invalid = (problem: string): KmsPluginError =>
    new KmsPluginError('keyring_invalid', `The keyring ${path} cannot be used: ${problem}.`);
  if (!isRecord(document)) throw invalid('it is not an object');
  if (document['apiVersion'] !== keyringApiVersion) throw invalid(`apiVersion must be ${keyringApiVersion}`);
  if (document['kind'] !== 'Keyring') throw invalid('kind must be Keyring');
  const keys = document['keys'];
  if (!Array.isArray(keys) || keys.length === 0) throw invalid('keys must hold at least one key');
  if (keys.length > keysMax) throw invalid(`keys must hold no more than ${keysMax} keys`);
  const seen = new Set<string>();
  return keys.map((entry: unknown, index) => {
    const field = `keys[${index}]`;
    if (!isRecord(entry)) throw invalid(`${field} is not an object`);
    const { name, version, key } = entry;
    if (typeof name !== 'string') throw invalid(`${field}.name is missing`);
    checkName(name, `${field}.name`, path);
    if (typeof version !== 'number' || !Number.isSafeInteger(version) || version < 1) {
      throw invalid(`${field}.version must be a whole number from 1`);
    }
    if (typeof key !== 'string' || !keyPattern.test(key)) {
      throw invalid(
        `${field}.key must be ${keyBytes} bytes as base64 (make one: head -c ${keyBytes} /dev/urandom | base64)`,
      );
    }
    const id = `${name}/${version}`;
    if (seen.has(id)) throw invalid(`${id} is there twice`);
    seen.add(id);
    return { name, version, key: Buffer.from(key, 'base64') };
  });
}

function checkName(name: string, field: string, path: string): void {
  if (namePattern.test(name)) return;
  throw new KmsPluginError(
    'keyring_invalid',
    `The keyring ${path} cannot be used: ${field} must be 1 to 63 lower-case letters, digits and dashes.`,
  );
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function render(keys: readonly KeyringKey[]): string {
  const document = {
    apiVersion: keyringApiVersion,
    kind: 'Keyring',
    keys: keys.map(({ name, version, key }) => ({ name, version, key: key.toString('base64') })),
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

/** Creates the file, and only creates it, private from its first moment and on disk before this resolves. */
async function writePrivateFile(path: string, text: string): Promise<void> {
  let file: FileHandle;
  try {
    file = await open(path, 'wx', 0o600);
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'EEXIST') {
      throw new KmsPluginError(
        'keyring_exists',
        `${path} exists. A keyring is never overwritten: choose another path.`,
      );
    }
    throw unreadable(path, cause);
  }
  try {
    await file.writeFile(text);
    await file.sync();
  } catch (cause) {
    // Half a keyring would be in the way of the next try.
    await unlink(path).catch(() => {});
    throw cause;
  } finally {
    await file.close();
  }
  await syncFolder(path);
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(dirname(path), constants.O_RDONLY);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function unreadable(path: string, cause: unknown): KmsPluginError {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error';
  const advice =
    code === 'ENOENT'
      ? 'Check the path, or create a keyring there'
      : 'Check the permissions of the file and its folder';
  return new KmsPluginError(
    'keyring_unreadable',
    `The keyring ${path} cannot be opened (${code}). ${advice}.`,
    cause,
  );
}

/** As a POSIX shell takes it, so that the command can be pasted. */
function shellWord(path: string): string {
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
}

/**
 * `local:NAME:VERSION:FINGERPRINT`. The fingerprint makes another key under the same name another key id: 64 bits of
 * SHA-256 over the random key say nothing about it.
 */
export function keyIdOf({ name, version, key }: KeyringKey): string {
  const fingerprint = createHash('sha256')
    .update('waxseal local key id')
    .update(key)
    .digest('hex')
    .slice(0, 16);
  return `local:${name}:${version}:${fingerprint}`;
}
