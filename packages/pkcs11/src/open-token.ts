/** A Token over a session pool: keys by name outside, handles inside. */
import type { KeyObject } from 'node:crypto';
import { decrypt, encrypt, type Operation, sign, verify } from './cipher.js';
import type { Cryptoki } from './cryptoki.js';
import { Pkcs11Error } from './errors.js';
import { generateEcKeyPair, generateRsaKeyPair, generateSecretKey, type KeyPairHandles } from './generate.js';
import { readKeyAttributes } from './key-attributes.js';
import { findKeyObjects, type FoundKey } from './objects.js';
import { ecPublicKey, rsaPublicKey } from './public-key.js';
import type { Session, SessionPool } from './session-pool.js';
import type {
  GenerateKeyOptions,
  KeyAttributes,
  KeySearch,
  KeyType,
  MechanismInfo,
  Token,
  TokenInfo,
  TokenKey,
  TokenKeyPair,
} from './token.js';

const MAX_RANDOM_BYTES = 65_536;

export interface TokenParts {
  readonly cryptoki: Cryptoki;
  readonly pool: SessionPool;
  readonly info: TokenInfo;
  readonly mechanisms: readonly (MechanismInfo & { readonly number: number; readonly flags: number })[];
  /** After the pool is closed. */
  readonly onClosed: () => void;
}

export function createToken({ cryptoki, pool, info, mechanisms, onClosed }: TokenParts): Token {
  const mechanismFlags = new Map(mechanisms.map(({ number, flags }) => [number, flags]));
  /** Handles by key, good for one generation of sessions. */
  const handles = new WeakMap<TokenKey, { readonly handle: number; readonly generation: number }>();

  const remember = (session: Session, { key, handle }: FoundKey): TokenKey => {
    handles.set(key, { handle, generation: session.generation });
    return key;
  };

  const handleOf = async (session: Session, key: TokenKey): Promise<number> => {
    const known = handles.get(key);
    if (known !== undefined && known.generation === session.generation) return known.handle;
    const found = only(await search(session, exactly(key)), exactly(key));
    handles.set(key, { handle: found.handle, generation: session.generation });
    return found.handle;
  };

  /** An empty CKA_ID cannot be searched for on every token, so it is compared here. */
  const search = async (session: Session, keys: KeySearch): Promise<readonly FoundKey[]> => {
    const found = await findKeyObjects(cryptoki, session, keys);
    const { id } = keys;
    return id === undefined ? found : found.filter(({ key }) => key.id.equals(id));
  };

  /** A handle that has gone stale is looked up once more: the key may have been made anew under the same name. */
  const withKey = async <T>(
    key: TokenKey,
    use: (session: Session, handle: number) => Promise<T>,
    once = false,
  ): Promise<T> => {
    const attempt = (): Promise<T> =>
      pool.run(async (session) => use(session, await handleOf(session, key)), once);
    const wasKnown = handles.has(key);
    try {
      return await attempt();
    } catch (error) {
      const stale = error instanceof Pkcs11Error && error.code === 'key-not-found';
      if (!stale || !wasKnown) throw error;
      handles.delete(key);
      return await attempt();
    }
  };

  const operate = <T>(key: TokenKey, use: (operation: Operation) => Promise<T>): Promise<T> =>
    withKey(key, (session, handle) => use({ cryptoki, session, key: handle, mechanismFlags }));

  const attributes = (key: TokenKey): Promise<KeyAttributes> =>
    withKey(key, (session, handle) => readKeyAttributes(cryptoki, session, handle));

  const generateSecret = (
    keyType: 'aes' | 'generic-secret',
    options: Parameters<typeof generateSecretKey>[3],
  ): Promise<TokenKey> =>
    pool.run(async (session) => {
      const handle = await generateSecretKey(cryptoki, session, keyType, options);
      return remember(session, { handle, key: named('secret', keyType, options) });
    }, true);

  const generatePair = (
    keyType: 'rsa' | 'ec',
    options: GenerateKeyOptions,
    generate: (session: Session) => Promise<KeyPairHandles>,
  ): Promise<TokenKeyPair> =>
    pool.run(async (session) => {
      const made = await generate(session);
      return {
        publicKey: remember(session, { handle: made.publicKey, key: named('public', keyType, options) }),
        privateKey: remember(session, { handle: made.privateKey, key: named('private', keyType, options) }),
      };
    }, true);

  return {
    info,
    mechanisms: async () => mechanisms.map(({ number: _number, flags: _flags, ...mechanism }) => mechanism),
    findKeys: (keys) =>
      pool.run(async (session) => (await search(session, keys)).map((found) => remember(session, found))),
    findKey: (keys) =>
      pool.run(async (session) => remember(session, only(await search(session, keys), keys))),
    attributes,
    async publicKey(key): Promise<KeyObject> {
      if (key.keyType === 'rsa') return rsaPublicKey(await attributes(key));
      if (key.keyType !== 'ec') {
        throw new Pkcs11Error('key-forbids', 'Only RSA and EC keys have a public key.');
      }
      const own = await attributes(key);
      if (own.ecPoint !== undefined) return ecPublicKey(own);
      const publicPart = await pool.run(async (session) => {
        const wanted: KeySearch = { keyClass: 'public', keyType: 'ec', id: key.id };
        return remember(session, only(await search(session, wanted), wanted));
      });
      return ecPublicKey(await attributes(publicPart));
    },
    generateAesKey: (options) => generateSecret('aes', options),
    generateGenericSecretKey: (options) => generateSecret('generic-secret', options),
    generateRsaKeyPair: (options) =>
      generatePair('rsa', options, (session) => generateRsaKeyPair(cryptoki, session, options)),
    generateEcKeyPair: (options) =>
      generatePair('ec', options, (session) => generateEcKeyPair(cryptoki, session, options)),
    encrypt: (key, cipher, plaintext) => operate(key, (operation) => encrypt(operation, cipher, plaintext)),
    decrypt: (key, cipher, ciphertext) => operate(key, (operation) => decrypt(operation, cipher, ciphertext)),
    sign: (key, how, data) => operate(key, (operation) => sign(operation, how, data)),
    verify: (key, how, data, signature) =>
      operate(key, (operation) => verify(operation, how, data, signature)),
    async generateRandom(bytes) {
      if (!Number.isInteger(bytes) || bytes < 1 || bytes > MAX_RANDOM_BYTES) {
        throw new Pkcs11Error('invalid-option', `Random bytes come 1 to ${MAX_RANDOM_BYTES} at a time.`);
      }
      return pool.run((session) =>
        cryptoki.withMemory(async (memory) => {
          const out = memory.reserve(bytes);
          await cryptoki.checked('C_GenerateRandom', session.handle, out, bytes);
          return Buffer.from(out);
        }),
      );
    },
    destroy: (key) =>
      withKey(
        key,
        async (session, handle) => {
          await cryptoki.checked('C_DestroyObject', session.handle, handle);
          handles.delete(key);
          return true;
        },
        true,
      ).catch((error: unknown) => {
        if (error instanceof Pkcs11Error && error.code === 'key-not-found') return false;
        throw error;
      }),
    async close() {
      await pool.close();
      onClosed();
    },
  };
}

