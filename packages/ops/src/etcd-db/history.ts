/**
 * What became of each stored revision: still live, replaced, deleted. One number each, in the order of the `key` bucket, which is the
 * order of revisions.
 */
const CHUNK = 1 << 16;

/** A tombstone, or a revision without a key as `etcdutl snapshot restore --bump-revision` writes it. */
const NO_VALUE = Number.NaN;

export type Fate =
  | { readonly kind: 'live' }
  | { readonly kind: 'replaced'; readonly atRevision: number }
  | { readonly kind: 'deleted'; readonly atRevision: number }
  | { readonly kind: 'no-value' };

export class History {
  /** 0: live. Positive: replaced at that revision. Negative: deleted at it. */
  readonly #fates: Float64Array[] = [];
  #length = 0;
  #live = 0;

  get liveCount(): number {
    return this.#live;
  }

  /** Adds the next revision; its place is the one `fateAt` takes. */
  add(hasValue: boolean): number {
    const place = this.#length++;
    if (place % CHUNK === 0) this.#fates.push(new Float64Array(CHUNK));
    if (hasValue) this.#live++;
    else this.#write(place, NO_VALUE);
    return place;
  }

  supersede(place: number, atRevision: number, deleted: boolean): void {
    if (this.#read(place) !== 0) return;
    this.#live--;
    this.#write(place, deleted ? -atRevision : atRevision);
  }

  isLive(place: number): boolean {
    return this.#read(place) === 0;
  }

  fateAt(place: number): Fate {
    const fate = this.#read(place);
    if (fate === 0) return { kind: 'live' };
    if (Number.isNaN(fate)) return { kind: 'no-value' };
    return fate > 0 ? { kind: 'replaced', atRevision: fate } : { kind: 'deleted', atRevision: -fate };
  }

  #read(place: number): number {
    return this.#fates[Math.floor(place / CHUNK)]?.[place % CHUNK] ?? NO_VALUE;
  }

  #write(place: number, fate: number): void {
    const chunk = this.#fates[Math.floor(place / CHUNK)];
    if (chunk !== undefined) chunk[place % CHUNK] = fate;
  }
}
