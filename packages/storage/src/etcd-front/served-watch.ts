/** One watch of a Watch stream: the Store's reports as etcd's responses. */
import { toGrpcFailure } from '../etcd/errors.js';
import { eventToWire } from '../etcd/messages.js';
import {
  WatchCreateRequest_FilterType as FilterType,
  type WatchCreateRequest,
  type WatchResponse,
} from '../gen/etcd/rpc.js';
import type { Store, StoreWatchEnd, Watch, WatchEvent, WatchSink } from '../store.js';
import { deferred } from './deferred.js';
import { fragments, maxFragmentBytes, responseBytes } from './watch-fragments.js';

export interface ServedWatchOptions {
  readonly send: (response: Partial<WatchResponse>, revision: number) => void;
  readonly ready: () => Promise<void> | undefined;
  readonly onProgress: (revision: number) => void;
  /** The store ended the watch; the client has been told. */
  readonly onOver: () => void;
  readonly onStoreClosed: () => void;
}

export class ServedWatch implements WatchSink {
  readonly #request: WatchCreateRequest;
  readonly #options: ServedWatchOptions;
  readonly #wanted: (event: WatchEvent) => boolean;
  #watch: Watch | undefined;
  #over = false;
  /** Reports that came before the watch was announced; empty afterwards. */
  #early: (() => void)[] | undefined = [];
  readonly #announced = deferred();
  #quiet = true;
  #notifyDue = false;

  constructor(request: WatchCreateRequest, options: ServedWatchOptions) {
    this.#request = request;
    this.#options = options;
    const noPut = request.filters.includes(FilterType.NOPUT);
    const noDelete = request.filters.includes(FilterType.NODELETE);
    this.#wanted = (event) => (event.type === 'put' ? !noPut : !noDelete);
  }

  /** Resolves once the watch has been announced, or is over. */
  async start(store: Store): Promise<void> {
    const { key, rangeEnd, startRevision, prevKv } = this.#request;
    this.#watch = store.watch(
      {
        // The smallest key stands for an empty one.
        key: key.length === 0 ? Buffer.from([0]) : key,
        ...(rangeEnd.length === 0 ? {} : { rangeEnd }),
        startRevision: Number(startRevision),
        prevKv,
      },
      this,
    );
    const started = await Promise.race([
      this.#watch.started.catch(() => undefined),
      this.#announced.promise.then(() => undefined),
    ]);
    this.#announce(started ?? (await store.status()).revision);
  }

  onEvents(events: readonly WatchEvent[], revision: number): void {
    if (this.#over) return;
    const wanted = events.filter(this.#wanted).map(eventToWire);
    if (wanted.length === 0) return;
    this.#quiet = false;
    this.#afterAnnouncement(() => {
      if (!this.#request.fragment || responseBytes({ events: wanted }) < maxFragmentBytes) {
        this.#options.send({ events: wanted }, revision);
        return;
      }
      const runs = fragments(wanted, maxFragmentBytes);
      for (const [i, run] of runs.entries()) {
        this.#options.send({ events: run, fragment: i < runs.length - 1 }, revision);
      }
    });
  }

  ready(): Promise<void> | undefined {
    return this.#early === undefined ? this.#options.ready() : this.#announced.promise;
  }

  onProgress(revision: number): void {
    if (this.#over) return;
    this.#afterAnnouncement(() => {
      if (this.#notifyDue) {
        this.#notifyDue = false;
        this.#options.send({}, revision);
      }
      this.#options.onProgress(revision);
    });
  }

  onEnd(end: StoreWatchEnd): void {
    if (this.#over) return;
    this.#over = true;
    this.#afterAnnouncement(() => {
      if (end.kind === 'closed') {
        this.#options.onStoreClosed();
        return;
      }
      if (end.kind === 'compacted') {
        const compactRevision = BigInt(end.compactRevision);
        this.#options.send({ canceled: true, compactRevision }, end.compactRevision);
      } else if (end.kind === 'failed') {
        this.#options.send({ canceled: true, cancelReason: toGrpcFailure(end.error).details }, 0);
      }
      this.#options.onOver();
    });
    this.#announced.resolve();
  }

  requestProgress(): void {
    this.#watch?.requestProgress();
  }

  /** Tells the client the revision when it asked for that and has heard nothing since the last time. */
  notifyIfQuiet(): void {
    if (this.#request.progressNotify && this.#quiet && !this.#notifyDue) {
      this.#notifyDue = true;
      this.requestProgress();
    }
    this.#quiet = true;
  }

  cancel(): void {
    if (this.#over) return;
    this.#over = true;
    this.#early = undefined;
    this.#announced.resolve();
    this.#watch?.cancel();
  }

  #afterAnnouncement(report: () => void): void {
    if (this.#early === undefined) report();
    else this.#early.push(report);
  }

  #announce(revision: number): void {
    const early = this.#early;
    if (early === undefined) return;
    this.#early = undefined;
    this.#options.send({ created: true }, revision);
    for (const report of early) report();
    this.#announced.resolve();
  }
}
