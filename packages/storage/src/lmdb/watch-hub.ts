/** All watches of a store, found by the keys of a commit. */
import type { Watch, WatchRequest, WatchSink } from '../store.js';
import type { RevisionChanges } from './commit.js';
import { isSingleKey, rangeContains } from './ranges.js';
import { keyText } from './state.js';
import { CommitEvents, Watcher, type WatchedStore } from './watcher.js';

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
    const touched = new Set<Set<Watcher>>();
    for (const { changes } of revisions) {
      for (const { key } of changes) {
        const ofKey = this.#ofKey.get(keyText(key));
        if (ofKey) touched.add(ofKey);
        for (const group of this.#ofRange.values()) {
          const [first] = group;
          if (first && !touched.has(group) && rangeContains(first.range, key)) touched.add(group);
        }
      }
    }
    for (const group of touched) {
      const [first] = group;
      const events = first && new CommitEvents(first.range, revisions);
      for (const watcher of group) if (events && watcher.isLive) watcher.report(events, revision);
    }
  }

  close(): void {
    for (const groups of [this.#ofKey, this.#ofRange]) {
      // Each takes itself out of its group, which iteration over Maps and Sets allows.
      for (const group of groups.values()) for (const watcher of group) watcher.end('closed');
    }
  }
}
