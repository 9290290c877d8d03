/**
 * Who keeps the root key: the one key that seals all key material at rest.
 *
 * A protector makes the root key once and gives it back at every start. What it needs to find it again (a wrapped root
 * key, a token's object id) is `sealed`: no secret by itself, kept in the store beside the canary.
 */

/** Bytes of a root key: AES-256. */
export const ROOT_KEY_BYTES = 32;

export interface RootKeyProtector {
  /** Names the kind in the store, so that a start with another kind is told apart from a wrong key. */
  readonly kind: string;
  /** Makes a root key, or takes the one prepared for an empty store, and keeps it before it resolves. */
  create(): Promise<{ readonly rootKey: Buffer; readonly sealed: Buffer }>;
  /** @throws KeyServiceError root-key-missing, root-key-unreadable */
  open(sealed: Buffer): Promise<Buffer>;
}
