/**
 * The root key wrapped under a passphrase: scrypt (RFC 7914) makes the wrapping key, AES-256-GCM wraps.
 *
 * What lies in the store is JSON: `{kdf: "scrypt", N, r, p, salt, wrapped}`. The parameters are stored, so that they can grow
 * without making older data unreadable; they are bounded when read, so that a damaged record costs no gigabytes.
 */
import { scrypt, type ScryptOptions } from 'node:crypto';
import { KeyServiceError } from '../errors.js';
import { parseObject } from '../audit/chain.js';
import { openUnderRootKey, sealUnderRootKey } from './material-seal.js';
import { ROOT_KEY_BYTES, type RootKeyProtector } from './protector.js';

/** 128 MiB and about 0.3 s for one guess. */
const COST = { N: 2 ** 17, r: 8, p: 1 } as const;
const MAX_COST = { N: 2 ** 20, r: 16, p: 4 } as const;
const SALT_BYTES = 32;
const MIN_PASSPHRASE_BYTES = 8;
const LABEL = 'root-key/passphrase';

interface WrappedByPassphrase {
  readonly N: number;
  readonly r: number;
  readonly p: number;
  readonly salt: Buffer;
  readonly wrapped: Buffer;
}

/** @param passphrase asked for when it is needed: a file, an environment variable, a prompt */
export function createPassphraseProtector(
  passphrase: () => Promise<Buffer>,
  randomBytes: (size: number) => Buffer,
): RootKeyProtector {
  return {
    kind: 'passphrase',
    async seal(rootKey) {
      const text = await passphrase();
      if (text.length < MIN_PASSPHRASE_BYTES) {
        throw new KeyServiceError(
          'invalid-option',
          `The passphrase is shorter than ${MIN_PASSPHRASE_BYTES} bytes. Choose a longer one: who has the data can try passphrases.`,
        );
      }
      const salt = Buffer.from(randomBytes(SALT_BYTES));
      const key = await derive(text, salt, COST);
      const wrapped = sealUnderRootKey(key, LABEL, rootKey, randomBytes);
      key.fill(0);
      text.fill(0);
      const { N, r, p } = COST;
      const stored = {
        kdf: 'scrypt',
        N,
        r,
        p,
        salt: salt.toString('base64'),
        wrapped: wrapped.toString('base64'),
      };
      return Buffer.from(JSON.stringify(stored));
    },
    async open(sealed) {
      const stored = parseWrapped(sealed);
      const text = await passphrase();
      const key = await derive(text, stored.salt, stored);
      text.fill(0);
      const rootKey = openUnderRootKey(key, LABEL, stored.wrapped);
      key.fill(0);
      if (rootKey === undefined) {
        throw new KeyServiceError(
          'root-key-wrong',
          'The passphrase is not the one that protects the root key of this data. Start again with the right one.',
        );
      }
      return rootKey;
    },
  };
}

function derive(
  passphrase: Buffer,
  salt: Buffer,
  { N, r, p }: { readonly N: number; readonly r: number; readonly p: number },
): Promise<Buffer> {
  const options: ScryptOptions = { N, r, p, maxmem: 128 * N * r + 128 * r * p + 1024 * 1024 };
  return new Promise((resolve, reject) => {
    scrypt(passphrase, salt, ROOT_KEY_BYTES, options, (error, key) => {
      if (error === null) resolve(key);
      else reject(error);
    });
  });
}

function parseWrapped(sealed: Buffer): WrappedByPassphrase {
  const record = parseObject(sealed.toString('utf8'));
  const { kdf, N, r, p, salt, wrapped } = record ?? {};
  const inRange = (value: unknown, max: number): value is number =>
    typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= max;
  if (
    kdf !== 'scrypt' ||
    !inRange(N, MAX_COST.N) ||
    (N & (N - 1)) !== 0 ||
    N < 2 ||
    !inRange(r, MAX_COST.r) ||
    !inRange(p, MAX_COST.p) ||
    typeof salt !== 'string' ||
    typeof wrapped !== 'string'
  ) {
    throw new KeyServiceError(
      'store-corrupt',
      'The passphrase parameters of the root key cannot be read. Restore the store from a backup.',
    );
  }
  return { N, r, p, salt: Buffer.from(salt, 'base64'), wrapped: Buffer.from(wrapped, 'base64') };
}
