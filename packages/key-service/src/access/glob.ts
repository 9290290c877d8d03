/**
 * The wildcards of IAM policies: `*` is any run of characters, `?` is one.
 *
 * A pattern is kept as text in which two private-use characters stand for the wildcards, so that text put in for a
 * policy variable can never act as one. Nothing here backtracks: a pattern is cut at its runs, each piece is searched for
 * once from left to right, and long pieces are searched bit-parallel (Baeza-Yates and Gonnet, "shift-and"), so a
 * hostile pattern such as `*a*a*a*b` costs little more than reading the text.
 */

export type Glob = (text: string) => boolean;

/** Any run of characters, in a pattern. */
const ANY_RUN = '\uE000';
/** Any one character, in a pattern. */
const ANY_ONE = '\uE001';

/** Up to this many comparisons a plain search is faster than preparing a bit-parallel one. */
const MAX_PLAIN_STEPS = 16_384;

/** Reads `*` and `?` as wildcards. */
export function toPattern(text: string): string {
  return text.replaceAll('*', ANY_RUN).replaceAll('?', ANY_ONE);
}

/** True when the text itself holds the characters that stand for wildcards. */
export function holdsWildcardMarks(text: string): boolean {
  return text.includes(ANY_RUN) || text.includes(ANY_ONE);
}

export function compileGlob(text: string, ignoreCase = false): Glob {
  const glob = compilePattern(toPattern(ignoreCase ? text.toLowerCase() : text));
  return ignoreCase ? (subject) => glob(subject.toLowerCase()) : glob;
}

/** @param pattern as toPattern makes it */
export function compilePattern(pattern: string): Glob {
  const pieces = pattern.split(ANY_RUN);
  const head = pieces[0] as string;
  if (pieces.length === 1) {
    return head.includes(ANY_ONE)
      ? (text) => text.length === head.length && matchesAt(head, text, 0)
      : (text) => text === head;
  }
  const tail = pieces[pieces.length - 1] as string;
  const middle = pieces.slice(1, -1).filter((piece) => piece !== '');
  if (head === '' && tail === '' && middle.length === 0) return () => true;
  const fixed = head.length + tail.length;
  return (text) => {
    if (text.length < fixed) return false;
    const end = text.length - tail.length;
    if (!matchesAt(head, text, 0) || !matchesAt(tail, text, end)) return false;
    let at = head.length;
    for (const piece of middle) {
      // The leftmost place is the best one: whatever could follow a later place can follow this one too.
      const found = find(piece, text, at, end);
      if (found < 0) return false;
      at = found + piece.length;
    }
    return true;
  };
}

function matchesAt(piece: string, text: string, at: number): boolean {
  if (!piece.includes(ANY_ONE)) return text.startsWith(piece, at);
  for (let i = 0; i < piece.length; i++) {
    if (piece[i] !== ANY_ONE && piece[i] !== text[at + i]) return false;
  }
  return true;
}

/** Where the piece first lies in `text` between `from` and `end`; -1: nowhere. */
function find(piece: string, text: string, from: number, end: number): number {
  const last = end - piece.length;
  if (last < from) return -1;
  if ((last - from + 1) * piece.length > MAX_PLAIN_STEPS) return findBitParallel(piece, text, from, end);
  for (let at = from; at <= last; at++) {
    if (matchesAt(piece, text, at)) return at;
  }
  return -1;
}

function findBitParallel(piece: string, text: string, from: number, end: number): number {
  const words = Math.ceil(piece.length / 32);
  // masks.get(c) has bit i set where the piece's character i accepts c.
  const anyOne = new Uint32Array(words);
  const masks = new Map<string, Uint32Array>();
  for (let i = 0; i < piece.length; i++) {
    if (piece[i] === ANY_ONE) setBit(anyOne, i);
  }
  for (let i = 0; i < piece.length; i++) {
    const char = piece[i] as string;
    if (char === ANY_ONE) continue;
    let mask = masks.get(char);
    if (mask === undefined) masks.set(char, (mask = Uint32Array.from(anyOne)));
    setBit(mask, i);
  }
  // Bit i of the state: the piece's first i + 1 characters end at the character just read.
  const state = new Uint32Array(words);
  const lastWord = words - 1;
  const lastBit = 1 << ((piece.length - 1) & 31);
  for (let at = from; at < end; at++) {
    const mask = masks.get(text[at] as string) ?? anyOne;
    let carry = 1;
    for (let word = 0; word < words; word++) {
      const before = state[word] as number;
      state[word] = ((before << 1) | carry) & (mask[word] as number);
      carry = before >>> 31;
    }
    if (((state[lastWord] as number) & lastBit) !== 0) return at - piece.length + 1;
  }
  return -1;
}

function setBit(bits: Uint32Array, at: number): void {
  bits[at >>> 5] = (bits[at >>> 5] as number) | (1 << (at & 31));
}
