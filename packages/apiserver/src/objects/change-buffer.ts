/** The recent past of one resource, bounded by number and bytes; a revision is remembered whole or not at all. */
import type { Change } from './change.js';

const MAX_CHANGES = 1000;
const MAX_BYTES = 16 * 1024 * 1024;

export class ChangeBuffer {
  readonly #changes: Change[] = [];
  #sizeBytes = 0;
  #from = 0;

  /** Every change after this revision is here. */
  get from(): number {
    return this.#from;
  }

  /** Forgets everything; what follows comes after `revision`. */
  restart(revision: number): void {
    this.#changes.length = 0;
    this.#sizeBytes = 0;
    this.#from = revision;
  }

  add(change: Change): void {
    this.#changes.push(change);
    this.#sizeBytes += change.sizeBytes;
    while (this.#changes.length > MAX_CHANGES || this.#sizeBytes > MAX_BYTES) this.#forgetOldest();
  }

  after(revision: number): readonly Change[] {
    return this.#changes.filter((change) => change.revision > revision);
  }

  #forgetOldest(): void {
    const { revision } = this.#changes[0] as Change;
    const kept = this.#changes.findIndex((change) => change.revision !== revision);
    const gone = this.#changes.splice(0, kept === -1 ? this.#changes.length : kept);
    for (const { sizeBytes } of gone) this.#sizeBytes -= sizeBytes;
    this.#from = revision;
  }
}
