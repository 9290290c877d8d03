/**
 * What opened bytes say against the key they lie under. Where a tag covers bytes and key, opening is proof enough, and whoever holds the key
 * may store what he likes. Elsewhere the object that should be in it is what tells a sound value from a moved or a changed one.
 */
import type { StoredValueKind } from '../stored-value.js';
import type { Finding } from './causes.js';
import { bodyOf, wasSealed } from './prefix-damage.js';
import { objectFinding, readObjectIdentity } from './stored-object.js';
import type { Subject } from './diagnose.js';

const BLOCK_BYTES = 16;

/** `no-object`: a fault only in a store of Kubernetes objects, which is known at the end. */
type ContentFinding = Finding | { readonly cause: 'no-object'; readonly message: string };

export interface Contents {
  judge(subject: Pick<Subject, 'path' | 'value' | 'kind'>, data: Buffer): ContentFinding | undefined;
  /** Whether some value held the object that its key names. */
  holdsObjects(): boolean;
}

export function createContents(): Contents {
  let objects = false;
  return {
    judge({ path, value, kind }, data) {
      const finding = objectFinding(data, path);
      if (finding === undefined) objects = true;
      if (finding === undefined || isBoundToKey(kind, value)) return undefined;
      if (finding.cause === 'truncated' || readObjectIdentity(data) !== undefined) return finding;
      if (kind.provider === 'secretbox') return undefined;
      const isDamage = data.length === 0 || (kind.provider === 'identity' && wasSealed(data));
      return isDamage ? finding : { cause: 'no-object', message: finding.message };
    },
    holdsObjects: () => objects,
  };
}

/** KMS v1 falls back to CBC, which a sealed text of whole blocks may be. */
function isBoundToKey({ provider }: StoredValueKind, value: Buffer): boolean {
  if (provider !== 'kms-v1') return provider === 'aesgcm' || provider === 'kms-v2';
  const body = bodyOf(value);
  return (body.length - 2 - body.readUInt16BE(0)) % BLOCK_BYTES !== 0;
}
