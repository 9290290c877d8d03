/**
 * The wildcards of IAM policies: `*` is any run of characters, `?` is one.
 *
 * Written without regular expressions: a hostile pattern such as `*a*a*a*b` costs pattern times text, never more.
 */

export type Glob = (text: string) => boolean;

export function compileGlob(pattern: string, ignoreCase = false): Glob {
  const wanted = ignoreCase ? pattern.toLowerCase() : pattern;
  const fold = ignoreCase ? (text: string): string => text.toLowerCase() : (text: string): string => text;
  if (/^\*+$/.test(wanted)) return () => true;
  if (!/[*?]/.test(wanted)) return (text) => fold(text) === wanted;
  if (/^[^*?]*\*$/.test(wanted)) {
    const prefix = wanted.slice(0, -1);
    return (text) => fold(text).startsWith(prefix);
  }
  return (text) => matches(wanted, fold(text));
}

function matches(pattern: string, text: string): boolean {
  let p = 0;
  let t = 0;
  let star = -1;
  let starText = 0;
  while (t < text.length) {
    const wanted = pattern[p];
    if (wanted === '*') {
      star = p++;
      starText = t;
    } else if (wanted !== undefined && (wanted === '?' || wanted === text[t])) {
      p++;
      t++;
    } else if (star >= 0) {
      // Only the last star may grow: whatever an earlier one could take, this one can take too.
      p = star + 1;
      t = ++starText;
    } else {
      return false;
    }
  }
  while (pattern[p] === '*') p++;
  return p === pattern.length;
}
