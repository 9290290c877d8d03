/**
 * The ciphertext of the `vault` provider: the text the transit engine answers, as bytes (docs/formats/kms-plugin-vault.md).
 *
 * vault-kubernetes-kms, vault-kms-provider and kleidi store the same. Oracle's kubernetes-vault-kms-plugin puts the name of the key in
 * the place of `vault`.
 */
import { ProviderError, unopenable } from '../errors.js';

export interface TransitCiphertext {
  /** Version of the transit key, from 1. */
  readonly version: number;
  /** As the transit engine takes it. */
  readonly text: string;
}

const transitPrefix = 'vault';
/** What KMS v2 allows. */
const textMaxBytes = 1024;
const versionMax = 0x7fff_ffff;

/** @returns undefined for bytes that are no ciphertext of this key's */
export function parseTransitCiphertext(bytes: Buffer, keyName: string): TransitCiphertext | undefined {
  if (bytes.length > textMaxBytes) return undefined;
  const text = bytes.toString('latin1');
  for (const prefix of [transitPrefix, keyName]) {
    if (!text.startsWith(`${prefix}:v`)) continue;
    const rest = text.slice(prefix.length);
    // The transit engine reads version 0 as 1; nobody writes it, and one value must not have two spellings.
    const match = /^:v([1-9]\d{0,9}):([A-Za-z0-9+/]+={0,2})$/.exec(rest);
    const [, digits = '', base64 = ''] = match ?? [];
    if (match === null || Number(digits) > versionMax || !isCanonicalBase64(base64)) continue;
    return { version: Number(digits), text: transitPrefix + rest };
  }
  return undefined;
}

/** @throws ProviderError `corrupt` */
export function openableCiphertext(bytes: Buffer, keyName: string): TransitCiphertext {
  const parsed = parseTransitCiphertext(bytes, keyName);
  if (parsed !== undefined) return parsed;
  throw new ProviderError('not a ciphertext of the transit engine', unopenable);
}

/**
 * Whether decoding and encoding give the same text. Decoders let unused bits of the last digit pass; then several texts would mean one
 * value.
 */
export function isCanonicalBase64(text: string): boolean {
  return Buffer.from(text, 'base64').toString('base64') === text;
}
