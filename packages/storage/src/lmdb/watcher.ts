/**
 * One watch. While it is behind it reads the change log page by page, one page a turn of the event loop; once it has
 * reached the present it is handed every commit. It keeps no events: a sink that holds it back costs a revision number,
 * and what happened meanwhile is read from the log again.
 */
import type { KeyRange, KeyValue, WatchEvent, WatchRequest, WatchSink } from '../store.js';
import { parseLogEntry, logKey, type LogEntry } from './change-log.js';
import type { RevisionChanges } from './commit.js';
import type { Environment } from './environment.js';
import { recordOf } from './past.js';
import { rangeContains } from './ranges.js';
import {
  corruptRecord,
  parseRecord,
  recordCreateRevision,
  recordModRevision,
  toKeyValue,
  type Record,
} from './record.js';
import type { Change } from './transaction.js';

/** A page ends with the revision in which it reaches one of these. */
const PAGE_ENTRIES = 512;
const PAGE_BYTES = 1024 * 1024;

const EMPTY = Buffer.alloc(0);

/** What a watch needs to know of its store. */
export interface WatchedStore {
  readonly environment: Environment;
  readonly revision: number;
  readonly compactRevision: number;
}

export class Watcher {
  readonly range: KeyRange;
  readonly #sink: WatchSink;
  readonly #store: WatchedStore;
  readonly #prevKv: boolean;
  readonly #onOver: () => void;
  /** First revision not reported yet. */
  #next: number;
  /** `live`: up to date, handed every commit. `behind`: a page will be read. `held`: the sink is not ready. */
  #state: 'live' | 'behind' | 'held' | 'over' = 'behind';
  #progressWanted = false;

  constructor(store: WatchedStore, request: WatchRequest, sink: WatchSink, onOver: () => void) {
    this.#store = store;
    this.#sink = sink;
    this.#onOver = onOver;
    this.#prevKv = request.prevKv ?? false;
    this.range = {
      key: Buffer.from(request.key),
      rangeEnd: request.rangeEnd && Buffer.from(request.rangeEnd),
    };
    this.#next = request.startRevision || store.revision + 1;
    this.#continueLater();
  }

  get isLive(): boolean {
    return this.#state === 'live';
  }

