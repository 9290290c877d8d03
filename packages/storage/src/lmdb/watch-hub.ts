/** All watches of a store, found by the keys of a commit. */
import type { Watch, WatchRequest, WatchSink } from '../store.js';
import type { RevisionChanges } from './commit.js';
import { isSingleKey, rangeContains } from './ranges.js';
import { keyText } from './state.js';
import { Watcher, type WatchedStore } from './watcher.js';

export class WatchHub {
  readonly #store: WatchedStore;
  /** Watches of one key, by its text: a commit finds them without asking each. */
  readonly #ofKey = new Map<string, Set<Watcher>>();
  /** Watches of ranges; those of the same range are asked once. */
  readonly #ofRange = new Map<string, Set<Watcher>>();

  constructor(store: WatchedStore) {
    this.#store = store;
  }

  watch(request: WatchRequest, sink: WatchSink): Watch {
    const single = isSingleKey(request);
    const groups = single ? this.#ofKey : this.#ofRange;
    const name = single
      ? keyText(request.key)
      : `${request.key.length}:${keyText(request.key)}${keyText(request.rangeEnd as Buffer)}`;
    const watcher = new Watcher(this.#store, request, sink, () => {
      const group = groups.get(name);
      group?.delete(watcher);
      if (group?.size === 0) groups.delete(name);
    });
    const group = groups.get(name);
    if (group) group.add(watcher);
    else groups.set(name, new Set([watcher]));
    return {
      started: Promise.resolve(this.#store.revision),
      requestProgress: () => watcher.requestProgress(),
      cancel: () => watcher.end('cancelled'),
    };
  }

  /** Tells the live watches what a commit changed. Those behind will read it. */
  report(revisions: readonly RevisionChanges[], revision: number): void {
    if (this.#ofKey.size === 0 && this.#ofRange.size === 0) return;
    const touched = new Set<Watcher>();
    for (const { changes } of revisions) {
      for (const { key } of changes) {
        for (const watcher of this.#ofKey.get(keyText(key)) ?? []) touched.add(watcher);
        for (const group of this.#ofRange.values()) {
          const [first] = group;
          if (!first || touched.has(first) || !rangeContains(first.range, key)) continue;
          for (const watcher of group) touched.add(watcher);
        }
      }
    }
    for (const watcher of touched) if (watcher.isLive) watcher.report(revisions, revision);
  }

  close(): void {
    for (const groups of [this.#ofKey, this.#ofRange]) {
      // Each takes itself out of its group, which iteration over Maps and Sets allows.
      for (const group of groups.values()) for (const watcher of group) watcher.end('closed');
    }
  }
}
