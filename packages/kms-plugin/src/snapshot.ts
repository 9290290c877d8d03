/**
 * The key a write uses, as one immutable value.
 *
 * Status and Encrypt are both answered from the same snapshot: an API server that sees their key ids differ refuses to
 * use either (k8s.io/apiserver kmsv2 `State`). A rotation replaces the snapshot, never a part of it.
 */
import { keyIdProblem } from '@waxseal/kms-api';
import { KmsPluginError } from './errors.js';

export interface KeySnapshot {
  /** What Status and Encrypt answer; public, 1..1024 bytes. */
  readonly keyId: string;
  /** The version of the key within its backend, where the plugin knows it. */
  readonly keyVersion: string | undefined;
  /** Bound to every ciphertext as authenticated data, where the backend can. */
  readonly encryptionContext: Readonly<Record<string, string>>;
  /** Every key a DEK is wrapped for, the primary first. */
  readonly recipients: readonly string[];
}

/** @throws KmsPluginError `invalid_options` when the key id is empty or too long */
export function createSnapshot(
  parts: Pick<KeySnapshot, 'keyId'> & Partial<Omit<KeySnapshot, 'keyId'>>,
): KeySnapshot {
  const problem = keyIdProblem(parts.keyId);
  if (problem !== undefined)
    throw new KmsPluginError('invalid_options', `The key cannot be used: ${problem}.`);
  return Object.freeze({
    keyId: parts.keyId,
    keyVersion: parts.keyVersion,
    encryptionContext: Object.freeze({ ...parts.encryptionContext }),
    recipients: Object.freeze([...(parts.recipients ?? [parts.keyId])]),
  });
}

/**
 * Of a provider that has to reach its backend once to know its key: until then Status names none, and Encrypt refuses. An API
 * server that reads an empty key id does not write.
 */
export const noKeyYet: KeySnapshot = Object.freeze({
  keyId: '',
  keyVersion: undefined,
  encryptionContext: Object.freeze({}),
  recipients: Object.freeze([]),
});
