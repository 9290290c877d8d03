/**
 * Whether opened bytes may be sealed again. Identity and aescbc prove nothing: a prefix with a flipped bit reads as plaintext, and under a wrong
 * key of the right name one value in 256 passes aescbc's padding and opens to noise. Sealed under a provider that does authenticate, either
 * would look sound for ever. So what they open must be what an API server stores, protobuf or JSON, or at least text; noise is neither.
 * Whether an object is whole is what `waxseal verify --decode` asks.
 */
import { isUtf8 } from 'node:buffer';
import { describeStoredValue, type ProviderKind } from '../stored-value.js';

const PROTOBUF_MAGIC = Buffer.from('k8s\0');
const UNPROVEN: ReadonlySet<ProviderKind> = new Set(['identity', 'aescbc']);

/** @param data what `value`, as stored, opened to. Total. */
export function couldBeContent(value: Buffer, data: Buffer): boolean {
  if (data.length === 0) return false;
  if (!UNPROVEN.has(describeStoredValue(value).provider)) return true;
  return data.subarray(0, PROTOBUF_MAGIC.length).equals(PROTOBUF_MAGIC) || isText(data);
}

/** Control characters but for tab, line feed and carriage return are in no JSON and no text. */
function isText(data: Buffer): boolean {
  return isUtf8(data) && !/[^\t\n\r -\xff]/.test(data.toString('latin1'));
}
