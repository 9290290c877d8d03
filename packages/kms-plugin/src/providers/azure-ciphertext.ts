/**
 * Ciphertexts and annotations of Azure's kubernetes-kms, and those of AES keys, which it does not have.
 * docs/formats/kms-plugin-azure.md gives every byte.
 */
import { ProviderError, unopenable } from '../errors.js';
import type { Unwrap } from '../provider.js';
import { isKeyVersion } from './azure-key-url.js';

/** `RSA1_5` is what kubernetes-kms writes over KMS v1, and for nothing else. */
export type AzureAlgorithm = 'RSA-OAEP-256' | 'RSA1_5' | 'A256GCM';

export const versionAnnotation = 'version.azure.akv.io';
const algorithmAnnotation = 'algorithm.azure.akv.io';
/** Ours; kubernetes-kms looks at the two above only. */
const keyVersionAnnotation = 'key-version.azure.akv.io';

const formatVersion = '1';
const rsaSizesBytes: ReadonlySet<number> = new Set([256, 384, 512]);
const nonceBytes = 12;
const tagBytes = 16;
const base64url = /^[A-Za-z0-9_-]*$/;

export interface AesSealed {
  readonly nonce: Buffer;
  readonly ciphertext: Buffer;
  readonly tag: Buffer;
}

/** What a ciphertext says of itself. */
export type ParsedCiphertext =
  | {
      readonly kind: 'rsa';
      readonly ciphertext: Buffer;
      /** The vault unwraps to base64url text, which has to be decoded once more. */
      readonly encodedTwice: boolean;
    }
  | ({ readonly kind: 'aes'; readonly keyVersion: string } & AesSealed);

/** What an API server stored beside the ciphertext. */
export interface ParsedAnnotations {
  readonly algorithm: AzureAlgorithm | undefined;
  readonly keyVersion: string | undefined;
}

export function formatRsa(ciphertext: Buffer): Buffer {
  return Buffer.from(ciphertext.toString('base64url'));
}

export function formatAes(keyVersion: string, { nonce, ciphertext, tag }: AesSealed): Buffer {
  const parts = [nonce, ciphertext, tag].map((part) => part.toString('base64url'));
  return Buffer.from(['A256GCM', keyVersion, ...parts].join('.'));
}

/** What AES-GCM authenticates beside the plaintext: the key and its version. */
export function aesContext(keyUrl: string): Buffer {
  return Buffer.from(`waxseal azure v1 ${keyUrl}`);
}

export function formatAnnotations(
  algorithm: AzureAlgorithm,
  keyVersion: string,
): Readonly<Record<string, Buffer>> {
  return {
    [versionAnnotation]: Buffer.from(formatVersion),
    [algorithmAnnotation]: Buffer.from(algorithm),
    [keyVersionAnnotation]: Buffer.from(keyVersion),
  };
}

/** Total; undefined for bytes that no plugin over Key Vault makes. */
export function parseCiphertext(bytes: Buffer): ParsedCiphertext | undefined {
  const text = bytes.toString('latin1');
  if (text.startsWith('A256GCM.')) {
    const [, keyVersion = '', nonceText = '', ciphertextText = '', tagText = '', ...rest] = text.split('.');
    const nonce = decode(nonceText);
    const ciphertext = decode(ciphertextText);
    const tag = decode(tagText);
    if (
      rest.length > 0 ||
      !isKeyVersion(keyVersion) ||
      nonce?.length !== nonceBytes ||
      tag?.length !== tagBytes ||
      ciphertext === undefined ||
      ciphertext.length === 0
    ) {
      return undefined;
    }
    return { kind: 'aes', keyVersion, nonce, ciphertext, tag };
  }
  const decoded = decode(text);
  if (decoded !== undefined && rsaSizesBytes.has(decoded.length)) {
    return { kind: 'rsa', ciphertext: decoded, encodedTwice: false };
  }
  return rsaSizesBytes.has(bytes.length) ? { kind: 'rsa', ciphertext: bytes, encodedTwice: true } : undefined;
}

/**
 * What kubernetes-kms demands of annotations holds here too, where there are any.
 *
 * @throws ProviderError class `corrupt`
 */
export function parseAnnotations({ version, annotations }: Unwrap): ParsedAnnotations {
  if (version === 'v1') return { algorithm: undefined, keyVersion: undefined };
  const read = (name: string): string | undefined => annotations[name]?.toString('latin1');
  const format = read(versionAnnotation);
  if (format !== undefined && format !== formatVersion) {
    throw new ProviderError('annotation of another format version', unopenable);
  }
  const algorithm = read(algorithmAnnotation);
  if (algorithm !== undefined && !isAlgorithm(algorithm)) {
    throw new ProviderError('annotation of an unknown algorithm', unopenable);
  }
  const keyVersion = read(keyVersionAnnotation);
  if (keyVersion !== undefined && !isKeyVersion(keyVersion)) {
    throw new ProviderError('annotation of no key version', unopenable);
  }
  return { algorithm, keyVersion };
}

/** @throws ProviderError class `corrupt` */
export function decodeTwiceEncoded(plaintext: Buffer): Buffer {
  const decoded = decode(plaintext.toString('latin1'));
  plaintext.fill(0);
  if (decoded === undefined) throw new ProviderError('plaintext is not base64url', unopenable);
  return decoded;
}

function isAlgorithm(text: string): text is AzureAlgorithm {
  return text === 'RSA-OAEP-256' || text === 'RSA1_5' || text === 'A256GCM';
}

/** Canonical base64url without padding, or undefined. */
function decode(text: string): Buffer | undefined {
  if (!base64url.test(text)) return undefined;
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text ? bytes : undefined;
}
