/**
 * The last way to the data: the DEK source of a stored value by an escrow identity alone, without any key service and without the configuration that wrote it.
 */
import { KmsPluginError } from '../errors.js';
import { annotationName, parseAnnotation, recipientsOf, tagFits, type PrimaryPart } from './annotation.js';
import type { EscrowIdentity } from './escrow-identity.js';

export interface RecoveredDekSource {
  /** The caller's, who overwrites it. */
  readonly dekSource: Buffer;
  /** The name it was found under. */
  readonly recipient: string;
}

/**
 * @param value keyId, encrypted DEK source and annotations as they are stored
 * @throws KmsPluginError `recovery_failed`, with what each recipient's annotation was good for
 */
export async function recoverDekSource(
  value: PrimaryPart,
  identity: EscrowIdentity,
): Promise<RecoveredDekSource> {
  const names = recipientsOf(value.annotations);
  if (names.length === 0) {
    throw new KmsPluginError(
      'recovery_failed',
      'The value was written without recipients: only the key that its key id names opens it.',
    );
  }
  const reasons: string[] = [];
  for (const name of names) {
    const bytes = value.annotations[annotationName(name)];
    const annotation = bytes && parseAnnotation(bytes);
    if (annotation === undefined) {
      reasons.push(`${name}: not in a format this version knows`);
      continue;
    }
    if (annotation.kind !== identity.kind || !identity.keyIds.includes(annotation.keyId)) {
      const escrow = annotation.kind === 'provider' ? 'a key service, no escrow key' : 'another escrow key';
      reasons.push(`${name}: wrapped for ${escrow}, ${annotation.keyId}`);
      continue;
    }
    let dekSource: Buffer;
    try {
      dekSource = await identity.unwrap(annotation);
    } catch (error) {
      reasons.push(`${name}: ${error instanceof Error ? error.message : 'not opened'}`);
      continue;
    }
    if (tagFits(name, annotation, dekSource, value)) return { dekSource, recipient: name };
    dekSource.fill(0);
    reasons.push(`${name}: belongs to another value, or the value was changed`);
  }
  throw new KmsPluginError(
    'recovery_failed',
    `This identity opens none of the recipients of the value:\n  ${reasons.join('\n  ')}`,
  );
}
