/** Levenshtein's distance between names: how many characters must be put in, taken out or changed. */

/** Names are short; of longer ones the beginnings are compared. */
const LENGTH_MAX = 256;

export function editDistance(from: string, to: string): number {
  const [a, b] = [from.slice(0, LENGTH_MAX), to.slice(0, LENGTH_MAX)];
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const changed = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(changed, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
