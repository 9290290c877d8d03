/**
 * The root key wrapped by a key that cannot leave a PKCS#11 token (an HSM, a smart card, SoftHSM2).
 *
 * What lies in the store is JSON: `{version: 1, token: {label, serialNumber}, key: {label, id}, algorithm, iv?, wrapped}`
 * (docs/formats/key-service-store.md). The path of the module is not in it: it is code this process runs, so it comes from the
 * command line, never from a store that others may write. The token is asked at start and at a reseal, and closed again.
 */
import { constants, publicEncrypt } from 'node:crypto';
import {
  type CipherMechanism,
  openPkcs11Module,
  Pkcs11Error,
  type Pkcs11ErrorCode,
  type Token,
  type TokenKey,
} from '@waxseal/pkcs11';
import { parseObject } from '../audit/chain.js';
import { KeyServiceError, type KeyServiceErrorCode } from '../errors.js';
import { isJsonObject } from '../http/json-body.js';
import { ROOT_KEY_BYTES, type RootKeyProtector } from './protector.js';

const IV_BYTES = 12;
const ID_BYTES = 16;
const DEFAULT_KEY_LABEL = 'waxseal-root-key';
/** Binds the wrapped bytes to their purpose: other data under the same key does not pass for a root key. */
const AAD = Buffer.from('waxseal/key-service/v1/root-key/pkcs11');

export interface Pkcs11ProtectorOptions {
  /** Absolute path of the PKCS#11 library. Needed to seal and to open. */
  readonly modulePath?: string | undefined;
  /** Needed to seal when the module has several tokens; to open, it goes before what was stored. */
  readonly tokenLabel?: string | undefined;
  /** Of an AES key, made when the token has none of that label, or of an RSA key pair. Default `waxseal-root-key`. To open, what was stored counts. */
  readonly keyLabel?: string | undefined;
  /** Asked for once each time; the buffer is zeroed. */
  readonly pin: () => Promise<Buffer>;
}

type Algorithm = 'AES_GCM' | 'RSA_OAEP_SHA_256' | 'RSA_OAEP_SHA_1';

interface Wrapped {
  readonly tokenLabel: string;
  readonly serialNumber: string;
  readonly keyLabel: string;
  readonly keyId: Buffer;
  readonly algorithm: Algorithm;
  readonly iv: Buffer;
  readonly wrapped: Buffer;
}

export function createPkcs11Protector(
  options: Pkcs11ProtectorOptions,
  randomBytes: (size: number) => Buffer,
): RootKeyProtector {
  return {
    kind: 'pkcs11',
    seal: (rootKey) =>
      withToken(options, { label: options.tokenLabel }, async (token) => {
        const key = await wrappingKey(token, options.keyLabel ?? DEFAULT_KEY_LABEL, randomBytes);
        const iv = key.keyType === 'aes' ? Buffer.from(randomBytes(IV_BYTES)) : Buffer.alloc(0);
        const { algorithm, wrapped } =
          key.keyType === 'aes'
            ? { algorithm: 'AES_GCM', wrapped: await token.encrypt(key, cipher('AES_GCM', iv), rootKey) }
            : await wrapByRsa(token, key, rootKey);
        return Buffer.from(
          JSON.stringify({
            version: 1,
            token: { label: token.info.label, serialNumber: token.info.serialNumber },
            key: { label: key.label, id: key.id.toString('hex') },
            algorithm,
            ...(iv.length === 0 ? {} : { iv: iv.toString('base64') }),
            wrapped: wrapped.toString('base64'),
          }),
        );
      }),
    async open(sealed) {
      const stored = parseWrapped(sealed);
      const { tokenLabel } = options;
      const which =
        tokenLabel === undefined
          ? { label: stored.tokenLabel, serialNumber: stored.serialNumber }
          : { label: tokenLabel };
      return withToken(options, which, async (token) => {
        const key = await token.findKey({
          keyClass: stored.algorithm === 'AES_GCM' ? 'secret' : 'private',
          label: stored.keyLabel,
          id: stored.keyId,
        });
        const rootKey = await token.decrypt(key, cipher(stored.algorithm, stored.iv), stored.wrapped);
        if (rootKey.length === ROOT_KEY_BYTES) return rootKey;
        rootKey.fill(0);
        throw new Pkcs11Error('ciphertext-invalid', 'What the token unwrapped is no root key.');
      });
    },
  };
}

