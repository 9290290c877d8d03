/** How the objects of a run came out. */

/** Every listed object is exactly one of skipped, rewritten, conflicts, gone, failed; in a dry run stale ones are none of them. */
export interface RewrapCounts {
  /** Objects read. */
  readonly listed: number;
  /** Found to be written otherwise than a write would now. */
  readonly stale: number;
  /** Not stale: nothing to do. */
  readonly skipped: number;
  /** Written again by this run. */
  readonly rewritten: number;
  /** Somebody else wrote them first, as a write would now: nothing left to do. */
  readonly conflicts: number;
  /** Deleted meanwhile: nothing left to do. */
  readonly gone: number;
  /** Could not be read or written; they are as they were. */
  readonly failed: number;
}

export type MutableCounts = { -readonly [K in keyof RewrapCounts]: RewrapCounts[K] };

export function noCounts(): MutableCounts {
  return { listed: 0, stale: 0, skipped: 0, rewritten: 0, conflicts: 0, gone: 0, failed: 0 };
}

export const countNames = Object.keys(noCounts()) as readonly (keyof RewrapCounts)[];

export function addCounts(total: MutableCounts, more: RewrapCounts): void {
  for (const name of countNames) total[name] += more[name];
}

/** False: an object was counted twice or not at all, which is a fault of the run and no fact about the objects. */
export function countsAddUp(counts: RewrapCounts, dryRun: boolean): boolean {
  const ended = counts.skipped + counts.rewritten + counts.conflicts + counts.gone + counts.failed;
  return counts.listed === ended + (dryRun ? counts.stale : 0);
}