function named(
  keyClass: TokenKey['keyClass'],
  keyType: KeyType,
  { label, id }: GenerateKeyOptions,
): TokenKey {
  return { keyClass, keyType, label, id: Buffer.from(id) };
}

function exactly({ keyClass, keyType, label, id }: TokenKey): KeySearch {
  return { keyClass, label, id, ...(keyType === 'other' ? {} : { keyType }) };
}

/** @throws Pkcs11Error key-not-found, key-ambiguous */
function only(found: readonly FoundKey[], keys: KeySearch): FoundKey {
  const [first, second] = found;
  if (first === undefined) {
    throw new Pkcs11Error(
      'key-not-found',
      `The token has no ${describe(keys)}. Check the name, or make the key.`,
    );
  }
  if (second !== undefined) {
    throw new Pkcs11Error(
      'key-ambiguous',
      `The token has ${found.length} keys that fit: ${describe(keys)}. Name the key by its id too, or remove those that are not meant.`,
    );
  }
  return first;
}

function describe({ keyClass, keyType, label, id }: KeySearch): string {
  const what = [keyClass, keyType, 'key'].filter((word) => word !== undefined).join(' ');
  const names = [
    ...(label === undefined ? [] : [`label '${label}'`]),
    ...(id === undefined || id.length === 0 ? [] : [`id ${id.toString('hex')}`]),
  ];
  return names.length === 0 ? what : `${what} with ${names.join(' and ')}`;
}
