/**
 * The keys of one label on a token: which of them writes, and what tells it from another key of the same name.
 *
 * PKCS#11 keeps no time of creation, so CKA_ID gives the order: the highest number is the newest key.
 */
import { createHash } from 'node:crypto';
import type { KeySearch, Token, TokenKey } from '@waxseal/pkcs11';
import { ProviderError, type Failure } from '../errors.js';
import { wrapMechanisms, wrapOnToken, type Pkcs11Mechanism, type WrapKey } from './pkcs11-mechanisms.js';

export interface WriterChoice {
  /** CKA_LABEL */
  readonly keyLabel: string;
  /** CKA_ID of the key to write with; by default the highest. */
  readonly keyId?: Buffer | undefined;
  /** By default what fits the only type of key there is: `aes-gcm` or `rsa-oaep-sha256`. */
  readonly mechanism?: Pkcs11Mechanism | undefined;
}

/** CKA_IDs that are longer are digests, not numbers: their order says nothing about age. */
const countedIdMaxBytes = 8;
const fingerprintHexDigits = 16;
const fingerprintInput = Buffer.alloc(16);
const fingerprintIv = Buffer.alloc(12);

const setUp = (advice: string): Failure => ({ class: 'user-induced', code: 'failed_precondition', advice });
const noKey = setUp('The token has no key with this label; check the label, or make the key.');
const twoTypes = setUp('The token has AES and RSA keys of this label; say which mechanism to write with.');
const noId = setUp('A key of this label has no CKA_ID; give it one, so that ciphertexts can name it.');
const unordered = setUp(
  'Several keys have this label and their CKA_IDs give no order; say which one writes.',
);
const notThere = setUp('The token has no key with this label and CKA_ID; check both.');
const twice = setUp('Two keys have this label and CKA_ID; remove the one that is not meant.');
const noPublicKey = setUp('The public half of the RSA key is not on the token; put it there.');

/**
 * The key to write with.
 *
 * @throws ProviderError when there is none, or it cannot be told which; Pkcs11Error
 */
export async function chooseWriter(token: Token, choice: WriterChoice): Promise<WrapKey> {
  const mechanism = choice.mechanism ?? (await fittingMechanism(token, choice.keyLabel));
  const search = unwrapSearch(mechanism, choice.keyLabel);
  const keys = await token.findKeys({
    ...search,
    ...(choice.keyId === undefined ? {} : { id: choice.keyId }),
  });
  const unwraps = newest(keys, choice.keyId !== undefined);
  if (unwraps.id.length === 0) throw new ProviderError('no CKA_ID', noId);
  return { mechanism, id: unwraps.id, unwraps, wraps: await wrapsBeside(token, unwraps) };
}

/**
 * The key a ciphertext names, or undefined.
 *
 * @throws ProviderError when there are two; Pkcs11Error
 */
export async function findUnwrapKey(
  token: Token,
  mechanism: Pkcs11Mechanism,
  keyLabel: string,
  id: Buffer,
): Promise<TokenKey | undefined> {
  const [key, second] = await token.findKeys({ ...unwrapSearch(mechanism, keyLabel), id });
  if (second !== undefined) throw new ProviderError('CKA_ID is there twice', twice);
  return key;
}

/**
 * 16 hex digits that are the same for the same key only. Of an RSA key the digest of its public half; of an AES key, whose value
 * cannot be read, that of what it makes of a constant: nobody learns anything from a truncated digest.
 *
 * @throws Pkcs11Error
 */
export async function fingerprintOf(token: Token, key: WrapKey): Promise<string> {
  const hash = createHash('sha256').update('waxseal pkcs11 key id\0');
  if (key.unwraps.keyType === 'rsa') {
    const publicKey = await token.publicKey(key.unwraps);
    hash.update(publicKey.export({ type: 'spki', format: 'der' }));
  } else {
    // The one use of this nonce is always of the same message; messages have random ones.
    hash.update(await wrapOnToken(token, key, fingerprintInput, Buffer.alloc(0), () => fingerprintIv));
  }
  return hash.digest('hex').slice(0, fingerprintHexDigits);
}

const unwrapSearch = (mechanism: Pkcs11Mechanism, label: string): KeySearch => {
  const { keyType } = wrapMechanisms[mechanism];
  return { keyClass: keyType === 'rsa' ? 'private' : 'secret', keyType, label };
};

async function fittingMechanism(token: Token, label: string): Promise<Pkcs11Mechanism> {
  const [aes, rsa] = [
    await token.findKeys(unwrapSearch('aes-gcm', label)),
    await token.findKeys(unwrapSearch('rsa-oaep-sha256', label)),
  ];
  if (aes.length > 0 && rsa.length > 0) throw new ProviderError('AES and RSA keys', twoTypes);
  return rsa.length > 0 ? 'rsa-oaep-sha256' : 'aes-gcm';
}

function newest(keys: readonly TokenKey[], named: boolean): TokenKey {
  const [only, another] = keys;
  if (only === undefined) throw new ProviderError('no such key', named ? notThere : noKey);
  if (another === undefined) return only;
  if (named) throw new ProviderError('CKA_ID is there twice', twice);
  const counted = keys.map((key) => {
    if (key.id.length === 0) throw new ProviderError('no CKA_ID', noId);
    if (key.id.length > countedIdMaxBytes) throw new ProviderError('several keys', unordered);
    return { key, count: BigInt(`0x${key.id.toString('hex')}`) };
  });
  const [first, second] = counted.toSorted((a, b) => (a.count < b.count ? 1 : a.count > b.count ? -1 : 0));
  if (first === undefined || first.count === second?.count)
    throw new ProviderError('CKA_ID is there twice', twice);
  return first.key;
}

async function wrapsBeside(token: Token, unwraps: TokenKey): Promise<TokenKey> {
  if (unwraps.keyType !== 'rsa') return unwraps;
  const { label, id } = unwraps;
  const [publicKey] = await token.findKeys({ keyClass: 'public', keyType: 'rsa', label, id });
  if (publicKey === undefined) throw new ProviderError('no public key', noPublicKey);
  return publicKey;
}
