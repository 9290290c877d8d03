/** Transit keys as the engine of Vault keeps them, for tests: versions, limits on versions, contexts and associated data. */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';

type Fields = Readonly<Record<string, unknown>>;

/** What the engine says no with: a status and the `errors` of the body. */
export class TransitRefusal extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export interface TestTransitKey {
  readonly versions: { readonly material: Buffer; readonly madeAtSeconds: number }[];
  derived: boolean;
  minDecryptionVersion: number;
  minEncryptionVersion: number;
  minAvailableVersion: number;
  deletionAllowed: boolean;
  softDeleted: boolean;
}

export function createTransitKey(madeAtSeconds: number): TestTransitKey {
  return {
    versions: [{ material: randomBytes(32), madeAtSeconds }],
    derived: false,
    minDecryptionVersion: 1,
    minEncryptionVersion: 0,
    minAvailableVersion: 0,
    deletionAllowed: false,
    softDeleted: false,
  };
}

export function rotateTransitKey(key: TestTransitKey, madeAtSeconds: number): void {
  key.versions.push({ material: randomBytes(32), madeAtSeconds });
}

export function describeTransitKey(name: string, key: TestTransitKey): Fields {
  const readable = key.versions.map((version, index) => [String(index + 1), version.madeAtSeconds] as const);
  return {
    name,
    type: 'aes256-gcm96',
    derived: key.derived,
    exportable: false,
    allow_plaintext_backup: false,
    auto_rotate_period: 0,
    deletion_allowed: key.deletionAllowed,
    keys: Object.fromEntries(readable.slice(key.minDecryptionVersion - 1)),
    latest_version: key.versions.length,
    min_available_version: key.minAvailableVersion,
    min_decryption_version: key.minDecryptionVersion,
    min_encryption_version: key.minEncryptionVersion,
    ...(key.softDeleted ? { soft_deleted: true } : {}),
    supports_decryption: true,
    supports_derivation: true,
    supports_encryption: true,
    supports_signing: false,
  };
}

/** @throws TransitRefusal */
export function transitEncrypt(key: TestTransitKey, body: Fields): Fields {
  if (key.softDeleted) throw new TransitRefusal(400, 'refusing to use soft-deleted key');
  if (typeof body['plaintext'] !== 'string') throw new TransitRefusal(400, 'missing plaintext to encrypt');
  const asked = body['key_version'] === undefined ? 0 : Number(body['key_version']);
  const version = asked === 0 ? key.versions.length : asked;
  if (version > key.versions.length)
    throw new TransitRefusal(400, 'requested version for encryption is higher than the latest key version');
  if (version < key.minEncryptionVersion)
    throw new TransitRefusal(
      400,
      'requested version for encryption is less than the minimum encryption key version',
    );
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', materialOf(key, version, body), nonce).setAAD(boundData(body));
  const sealed = Buffer.concat([cipher.update(Buffer.from(body['plaintext'], 'base64')), cipher.final()]);
  const blob = Buffer.concat([nonce, sealed, cipher.getAuthTag()]);
  return { ciphertext: `vault:v${version}:${blob.toString('base64')}`, key_version: version };
}

/** @throws TransitRefusal */
export function transitDecrypt(key: TestTransitKey, body: Fields): Fields {
  if (key.softDeleted) throw new TransitRefusal(400, 'refusing to use soft-deleted key');
  const text = body['ciphertext'];
  if (typeof text !== 'string' || text === '') throw new TransitRefusal(400, 'missing ciphertext to decrypt');
  if (!text.startsWith('vault:v')) throw new TransitRefusal(400, 'invalid ciphertext: no prefix');
  const [digits = '', base64] = text.slice('vault:v'.length).split(':', 2);
  if (base64 === undefined) throw new TransitRefusal(400, 'invalid ciphertext: wrong number of fields');
  if (!/^-?\d+$/.test(digits))
    throw new TransitRefusal(400, 'invalid ciphertext: version number could not be decoded');
  // The engine's first keys began at 0.
  const version = Number(digits) === 0 ? 1 : Number(digits);
  if (version > key.versions.length) throw new TransitRefusal(400, 'invalid ciphertext: version is too new');
  if (version < key.minDecryptionVersion)
    throw new TransitRefusal(400, 'ciphertext or signature version is disallowed by policy (too old)');
  if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(base64))
    throw new TransitRefusal(400, 'invalid ciphertext: could not decode base64');
  const blob = Buffer.from(base64, 'base64');
  if (blob.length < 28) throw new TransitRefusal(400, 'invalid ciphertext length');
  const decipher = createDecipheriv('aes-256-gcm', materialOf(key, version, body), blob.subarray(0, 12));
  decipher.setAAD(boundData(body)).setAuthTag(blob.subarray(-16));
  try {
    const plaintext = Buffer.concat([decipher.update(blob.subarray(12, -16)), decipher.final()]);
    return { plaintext: plaintext.toString('base64') };
  } catch {
    throw new TransitRefusal(400, 'cipher: message authentication failed');
  }
}

function materialOf(key: TestTransitKey, version: number, body: Fields): Buffer {
  const material = key.versions[version - 1]?.material ?? Buffer.alloc(32);
  if (!key.derived) return material;
  if (typeof body['context'] !== 'string')
    throw new TransitRefusal(
      500,
      "missing 'context' for key derivation; the key was created using a derived key, which means additional, per-request information must be included in order to perform operations with the key",
    );
  return Buffer.from(hkdfSync('sha256', material, '', Buffer.from(body['context'], 'base64'), 32));
}

function boundData(body: Fields): Buffer {
  const data = body['associated_data'];
  return Buffer.from(typeof data === 'string' ? data : '', 'base64');
}
