/**
 * Stored values in bytes that nothing points to any more. A key with the framing of mvccpb.KeyValue (0a ‖ length ‖ key ‖ 10 …) or of
 * PutRequest (0a ‖ length ‖ key ‖ 12 …) in front of a value is one; the value may have been overwritten from some byte on.
 */
export interface Fragment {
  /** Where its message begins. */
  readonly at: number;
  readonly key: Buffer;
  /** As much of it as is there. */
  readonly value: Buffer;
  /** False: its end was overwritten. */
  readonly isWhole: boolean;
}

const KEY_TAG = 0x0a;
const KEY_VALUE_VALUE_TAG = 0x2a;
const PUT_VALUE_TAG = 0x12;
/** create_revision, mod_revision, version: each a varint. */
const NUMBER_TAGS: readonly number[] = [0x10, 0x18, 0x20];
const KEY_BYTES_MAX = 2048;
const PRINTABLE_FIRST = 0x21;
const PRINTABLE_LAST = 0x7e;

/** @param prefix what keys begin with: `/registry/` */
export function* findFragments(bytes: Buffer, prefix: Buffer): Generator<Fragment> {
  let from = 0;
  for (;;) {
    const keyAt = bytes.indexOf(prefix, from);
    if (keyAt === -1) return;
    from = keyAt + prefix.length;
    const fragment = fragmentAt(bytes, keyAt);
    if (fragment === undefined) continue;
    from = keyAt + fragment.key.length;
    yield fragment;
  }
}

function fragmentAt(bytes: Buffer, keyAt: number): Fragment | undefined {
  const key = keyIn(bytes, keyAt);
  if (key === undefined) return undefined;
  let at = keyAt + key.bytes.length;
  while (NUMBER_TAGS.includes(bytes[at] ?? 0)) {
    const number = varintAt(bytes, at + 1);
    if (number === undefined) return undefined;
    at = number.end;
  }
  const tag = bytes[at];
  if (tag !== KEY_VALUE_VALUE_TAG && tag !== PUT_VALUE_TAG) return undefined;
  const length = varintAt(bytes, at + 1);
  if (length === undefined || length.value === 0 || length.end >= bytes.length) return undefined;
  const end = Math.min(bytes.length, length.end + length.value);
  return {
    at: key.at,
    key: key.bytes,
    value: bytes.subarray(length.end, end),
    isWhole: end === length.end + length.value,
  };
}

/** The length in front is one byte, or two. */
function keyIn(bytes: Buffer, keyAt: number): { readonly at: number; readonly bytes: Buffer } | undefined {
  for (const at of [keyAt - 2, keyAt - 3]) {
    if (at < 0 || bytes[at] !== KEY_TAG) continue;
    const length = varintAt(bytes, at + 1);
    if (length === undefined || length.end !== keyAt) continue;
    if (length.value > KEY_BYTES_MAX || keyAt + length.value > bytes.length) continue;
    const key = bytes.subarray(keyAt, keyAt + length.value);
    if (key.every((byte) => byte >= PRINTABLE_FIRST && byte <= PRINTABLE_LAST)) return { at, bytes: key };
  }
  return undefined;
}

function varintAt(bytes: Buffer, at: number): { readonly value: number; readonly end: number } | undefined {
  let value = 0;
  for (let index = 0; index < 8; index++) {
    const byte = bytes[at + index];
    if (byte === undefined) return undefined;
    value += (byte & 0x7f) * 2 ** (7 * index);
    if (byte < 0x80) return { value, end: at + index + 1 };
  }
  return undefined;
}
