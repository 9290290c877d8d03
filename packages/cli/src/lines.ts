/** Lines of a byte stream, with a bound: what is longer is reported and skipped, never held. */

/** A line without its end (`\n` or `\r\n`), or, when it was longer than the bound, the fact. */
export type Line = { readonly kind: 'line'; readonly bytes: Buffer } | { readonly kind: 'too-long' };

const newline = 0x0a;
const carriageReturn = 0x0d;

/** Splits at `\n`. The last line needs no end. Holds at most `maxBytes` and one chunk. */
export async function* linesOf(chunks: AsyncIterable<Buffer>, maxBytes: number): AsyncGenerator<Line> {
  let parts: Buffer[] = [];
  let length = 0;
  const add = (part: Buffer): void => {
    length += part.length;
    if (length > maxBytes) parts = [];
    else if (part.length > 0) parts.push(part);
  };
  const finish = (): Line => {
    const bytes = parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
    const line: Line =
      length > maxBytes
        ? { kind: 'too-long' }
        : { kind: 'line', bytes: bytes.at(-1) === carriageReturn ? bytes.subarray(0, -1) : bytes };
    parts = [];
    length = 0;
    return line;
  };
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, start)) {
      add(chunk.subarray(start, end));
      yield finish();
      start = end + 1;
    }
    add(chunk.subarray(start));
  }
  if (length > 0) yield finish();
}
