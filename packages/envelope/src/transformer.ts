/**
 * The contract every way of storing a value keeps.
 *
 * Source of the rule: k8s.io/apiserver `storage/value` (Transformer, Context). A transformer turns the serialised
 * object into the bytes that lie in storage and back, and says on the way back whether those bytes are stale: written
 * by another provider, key or DEK source than a write would use now.
 */

/** A value now, or later when a KMS has to be asked. Hot paths stay synchronous: check before you await. */
export type MaybePromise<T> = T | Promise<T>;

/** What reading a stored value gives. */
export interface Opened {
  /** The serialised object, as it was given to `transformToStorage`. */
  readonly data: Buffer;
  /** True when an update of this object must write it again even if nothing in it changed. */
  readonly stale: boolean;
}

export interface Transformer {
  /**
   * Opens stored bytes.
   *
   * @param stored the value as it lies in storage, prefix included
   * @param authenticatedData the full storage key, e.g. `/registry/secrets/default/db`, as UTF-8 bytes
   * @throws EnvelopeError (or the promise rejects with it) when no provider can open the value
   */
  transformFromStorage(stored: Buffer, authenticatedData: Buffer): MaybePromise<Opened>;

  /**
   * Seals serialised bytes for storage.
   *
   * @param data the serialised object
   * @param authenticatedData as above; the value opens only under the same storage key
   */
  transformToStorage(data: Buffer, authenticatedData: Buffer): MaybePromise<Buffer>;
}
