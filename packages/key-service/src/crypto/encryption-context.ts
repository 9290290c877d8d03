/**
 * The encryption context as bytes.
 *
 * A context is a set of pairs, so its encoding must not depend on their order, and two different contexts must never
 * share an encoding (`{a:"bc"}` is not `{ab:"c"}`): pairs sorted by the UTF-8 bytes of the key, every string preceded
 * by its length. docs/formats/key-service-ciphertext-blob.md.
 */

export type EncryptionContext = Readonly<Record<string, string>>;

const EMPTY = Buffer.alloc(4);

/** uint32 number of pairs, then for each: uint32 length, key, uint32 length, value. No context is the empty context. */
export function encodeEncryptionContext(context: EncryptionContext | undefined): Buffer {
  if (context === undefined) return EMPTY;
  const keys = Object.keys(context);
  if (keys.length === 0) return EMPTY;
  const pairs = keys.map((key) => [Buffer.from(key), Buffer.from(context[key] as string)] as const);
  if (pairs.length > 1) pairs.sort(([a], [b]) => Buffer.compare(a, b));
  let size = 4;
  for (const [key, value] of pairs) size += 8 + key.length + value.length;
  const encoded = Buffer.allocUnsafe(size);
  let at = encoded.writeUInt32BE(pairs.length, 0);
  for (const pair of pairs) {
    for (const part of pair) {
      at = encoded.writeUInt32BE(part.length, at);
      at += part.copy(encoded, at);
    }
  }
  return encoded;
}
