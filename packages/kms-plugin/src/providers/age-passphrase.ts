/**
 * Files encrypted with a passphrase, in age's format (age-encryption.org/v1, its scrypt recipient): what `age -p` writes and `age -d` reads.
 *
 * The format is `age-encryption`'s; the one stanza is made here, since that library's scrypt runs on the event loop, where half a second
 * would hold up every call of the plugin.
 */
import { createCipheriv, createDecipheriv, randomBytes, scrypt } from 'node:crypto';
import type { Identity, Recipient, Stanza } from 'age-encryption';
import { KmsPluginError } from '../errors.js';

/** log2 of scrypt's N: half a second and 256 MiB, the same as age. */
const workFactor = 18;
/** More is refused: it takes a gigabyte and several seconds. */
const workFactorMax = 20;
const blockSize = 8;
const saltBytes = 16;
const keyBytes = 32;
const fileKeyBytes = 16;
const tagBytes = 16;
const label = Buffer.from('age-encryption.org/v1/scrypt');
/** The wrapping key is used once. */
const nonce = Buffer.alloc(12);

const binaryStart = 'age-encryption.org/v1\n';
const armorStart = '-----BEGIN AGE ENCRYPTED FILE-----';

/** True when the file begins as one of age does, armored or not. */
export function isAgeFile(file: Buffer): boolean {
  return [binaryStart, armorStart].some(
    (start) => file.subarray(0, start.length).toString('latin1') === start,
  );
}

/** @returns an armored file: text, as a keyring is otherwise */
export async function encryptWithPassphrase(plaintext: Buffer, passphrase: Buffer): Promise<string> {
  const { armor, Encrypter } = await import('age-encryption');
  const encrypter = new Encrypter();
  encrypter.addRecipient(await passphraseRecipient(passphrase));
  return armor.encode(await encrypter.encrypt(plaintext));
}

/**
 * @param path named in errors
 * @throws KmsPluginError `keyring_passphrase_wrong` or `keyring_invalid`
 */
export async function decryptWithPassphrase(file: Buffer, passphrase: Buffer, path: string): Promise<Buffer> {
  const { armor, Decrypter } = await import('age-encryption');
  try {
    const armored = file.subarray(0, armorStart.length).toString('latin1') === armorStart;
    const decrypter = new Decrypter();
    decrypter.addIdentity(passphraseIdentity(passphrase, path));
    return Buffer.from(await decrypter.decrypt(armored ? armor.decode(file.toString('latin1')) : file));
  } catch (error) {
    if (error instanceof KmsPluginError) throw error;
    throw invalid(path, 'it is damaged, or no file of age', error);
  }
}

async function passphraseRecipient(passphrase: Buffer): Promise<Recipient> {
  const { Stanza } = await import('age-encryption');
  return {
    wrapFileKey: async (fileKey) => {
      const salt = randomBytes(saltBytes);
      const key = await deriveKey(passphrase, salt, workFactor);
      const cipher = createCipheriv('chacha20-poly1305', key, nonce, { authTagLength: tagBytes });
      const body = Buffer.concat([cipher.update(fileKey), cipher.final(), cipher.getAuthTag()]);
      key.fill(0);
      return [new Stanza(['scrypt', unpadded(salt), String(workFactor)], body)];
    },
  };
}

function passphraseIdentity(passphrase: Buffer, path: string): Identity {
  return {
    unwrapFileKey: async (stanzas) => {
      const { salt, logN, body } = parseStanza(stanzas, path);
      const key = await deriveKey(passphrase, salt, logN);
      const decipher = createDecipheriv('chacha20-poly1305', key, nonce, { authTagLength: tagBytes });
      decipher.setAuthTag(body.subarray(fileKeyBytes));
      const fileKey = decipher.update(body.subarray(0, fileKeyBytes));
      key.fill(0);
      try {
        decipher.final();
      } catch {
        throw new KmsPluginError(
          'keyring_passphrase_wrong',
          `The passphrase does not open the keyring ${path}. Give the one it was encrypted with.`,
        );
      }
      return fileKey;
    },
  };
}

/** A scrypt stanza stands alone (C2SP age, "The scrypt recipient type"): whoever knows the passphrase made the file. */
function parseStanza(
  stanzas: readonly Stanza[],
  path: string,
): { readonly salt: Buffer; readonly logN: number; readonly body: Buffer } {
  const [stanza, another] = stanzas;
  const [type, salt, logN, more] = stanza?.args ?? [];
  if (stanza === undefined || another !== undefined || type !== 'scrypt') {
    throw invalid(path, 'it is encrypted to keys and not with a passphrase; encrypt it with `age -p`');
  }
  const saltRead = Buffer.from(salt ?? '', 'base64');
  if (saltRead.length !== saltBytes || unpadded(saltRead) !== salt || more !== undefined) {
    throw invalid(path, 'its header is damaged');
  }
  if (!/^[1-9]\d?$/.test(logN ?? '') || stanza.body.length !== fileKeyBytes + tagBytes) {
    throw invalid(path, 'its header is damaged');
  }
  if (Number(logN) > workFactorMax) {
    throw invalid(
      path,
      `its scrypt work factor ${logN} is above ${workFactorMax}; encrypt it again with less`,
    );
  }
  return { salt: saltRead, logN: Number(logN), body: Buffer.from(stanza.body) };
}

function deriveKey(passphrase: Buffer, salt: Buffer, logN: number): Promise<Buffer> {
  const cost = 2 ** logN;
  // What scrypt needs is 128 · N · r and a little for p.
  const maxmem = 128 * (cost + 2) * blockSize + 1024 * 1024;
  return new Promise((resolve, reject) => {
    scrypt(
      passphrase,
      Buffer.concat([label, salt]),
      keyBytes,
      { N: cost, r: blockSize, p: 1, maxmem },
      (error, key) => (error === null ? resolve(key) : reject(error)),
    );
  });
}

const unpadded = (bytes: Buffer): string => bytes.toString('base64').replace(/=+$/, '');

function invalid(path: string, problem: string, cause?: unknown): KmsPluginError {
  return new KmsPluginError('keyring_invalid', `The keyring ${path} cannot be used: ${problem}.`, cause);
}
