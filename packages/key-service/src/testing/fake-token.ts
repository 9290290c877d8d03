/** A token that is memory, and fails as told: for what a real one cannot be brought to do at will. */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { Pkcs11Error, type Pkcs11ErrorCode, type Token, type TokenKey } from '@waxseal/pkcs11';
import type { OpenToken } from '../custom-key-stores/connections.js';
import type { TokenConfig } from '../custom-key-stores/token-config.js';
import { ACCOUNT } from './harness.js';

export const CLUSTER = 'cluster-1a23b4cdefg';
export const OTHER_CLUSTER = 'cluster-2a23b4cdefg';
export const PIN = 'correct-pin';

export const fakeTokenConfig = (clusterId = CLUSTER): TokenConfig => ({
  accountId: ACCOUNT,
  clusterId,
  module: '/nowhere/module.so',
  label: 'fake',
});

export interface FakeToken {
  readonly openToken: OpenToken;
  /** Values by label. */
  readonly keys: Map<string, Buffer>;
  /** How often somebody logged in, with the right PIN or not. */
  logins: number;
  /** Logins that are not closed. */
  open: number;
  pin: string;
  /** What every call ends in; logins too. */
  failure: Pkcs11ErrorCode | undefined;
}

export function createFakeToken(): FakeToken {
  const keys = new Map<string, Buffer>();
  const fake: FakeToken = {
    keys,
    logins: 0,
    open: 0,
    pin: PIN,
    failure: undefined,
    async openToken(_config, pin) {
      fake.logins++;
      const given = pin.toString();
      pin.fill(0);
      fail();
      if (given !== fake.pin) throw new Pkcs11Error('pin-incorrect', 'The PIN is not that of the token.');
      fake.open++;
      return token;
    },
  };
  const fail = (): void => {
    if (fake.failure !== undefined) throw new Pkcs11Error(fake.failure, 'The token fails as told.');
  };
  const valueOf = ({ label }: TokenKey): Buffer => {
    fail();
    const value = keys.get(label);
    if (value === undefined) throw new Pkcs11Error('key-not-found', `There is no key ${label}.`);
    return value;
  };
  const unused = (): never => {
    throw new TypeError('The key service does not call this.');
  };
  const token: Token = {
    info: {
      slotId: 0,
      label: 'fake',
      serialNumber: '1',
      manufacturer: '',
      model: '',
      initialized: true,
      loginRequired: true,
      pinFinalTry: false,
      pinLocked: false,
    },
    mechanisms: unused,
    findKeys: unused,
    findKey: unused,
    attributes: unused,
    publicKey: unused,
    async generateAesKey({ label, id, bytes }) {
      fail();
      keys.set(label, randomBytes(bytes));
      return { keyClass: 'secret', keyType: 'aes', label, id };
    },
    generateGenericSecretKey: unused,
    generateRsaKeyPair: unused,
    generateEcKeyPair: unused,
    async encrypt(key, mechanism, plaintext) {
      const value = valueOf(key);
      if (mechanism.kind !== 'aes-gcm') return unused();
      const cipher = createCipheriv('aes-256-gcm', value, mechanism.iv);
      cipher.setAAD(mechanism.aad ?? Buffer.alloc(0));
      const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()]);
      return Buffer.concat([ciphertext, cipher.getAuthTag()]);
    },
    async decrypt(key, mechanism, ciphertext) {
      const value = valueOf(key);
      if (mechanism.kind !== 'aes-gcm') return unused();
      const decipher = createDecipheriv('aes-256-gcm', value, mechanism.iv);
      decipher.setAAD(mechanism.aad ?? Buffer.alloc(0));
      decipher.setAuthTag(ciphertext.subarray(-16));
      const plaintext = decipher.update(ciphertext.subarray(0, -16));
      try {
        decipher.final();
      } catch {
        throw new Pkcs11Error('ciphertext-invalid', 'The ciphertext does not decrypt.');
      }
      return plaintext;
    },
    sign: unused,
    verify: unused,
    async generateRandom(bytes) {
      fail();
      return randomBytes(bytes);
    },
    async destroy({ label }) {
      fail();
      return keys.delete(label);
    },
    async close() {
      fake.open--;
    },
  };
  return fake;
}
