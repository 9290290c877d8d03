/** Values that do not open, met in order of revision: the newest of each key is live, unless something came after it. */

export interface UnreadableValue {
  readonly key: string;
  readonly revision: number;
  readonly reason: string;
}

export class UnreadableValues {
  readonly #newest = new Map<string, UnreadableValue>();
  #pastCount = 0;

  add(value: UnreadableValue): void {
    this.supersede(value.key);
    this.#newest.set(value.key, value);
  }

  /** The key has a later revision. */
  supersede(key: string): void {
    if (this.#newest.delete(key)) this.#pastCount++;
  }

  get live(): readonly UnreadableValue[] {
    return [...this.#newest.values()];
  }

  get pastCount(): number {
    return this.#pastCount;
  }
}