/** The key of that label: AES or RSA; an AES key is made when there is neither. */
async function wrappingKey(
  token: Token,
  label: string,
  randomBytes: (size: number) => Buffer,
): Promise<TokenKey> {
  const found = (await token.findKeys({ label })).filter(
    ({ keyClass, keyType }) =>
      (keyClass === 'secret' && keyType === 'aes') || (keyClass === 'private' && keyType === 'rsa'),
  );
  const [first] = found;
  if (first === undefined) {
    return token.generateAesKey({
      label,
      id: Buffer.from(randomBytes(ID_BYTES)),
      bytes: 32,
      encryptDecrypt: true,
    });
  }
  if (found.length > 1) {
    throw new Pkcs11Error(
      'key-ambiguous',
      `The token has ${found.length} keys with label '${label}'. Choose another label, or remove those that are not meant.`,
    );
  }
  const { sensitive, extractable } = await token.attributes(first);
  if (sensitive !== true || extractable !== false) {
    throw new Pkcs11Error(
      'key-forbids',
      `The key '${label}' can be taken out of the token (CKA_SENSITIVE must be true, CKA_EXTRACTABLE false). Choose another label: a key that cannot is made then.`,
    );
  }
  return first;
}

/** The public half wraps here; the token only proves it can unwrap. SHA-1 (in OAEP no weakness) where it knows no other. */
async function wrapByRsa(
  token: Token,
  key: TokenKey,
  rootKey: Buffer,
): Promise<{ readonly algorithm: Algorithm; readonly wrapped: Buffer }> {
  const publicKey = await token.publicKey(key);
  const wrap = (oaepHash: string): Buffer =>
    publicEncrypt({ key: publicKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash }, rootKey);
  const wrapped = wrap('sha256');
  try {
    (await token.decrypt(key, cipher('RSA_OAEP_SHA_256', Buffer.alloc(0)), wrapped)).fill(0);
    return { algorithm: 'RSA_OAEP_SHA_256', wrapped };
  } catch (error) {
    if (!(error instanceof Pkcs11Error && error.code === 'mechanism-unsupported')) throw error;
    return { algorithm: 'RSA_OAEP_SHA_1', wrapped: wrap('sha1') };
  }
}

function cipher(algorithm: Algorithm, iv: Buffer): CipherMechanism {
  switch (algorithm) {
    case 'AES_GCM':
      return { kind: 'aes-gcm', iv, aad: AAD };
    case 'RSA_OAEP_SHA_256':
      return { kind: 'rsa-pkcs-oaep', hash: 'sha256' };
    default:
      return { kind: 'rsa-pkcs-oaep', hash: 'sha1' };
  }
}

async function withToken<T>(
  { modulePath, pin }: Pkcs11ProtectorOptions,
  which: { readonly label?: string | undefined; readonly serialNumber?: string | undefined },
  use: (token: Token) => Promise<T>,
): Promise<T> {
  if (modulePath === undefined) {
    throw new KeyServiceError(
      'invalid-option',
      'A PKCS#11 token keeps the root key. Name its library with --pkcs11-module.',
    );
  }
  try {
    const module = await openPkcs11Module(modulePath);
    const token = await module.openToken({ ...which, pin: await pin(), maxSessions: 1 });
    try {
      return await use(token);
    } finally {
      await token.close();
    }
  } catch (error) {
    if (!(error instanceof Pkcs11Error)) throw error;
    throw new KeyServiceError(
      CODES[error.code] ?? 'root-key-unreadable',
      `The PKCS#11 token cannot be used for the root key: ${error.message}`,
      { cause: error },
    );
  }
}

const CODES: Readonly<Partial<Record<Pkcs11ErrorCode, KeyServiceErrorCode>>> = {
  'token-not-found': 'root-key-missing',
  'key-not-found': 'root-key-missing',
  'pin-incorrect': 'root-key-wrong',
  'ciphertext-invalid': 'root-key-wrong',
  'invalid-option': 'invalid-option',
};

function parseWrapped(sealed: Buffer): Wrapped {
  const { version, token, key, algorithm, iv = '', wrapped } = parseObject(sealed.toString('utf8')) ?? {};
  const tokenLabel = isJsonObject(token) ? token['label'] : undefined;
  const serialNumber = isJsonObject(token) ? token['serialNumber'] : undefined;
  const keyLabel = isJsonObject(key) ? key['label'] : undefined;
  const keyId = isJsonObject(key) ? key['id'] : undefined;
  if (
    version !== 1 ||
    typeof tokenLabel !== 'string' ||
    typeof serialNumber !== 'string' ||
    typeof keyLabel !== 'string' ||
    typeof keyId !== 'string' ||
    (algorithm !== 'AES_GCM' && algorithm !== 'RSA_OAEP_SHA_256' && algorithm !== 'RSA_OAEP_SHA_1') ||
    typeof iv !== 'string' ||
    typeof wrapped !== 'string'
  ) {
    throw new KeyServiceError(
      'store-corrupt',
      'The wrapped root key in the store cannot be read. Restore the store from a backup.',
    );
  }
  return {
    tokenLabel,
    serialNumber,
    keyLabel,
    keyId: Buffer.from(keyId, 'hex'),
    algorithm,
    iv: Buffer.from(iv, 'base64'),
    wrapped: Buffer.from(wrapped, 'base64'),
  };
}
