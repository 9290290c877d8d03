/**
 * Metadata that only the server sets.
 *
 * Source of the rule: k8s.io/apiserver `registry/rest/meta.go` (FillObjectMetaSystemFields) and `storage/names`
 * (generated names).
 */

/** A random (version 4) UUID, RFC 9562 §5.4. */
export function newUid(randomBytes: (size: number) => Buffer): string {
  const bytes = randomBytes(16);
  bytes[6] = ((bytes[6] as number) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] as number) & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** RFC 3339 in whole seconds, as metav1.Time prints. */
export function timestamp(date: Date): string {
  return `${date.toISOString().slice(0, 19)}Z`;
}

// No vowels, so that no words arise.
const ALPHABET = 'bcdfghjklmnpqrstvwxz2456789';
const SUFFIX_CHARACTERS = 5;
const MAX_BASE_CHARACTERS = 63 - SUFFIX_CHARACTERS;

/** `base` and five random characters; a long base is cut. */
export function generateName(base: string, randomBytes: (size: number) => Buffer): string {
  let suffix = '';
  while (suffix.length < SUFFIX_CHARACTERS) {
    for (const byte of randomBytes(8)) {
      // Bytes beyond the last whole multiple would favour the first letters.
      if (byte < 243 && suffix.length < SUFFIX_CHARACTERS) suffix += ALPHABET[byte % ALPHABET.length];
    }
  }
  return base.slice(0, MAX_BASE_CHARACTERS) + suffix;
}
