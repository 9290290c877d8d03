/**
 * Values of a Store that were replaced or deleted and not yet compacted. A watch from the first readable revision brings every change
 * since with the value before it: each of those is a past value, and there are no others.
 */
import { type Store, StoreError, type StoreWatchEnd, type WatchEvent } from '@waxseal/storage';
import { OpsError } from '../errors.js';
import type { PastKeyValue } from './source.js';
import { rangeOf, toOpsError, unlessAborted } from './store-reading.js';

export interface HistoryRange {
  /** The first revision that can be read. */
  readonly fromRevision: number;
  /** The last one of interest. */
  readonly revision: number;
  readonly prefix: Buffer;
  /** Aborted, it ends with OpsError interrupted. */
  readonly signal?: AbortSignal | undefined;
  /** A store that sends nothing for so long is away: watches wait for it without end. Default 60 s. */
  readonly silenceMs?: number | undefined;
}

const SILENCE_MS = 60_000;

/** The watch is held while more than this waits to be used. */
const WAITING_EVENTS_MAX = 1_000;

export async function* pastOf(name: string, store: Store, range: HistoryRange): AsyncGenerator<PastKeyValue> {
  const { fromRevision, revision, prefix, signal, silenceMs = SILENCE_MS } = range;
  if (fromRevision >= revision) return;
  const changes = new Changes();
  const watch = store.watch({ ...rangeOf(prefix), startRevision: fromRevision + 1, prevKv: true }, changes);
  try {
    await soon(watch.started, silenceMs, signal);
    watch.requestProgress();
    for (;;) {
      const taken = changes.take();
      for (const { kv, type, prevKv } of taken.events) {
        if (kv.modRevision > revision || prevKv === undefined) continue;
        yield { ...prevKv, supersededBy: type === 'put' ? kv.modRevision : undefined };
      }
      if (taken.end !== undefined) throw endOf(name, taken.end);
      if (taken.reached >= revision) return;
      if (taken.events.length === 0) await soon(changes.more(), silenceMs, signal);
    }
  } catch (error) {
    throw toOpsError(name, error);
  } finally {
    watch.cancel();
  }
}

async function soon<T>(answer: Promise<T>, silenceMs: number, signal: AbortSignal | undefined): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new StoreError('timeout', `nothing was heard of it for ${silenceMs / 1000} s`));
    }, silenceMs);
  });
  try {
    const first = Promise.race([answer, silence]);
    return await (signal === undefined ? first : unlessAborted(first, signal));
  } finally {
    clearTimeout(timer);
  }
}

/** What the watch brought and nobody took yet. */
class Changes {
  #events: WatchEvent[] = [];
  #reached = 0;
  #end: StoreWatchEnd | undefined;
  #wake: (() => void) | undefined;
  #room: (() => void) | undefined;

  onEvents(events: readonly WatchEvent[], revision: number): void {
    for (const event of events) this.#events.push(event);
    this.onProgress(revision);
  }

  onProgress(revision: number): void {
    this.#reached = Math.max(this.#reached, revision);
    this.#wake?.();
  }

  onEnd(end: StoreWatchEnd): void {
    this.#end = end;
    this.#wake?.();
    this.#room?.();
  }

  ready(): Promise<void> | undefined {
    if (this.#events.length < WAITING_EVENTS_MAX || this.#end !== undefined) return undefined;
    return new Promise((resolve) => {
      this.#room = resolve;
    });
  }

  take(): {
    readonly events: readonly WatchEvent[];
    readonly reached: number;
    readonly end: StoreWatchEnd | undefined;
  } {
    const taken = { events: this.#events, reached: this.#reached, end: this.#end };
    this.#events = [];
    this.#room?.();
    return taken;
  }

  /** Resolves when there may be something to take. */
  more(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
      if (this.#events.length > 0 || this.#end !== undefined) resolve();
    });
  }
}

function endOf(name: string, end: StoreWatchEnd): Error {
  if (end.kind === 'failed') return end.error;
  const why = end.kind === 'compacted' ? 'its history was compacted meanwhile' : 'its connection was closed';
  return new OpsError('source-unreadable', `${name} was not read to the end: ${why}; run it again.`);
}
