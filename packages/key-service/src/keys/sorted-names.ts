/**
 * Names in order, so that pages can be cut from them: a list of short sorted lists. In one long list of 100,000 names each new
 * one would move half of the others.
 */

/** A longer list is cut in two. */
const MAX_CHUNK = 512;

export class SortedNames {
  /** None is empty; each begins after the end of the one before. */
  readonly #chunks: string[][] = [];
  #size = 0;

  add(name: string): void {
    const last = this.#chunks[this.#chunks.length - 1];
    const greatest = last?.[last.length - 1];
    if (greatest === undefined || greatest < name) {
      this.append(name, last);
      return;
    }
    const index = this.chunkOf(name);
    const chunk = this.#chunks[index] as string[];
    const at = firstNotBefore(chunk, name);
    if (chunk[at] === name) return;
    chunk.splice(at, 0, name);
    this.#size++;
    if (chunk.length > MAX_CHUNK) this.#chunks.splice(index + 1, 0, chunk.splice(MAX_CHUNK / 2));
  }

  delete(name: string): void {
    const index = this.chunkOf(name);
    const chunk = this.#chunks[index];
    if (chunk === undefined) return;
    const at = firstNotBefore(chunk, name);
    if (chunk[at] !== name) return;
    chunk.splice(at, 1);
    this.#size--;
    if (chunk.length === 0) this.#chunks.splice(index, 1);
  }

  get size(): number {
    return this.#size;
  }

  /** Up to `count` names that sort after `name` (from the start without one). */
  after(name: string | undefined, count: number): readonly string[] {
    let index = name === undefined ? 0 : this.chunkOf(name);
    const first = this.#chunks[index];
    if (first === undefined) return [];
    let at = 0;
    if (name !== undefined) {
      at = firstNotBefore(first, name);
      if (first[at] === name) at++;
    }
    const names = first.slice(at, at + count);
    for (index++; names.length < count && index < this.#chunks.length; index++) {
      const chunk = this.#chunks[index] as string[];
      for (const one of chunk.slice(0, count - names.length)) names.push(one);
    }
    return names;
  }

  /** Behind all others: a store hands out its names in order. */
  private append(name: string, last: string[] | undefined): void {
    if (last === undefined || last.length >= MAX_CHUNK / 2) this.#chunks.push([name]);
    else last.push(name);
    this.#size++;
  }

  /** Index of the list a name is in, or would be: the last that does not begin after it; 0 when all do. */
  private chunkOf(name: string): number {
    let low = 0;
    let high = this.#chunks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#chunks[middle]?.[0] as string) <= name) low = middle + 1;
      else high = middle;
    }
    return Math.max(0, low - 1);
  }
}

function firstNotBefore(names: readonly string[], name: string): number {
  let low = 0;
  let high = names.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((names[middle] as string) < name) low = middle + 1;
    else high = middle;
  }
  return low;
}
