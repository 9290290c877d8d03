/**
 * Text from outside, for a terminal: names in storage are chosen by whoever can write there, and a control character in one could rewrite the
 * line above it, or the window's title.
 */

/** C0, DEL, C1, the marks that change the direction of writing, line and paragraph separators, halves of a pair. */
const UNPRINTABLE = /[\p{Cc}\p{Bidi_Control}\u2028\u2029\ufeff\p{Cs}]/gu;

/** One line, with `\u001b` in the place of what a terminal would act on. */
export function printable(text: string): string {
  return text.replaceAll(
    UNPRINTABLE,
    (character) => `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`,
  );
}

/** What is meant to be several lines stays so. */
export function printableLines(text: string): string {
  return text.split('\n').map(printable).join('\n');
}

/** One line of JSON: JSON leaves some characters that act on a terminal as they are; written out they are the same JSON. */
export function printableJson(value: unknown): string {
  return printable(JSON.stringify(value));
}

/** Wider columns push everything else off the screen. */
const CELL_MAX_CHARACTERS = 120;
const CELL_END_CHARACTERS = 24;

/** The same, shortened in the middle: names differ at their beginning and their end. */
export function shortPrintable(text: string): string {
  const whole = text.length > 8 * CELL_MAX_CHARACTERS ? cut(text, 8 * CELL_MAX_CHARACTERS) : text;
  const shown = printable(whole);
  return shown.length <= CELL_MAX_CHARACTERS ? shown : cut(shown, CELL_MAX_CHARACTERS);
}

function cut(text: string, characters: number): string {
  return `${text.slice(0, characters - CELL_END_CHARACTERS - 1)}…${text.slice(-CELL_END_CHARACTERS)}`;
}
