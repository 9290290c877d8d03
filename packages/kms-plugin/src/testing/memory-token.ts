/** A PKCS#11 token that is memory: it can be pulled out, and its PIN changed, which a real one does not do on demand. */
import {
  constants,
  createCipheriv,
  createDecipheriv,
  createPublicKey,
  generateKeyPairSync,
  privateDecrypt,
  publicEncrypt,
  randomBytes,
  type KeyObject,
} from 'node:crypto';
import { Pkcs11Error, type CipherMechanism, type KeyAttributes, type Pkcs11ErrorCode } from '@waxseal/pkcs11';
import type { Pkcs11Module, Token, TokenKey } from '@waxseal/pkcs11';

interface StoredKey {
  readonly key: TokenKey;
  readonly value: Buffer | KeyObject;
  readonly attributes: KeyAttributes;
}

export interface MemoryToken {
  readonly openModule: (path: string) => Promise<Pkcs11Module>;
  readonly keys: StoredKey[];
  pin: string;
  /** What every call ends in; a login too. */
  failure: Pkcs11ErrorCode | undefined;
  /** Every PIN that was sent. */
  readonly pinsSent: string[];
  /** Logins that are not closed. */
  open: number;
  addAesKey(label: string, id: number | Buffer, attributes?: KeyAttributes): void;
  addRsaKey(label: string, id: number | Buffer, attributes?: KeyAttributes): void;
}

const bytesOf = (id: number | Buffer): Buffer => (typeof id === 'number' ? Buffer.from([id]) : id);

/** One pair for all tests: making one takes a tenth of a second. */
let pair: { readonly publicKey: KeyObject; readonly privateKey: KeyObject } | undefined;

export function createMemoryToken(): MemoryToken {
  const fake: MemoryToken = {
    openModule: async () => module,
    keys: [],
    pin: '1234',
    failure: undefined,
    pinsSent: [],
    open: 0,
    addAesKey: (label, id, attributes = {}) => {
      const key: TokenKey = { keyClass: 'secret', keyType: 'aes', label, id: bytesOf(id) };
      fake.keys.push({ key, value: randomBytes(32), attributes });
    },
    addRsaKey: (label, id, attributes = {}) => {
      pair ??= generateKeyPairSync('rsa', { modulusLength: 2048 });
      const common = { keyType: 'rsa', label, id: bytesOf(id) } as const;
      fake.keys.push(
        { key: { ...common, keyClass: 'private' }, value: pair.privateKey, attributes },
        { key: { ...common, keyClass: 'public' }, value: pair.publicKey, attributes: {} },
      );
    },
  };
  const fail = (): void => {
    if (fake.failure !== undefined) throw new Pkcs11Error(fake.failure, 'The token fails as told.');
  };
  const stored = (wanted: TokenKey): StoredKey => {
    fail();
    const found = fake.keys.find(
      ({ key }) => key.keyClass === wanted.keyClass && key.label === wanted.label && key.id.equals(wanted.id),
    );
    if (found === undefined) throw new Pkcs11Error('key-not-found', `There is no key ${wanted.label}.`);
    return found;
  };
  const unused = (): never => {
    throw new TypeError('The plugin does not call this.');
  };
  const info = {
    slotId: 0,
    label: 'memory',
    serialNumber: '1',
    manufacturer: 'waxseal',
    model: 'memory',
    initialized: true,
    loginRequired: true,
    pinFinalTry: false,
    pinLocked: false,
  };
  const token: Token = {
    info,
    mechanisms: unused,
    findKeys: async ({ keyClass, keyType, label, id }) => {
      fail();
      return fake.keys
        .map(({ key }) => key)
        .filter(
          (key) =>
            (keyClass === undefined || key.keyClass === keyClass) &&
            (keyType === undefined || key.keyType === keyType) &&
            (label === undefined || key.label === label) &&
            (id === undefined || key.id.equals(id)),
        );
    },
    findKey: unused,
    attributes: async (key) => stored(key).attributes,
    publicKey: async (key) => createPublicKey(stored(key).value),
    generateAesKey: unused,
    generateGenericSecretKey: unused,
    generateRsaKeyPair: unused,
    generateEcKeyPair: unused,
    encrypt: async (key, mechanism, plaintext) => cipher(stored(key).value, mechanism, plaintext),
    decrypt: async (key, mechanism, ciphertext) => decipher(stored(key).value, mechanism, ciphertext),
    sign: unused,
    verify: unused,
    generateRandom: unused,
    destroy: unused,
    close: async () => {
      fake.open--;
    },
  };
  const module: Pkcs11Module = {
    path: '/memory.so',
    info: { manufacturer: 'waxseal', description: 'memory', cryptokiVersion: '2.40' },
    slots: async () => [{ slotId: 0, description: 'memory', token: info }],
    openToken: async ({ pin }) => {
      fake.pinsSent.push(pin.toString());
      pin.fill(0);
      fail();
      if (fake.pinsSent.at(-1) !== fake.pin)
        throw new Pkcs11Error('pin-incorrect', 'The PIN is another one.');
      fake.open++;
      return token;
    },
  };
  return fake;
}

const oaep = (key: KeyObject, hash: 'sha1' | 'sha256') => ({
  key,
  padding: constants.RSA_PKCS1_OAEP_PADDING,
  oaepHash: hash,
});

function cipher(value: Buffer | KeyObject, mechanism: CipherMechanism, plaintext: Buffer): Buffer {
  if (mechanism.kind === 'rsa-pkcs-oaep' && !Buffer.isBuffer(value)) {
    return publicEncrypt(oaep(value, mechanism.hash), plaintext);
  }
  if (mechanism.kind !== 'aes-gcm' || !Buffer.isBuffer(value)) throw unsupported();
  const sealing = createCipheriv('aes-256-gcm', value, mechanism.iv, { authTagLength: 16 });
  sealing.setAAD(mechanism.aad ?? Buffer.alloc(0));
  return Buffer.concat([sealing.update(plaintext), sealing.final(), sealing.getAuthTag()]);
}

function decipher(value: Buffer | KeyObject, mechanism: CipherMechanism, ciphertext: Buffer): Buffer {
  try {
    if (mechanism.kind === 'rsa-pkcs-oaep' && !Buffer.isBuffer(value)) {
      return privateDecrypt(oaep(value, mechanism.hash), ciphertext);
    }
    if (mechanism.kind !== 'aes-gcm' || !Buffer.isBuffer(value)) throw unsupported();
    const opening = createDecipheriv('aes-256-gcm', value, mechanism.iv, { authTagLength: 16 });
    opening.setAAD(mechanism.aad ?? Buffer.alloc(0));
    opening.setAuthTag(ciphertext.subarray(-16));
    return Buffer.concat([opening.update(ciphertext.subarray(0, -16)), opening.final()]);
  } catch (error) {
    if (error instanceof Pkcs11Error) throw error;
    throw new Pkcs11Error('ciphertext-invalid', 'The ciphertext does not decrypt.');
  }
}

function unsupported(): Pkcs11Error {
  return new Pkcs11Error('mechanism-unsupported', 'The token does not do that.');
}
