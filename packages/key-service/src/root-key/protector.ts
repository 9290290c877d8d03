/**
 * Who keeps the root key: the one key that seals all key material at rest.
 *
 * A protector keeps the root key once and gives it back at every start. What it needs to find it again (a wrapped root
 * key with its parameters) is `sealed`: no secret by itself, kept in the store beside the canary.
 */

/** Bytes of a root key: AES-256. */
export const ROOT_KEY_BYTES = 32;

export interface RootKeyProtector {
  /** Names the kind in the store, so that a start with another kind is told apart from a wrong key. */
  readonly kind: string;
  /** The root key somebody prepared for an empty store; absent: this kind has no place for one. */
  prepared?(): Promise<Buffer | undefined>;
  /** Keeps a root key, durably, before it resolves with what open() needs. @throws KeyServiceError */
  seal(rootKey: Buffer): Promise<Buffer>;
  /** @throws KeyServiceError root-key-missing, root-key-wrong, root-key-unreadable */
  open(sealed: Buffer): Promise<Buffer>;
  /** Removes what seal() left outside the store, after another protector has taken over. */
  discard?(rootKey: Buffer): Promise<void>;
}
