/** A set of page numbers: one bit each. */
export class PageSet {
  readonly #bits: Uint8Array;

  /** @param pages numbers 0 to `pages` - 1 */
  constructor(pages: number) {
    this.#bits = new Uint8Array(Math.ceil(pages / 8));
  }

  has(page: number): boolean {
    return ((this.#bits[page >>> 3] ?? 0) & (1 << (page & 7))) !== 0;
  }

  add(page: number): void {
    this.#bits[page >>> 3] = (this.#bits[page >>> 3] ?? 0) | (1 << (page & 7));
  }
}
