/** Numbers and keys as bytes that sort the way they count (docs/formats/lmdb-store.md). */

const WORD = 0x1_0000_0000;

/** A revision: 8 bytes, big-endian. */
export function writeRevision(target: Buffer, revision: number, offset: number): void {
  target.writeUInt32BE(Math.floor(revision / WORD), offset);
  target.writeUInt32BE(revision % WORD, offset + 4);
}

export function readRevision(source: Buffer, offset: number): number {
  return source.readUInt32BE(offset) * WORD + source.readUInt32BE(offset + 4);
}

/**
 * A key so that what follows it cannot change its order: 00 becomes 00 01, and 00 00 ends it. Bytewise, `a` then sorts
 * before `a\0`, and `a\0` before `ab`, as the keys themselves do.
 */
export function escapedKey(key: Buffer, roomAfter: number): Buffer {
  let zeros = 0;
  for (let at = key.indexOf(0); at >= 0; at = key.indexOf(0, at + 1)) zeros++;
  const escaped = Buffer.allocUnsafe(key.length + zeros + 2 + roomAfter);
  let end = 0;
  if (zeros === 0) {
    key.copy(escaped);
    end = key.length;
  } else {
    for (const byte of key) {
      escaped[end++] = byte;
      if (byte === 0) escaped[end++] = 1;
    }
  }
  escaped[end] = 0;
  escaped[end + 1] = 0;
  return escaped;
}

/** Undoes `escapedKey`, given its bytes without the end mark. */
export function unescapedKey(escaped: Buffer): Buffer {
  if (!escaped.includes(0)) return escaped;
  const key = Buffer.allocUnsafe(escaped.length);
  let end = 0;
  for (let i = 0; i < escaped.length; i++) {
    key[end++] = escaped[i] as number;
    if (escaped[i] === 0) i++;
  }
  return key.subarray(0, end);
}
