/**
 * Whether opened bytes may be sealed again. Identity and aescbc prove nothing: a prefix with a flipped bit reads as plaintext, and under a wrong
 * key of the right name one value in 256 passes aescbc's padding and opens to noise. Sealed under a provider that does authenticate, either
 * would look sound for ever. Whether an object is whole is what `waxseal verify --decode` asks.
 */
import { isUtf8 } from 'node:buffer';
import { wasSealed } from '../verify/prefix-damage.js';

/**
 * - `sound`: authenticated, or what an API server stores (protobuf, or JSON or other text), or plaintext that is no sealed value cut or changed
 * - `doubtful`: noise that aescbc opened; it depends on whether the key is the right one
 * - `damaged`: empty, or the prefix of a sealed value is still to be seen in it
 */
export type ContentVerdict = 'sound' | 'doubtful' | 'damaged';

const PROTOBUF_MAGIC = Buffer.from('k8s\0');
const SEALED_PREFIX = Buffer.from('k8s:enc:');
const AESCBC_PREFIX = Buffer.from('k8s:enc:aescbc:');

/** @param data what `value`, as stored, opened to. Total. */
export function judgeContent(value: Buffer, data: Buffer): ContentVerdict {
  if (startsWith(value, AESCBC_PREFIX))
    return startsWith(data, PROTOBUF_MAGIC) || isText(data) ? 'sound' : 'doubtful';
  if (startsWith(value, SEALED_PREFIX)) return 'sound';
  return wasSealed(data) ? 'damaged' : 'sound';
}

const startsWith = (data: Buffer, start: Buffer): boolean => data.subarray(0, start.length).equals(start);

/** Control characters but for tab, line feed and carriage return are in no JSON and no text. */
function isText(data: Buffer): boolean {
  return data.length > 0 && isUtf8(data) && !/[^\t\n\r -\xff]/.test(data.toString('latin1'));
}
