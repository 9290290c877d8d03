/**
 * How a resource's values lie in storage once all of them are written again, told of a value without opening it: the provider, the key's
 * name or the KMS's keyID, and the type of the DEK source.
 */
import {
  decodeEncryptedObject,
  EnvelopeError,
  type DekSourceType,
  type Transformer,
} from '@waxseal/envelope';
import { describeStoredValue } from '../stored-value.js';
import { seal } from './seal.js';

/** True for values that are written as they should be. */
export type Target = (value: Buffer) => boolean;

const NOTHING = Buffer.from('{}');

/** Seals a value to see how it is done now. @throws OpsError source-unreadable when nothing can be sealed */
export async function targetOf(transformer: Transformer): Promise<Target> {
  const sample = await seal(transformer, NOTHING, Buffer.from('/target'));
  const { provider, key, kmsName } = describeStoredValue(sample);
  if (provider !== 'kms-v2') {
    return (value) => {
      const kind = describeStoredValue(value);
      return kind.provider === provider && kind.key === key && kind.problem === undefined;
    };
  }
  const prefix = Buffer.from(`k8s:enc:kms:v2:${kmsName ?? ''}:`);
  const wanted = sourceOf(sample.subarray(prefix.length));
  return (value) => {
    if (!value.subarray(0, prefix.length).equals(prefix)) return false;
    const found = sourceOf(value.subarray(prefix.length));
    return found?.keyId === wanted?.keyId && found?.type === wanted?.type;
  };
}

function sourceOf(body: Buffer): { readonly keyId: string; readonly type: DekSourceType } | undefined {
  try {
    const { keyId, encryptedDekSourceType: type } = decodeEncryptedObject(body);
    return { keyId, type };
  } catch (error) {
    if (error instanceof EnvelopeError) return undefined;
    throw error;
  }
}