  requestProgress(): void {
    this.#progressWanted = true;
    // Not at once: a commit may be in the middle of being reported.
    setImmediate(() => this.#reportProgress());
  }

  end(kind: 'cancelled' | 'closed'): void {
    this.#end(() => this.#sink.onEnd({ kind }));
  }

  /** Reports a commit to a live watch. */
  report(commit: CommitEvents, revision: number): void {
    const all = commit.events(this.#prevKv);
    const first = all[0]?.kv.modRevision ?? Infinity;
    const events = first >= this.#next ? all : all.filter(({ kv }) => kv.modRevision >= this.#next);
    this.#next = Math.max(this.#next, revision + 1);
    if (events.length > 0) this.#deliver(events, revision);
  }

  #continueLater(): void {
    setImmediate(() => this.#continue());
  }

  #continue(): void {
    if (this.#state !== 'behind') return;
    try {
      if (this.#next < this.#store.compactRevision) {
        const { compactRevision } = this.#store;
        this.#end(() => this.#sink.onEnd({ kind: 'compacted', compactRevision }));
        return;
      }
      const { events, revision } = this.#readPage();
      this.#next = Math.max(this.#next, revision + 1);
      this.#state = 'live';
      if (events.length > 0) this.#deliver(events, revision);
      if (this.#state === 'live') this.#settle();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(reason: unknown): void {
    const error = reason instanceof Error ? reason : new Error(String(reason));
    this.#end(() => this.#sink.onEnd({ kind: 'failed', error }));
  }

  /** Live if nothing is left to read; else on to the next page. */
  #settle(): void {
    if (this.#next <= this.#store.revision) {
      this.#state = 'behind';
      this.#continueLater();
    } else {
      this.#reportProgress();
    }
  }

  #reportProgress(): void {
    if (!this.#progressWanted || this.#state !== 'live') return;
    this.#progressWanted = false;
    this.#sink.onProgress?.(this.#store.revision);
  }

  #deliver(events: readonly WatchEvent[], revision: number): void {
    let ready: Promise<void> | undefined;
    try {
      this.#sink.onEvents(events, revision);
      ready = this.#state === 'live' ? this.#sink.ready?.() : undefined;
    } catch (error) {
      this.#fail(error);
    }
    if (!ready) return;
    this.#state = 'held';
    const release = (): void => {
      if (this.#state !== 'held') return;
      this.#state = 'behind';
      this.#continueLater();
    };
    ready.then(release, release);
  }

  #end(tell: () => void): void {
    if (this.#state === 'over') return;
    this.#state = 'over';
    this.#onOver();
    tell();
  }

  #readPage(): { events: WatchEvent[]; revision: number } {
    const { environment, revision: present } = this.#store;
    const events: WatchEvent[] = [];
    if (this.#next > present) return { events, revision: present };
    let entries = 0;
    let bytes = 0;
    let revision = this.#next;
    const log = environment.tables.log.entries(environment.snapshot, { start: logKey(this.#next, 0) });
    for (const { key, value } of log) {
      const entry = parseLogEntry(key, value);
      if (entry.revision !== revision && (entries >= PAGE_ENTRIES || bytes >= PAGE_BYTES)) {
        return { events, revision };
      }
      revision = entry.revision;
      entries++;
      if (!rangeContains(this.range, entry.key)) continue;
      const event = this.#pastEvent(entry);
      bytes += entry.key.length + event.kv.value.length + (event.prevKv?.value.length ?? 0);
      events.push(event);
    }
    return { events, revision: present };
  }

  #pastEvent({ type, key, revision, replaced }: LogEntry): WatchEvent {
    const { environment } = this.#store;
    const kv = type === 'put' ? this.#putAt(key, revision) : deletedKey(key, revision);
    const before =
      this.#prevKv && replaced > 0
        ? recordOf(environment.tables, environment.snapshot, key, replaced)
        : undefined;
    return before ? { type, kv, prevKv: toKeyValue(key, before) } : { type, kv };
  }

  /** What a put wrote: still current, or replaced since. */
  #putAt(key: Buffer, revision: number): KeyValue {
    const { tables, snapshot } = this.#store.environment;
    const current = tables.current.get(snapshot, key);
    const record: Record | undefined = current && parseRecord(key, current);
    if (record && recordModRevision(record) === revision) return toKeyValue(key, record);
    const replaced = recordOf(tables, snapshot, key, revision);
    if (!replaced || recordCreateRevision(replaced) === 0) throw corruptRecord(key);
    return toKeyValue(key, replaced);
  }
}

/** The events of one commit in one range, made once for all the watches of that range. */
export class CommitEvents {
  readonly #range: KeyRange;
  readonly #revisions: readonly RevisionChanges[];
  #plain: readonly WatchEvent[] | undefined;
  #withPrevious: readonly WatchEvent[] | undefined;

  constructor(range: KeyRange, revisions: readonly RevisionChanges[]) {
    this.#range = range;
    this.#revisions = revisions;
  }

  /** Every revision whole, in order. */
  events(prevKv: boolean): readonly WatchEvent[] {
    if (prevKv) return (this.#withPrevious ??= this.#make(true));
    return (this.#plain ??= this.#make(false));
  }

  #make(prevKv: boolean): WatchEvent[] {
    const events: WatchEvent[] = [];
    for (const { revision, changes } of this.#revisions) {
      for (const change of changes) {
        if (rangeContains(this.#range, change.key)) events.push(toEvent(revision, change, prevKv));
      }
    }
    return events;
  }
}

function toEvent(revision: number, { type, key, record, replaced }: Change, prevKv: boolean): WatchEvent {
  const kv = record ? toKeyValue(key, record) : deletedKey(key, revision);
  return prevKv && replaced ? { type, kv, prevKv: toKeyValue(key, replaced) } : { type, kv };
}

function deletedKey(key: Buffer, revision: number): KeyValue {
  return { key, value: EMPTY, createRevision: 0, modRevision: revision, version: 0, lease: 0n };
}
