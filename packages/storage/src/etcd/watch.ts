/**
 * A Store watch over etcd's Watch stream (etcd API v3, "Watch API").
 *
 * Each watch has its own gRPC stream, so that a slow one delays no other and answers to progress requests belong to it.
 * When the stream breaks, the watch is made again on another member from the revision after the last one reported:
 * no change is missed and none is reported twice. Only a compaction of that revision ends it.
 */
import type { ServiceError } from '@grpc/grpc-js';
import {
  KVService,
  WatchService,
  type WatchRequest as WireWatchRequest,
  type WatchResponse,
} from '../gen/etcd/rpc.js';
import {
  StoreError,
  type StoreWatchEnd,
  type Watch,
  type WatchEvent,
  type WatchRequest,
  type WatchSink,
} from '../store.js';
import { closedError, delay, type EtcdConnection, type EtcdStream } from './connection.js';
import { classify, classifyText, toStoreError } from './errors.js';
import { eventFromWire, noBytes } from './messages.js';
import { rangeRequestToWire } from './requests.js';
import { WatchProgress } from './watch-progress.js';

export interface EtcdWatchOptions {
  readonly connection: EtcdConnection;
  /** False for an etcd whose progress answers may overtake events (see watch-progress.ts). */
  readonly progressIsExact: boolean;
  /** Called once, when the watch is over. */
  readonly onOver: (watch: EtcdWatch) => void;
}

const firstRetryDelayMs = 50;
const maxRetryDelayMs = 2_000;

export class EtcdWatch implements Watch {
  readonly started: Promise<number>;
  readonly #options: EtcdWatchOptions;
  readonly #request: WatchRequest;
  readonly #sink: WatchSink;
  readonly #progress: WatchProgress;
  #resolveStarted!: (revision: number) => void;
  #rejectStarted!: (error: Error) => void;
  #stream: EtcdStream<WireWatchRequest, WatchResponse> | undefined;
  /** First revision not reported yet; 0 until etcd has said where the watch begins. */
  #nextRevision: number;
  /** Set while the watch stands on the present stream. */
  #created = false;
  /** The watch begins at a revision that did not exist when it was made. */
  #startsInFuture = false;
  #fragments: WatchEvent[] = [];
  #over = false;

  constructor(request: WatchRequest, sink: WatchSink, options: EtcdWatchOptions) {
    this.#options = options;
    this.#request = request;
    this.#sink = sink;
    this.#nextRevision = request.startRevision ?? 0;
    this.started = new Promise((resolve, reject) => {
      this.#resolveStarted = resolve;
      this.#rejectStarted = reject;
    });
    // Whoever does not wait for the start learns of its failure from the sink.
    this.started.catch(() => {});
    this.#progress = new WatchProgress({
      exact: options.progressIsExact,
      send: () => {
        this.#askForProgress();
      },
      report: (revision) => {
        this.#nextRevision = Math.max(this.#nextRevision, revision + 1);
        this.#sink.onProgress?.(revision);
      },
    });
    void this.#run();
  }

  requestProgress(): void {
    if (!this.#over) this.#progress.request();
  }

  cancel(): void {
    this.end({ kind: 'cancelled' });
  }

  /** Ends the watch for a reason of ours. */
  end(reason: StoreWatchEnd): void {
    if (this.#over) return;
    this.#over = true;
    this.#progress.stop();
    this.#stream?.call.cancel();
    this.#options.onOver(this);
    this.#rejectStarted(
      reason.kind === 'failed'
        ? reason.error
        : new StoreError('closed', 'The watch ended before it started.'),
    );
    this.#sink.onEnd(reason);
  }

  #askForProgress(): void {
    if (!this.#created) return;
    this.#stream?.call.write({ requestUnion: { $case: 'progressRequest', value: {} } });
    if (this.#startsInFuture) void this.#compareWithPresent();
  }

  /** etcd does not answer for a watch whose first revision is still to come; there, nothing is to be reported. */
  async #compareWithPresent(): Promise<void> {
    const request = rangeRequestToWire({ key: this.#request.key, countOnly: true });
    const answer = await this.#options.connection
      .unary(KVService.range, request, 'idempotent')
      .catch(() => undefined);
    const present = Number(answer?.header?.revision ?? 0n);
    if (!this.#over && present > 0 && present < this.#nextRevision) this.#progress.answered(present, false);
  }

  async #run(): Promise<void> {
    let retryDelayMs = firstRetryDelayMs;
    while (!this.#over) {
      try {
        await this.#follow();
        retryDelayMs = firstRetryDelayMs;
      } catch (error) {
        if (this.#over) return;
        if (this.#options.connection.closed) {
          this.end({ kind: 'closed' });
          return;
        }
        if (error instanceof StoreError && error.code !== 'unavailable' && error.code !== 'timeout') {
          this.end({ kind: 'failed', error });
          return;
        }
      }
      if (this.#created) retryDelayMs = firstRetryDelayMs;
      this.#created = false;
      await delay(retryDelayMs);
      retryDelayMs = Math.min(retryDelayMs * 2, maxRetryDelayMs);
    }
  }

  /** One stream, from its opening to its end. Rejects with a StoreError when it ends with an error. */
  async #follow(): Promise<void> {
    const stream = await this.#options.connection.stream(WatchService.watch);
    if (this.#over) {
      stream.call.cancel();
      throw closedError();
    }
    this.#stream = stream;
    this.#fragments = [];
    stream.call.write(this.#createRequest());
    try {
      // The stream is not read while the sink holds the watch: etcd then sends no more than gRPC's window.
      for await (const response of stream.call as AsyncIterable<WatchResponse>) {
        await this.#receive(response);
        if (this.#over) return;
      }
    } catch (thrown) {
      if (this.#over) return;
      const error = thrown as ServiceError;
      stream.failed(error);
      if (classify(error).outcome === 'final') throw toStoreError(error, stream.endpoint, false);
      throw new StoreError('unavailable', error.details, { cause: error });
    }
  }

  #createRequest(): WireWatchRequest {
    return {
      requestUnion: {
        $case: 'createRequest',
        value: {
          key: this.#request.key,
          rangeEnd: this.#request.rangeEnd ?? noBytes,
          startRevision: BigInt(this.#nextRevision),
          // Moves the revision to resume from past changes elsewhere, so that a compaction does not end an idle watch.
          progressNotify: true,
          filters: [],
          prevKv: this.#request.prevKv ?? false,
          watchId: 0n,
          fragment: true,
        },
      },
    };
  }

  async #receive(response: WatchResponse): Promise<void> {
    const revision = Number(response.header?.revision ?? 0n);
    if (response.canceled) {
      this.#cancelled(response);
      return;
    }
    if (response.created) {
      this.#startsInFuture = this.#nextRevision > revision;
      if (this.#nextRevision === 0) this.#nextRevision = revision + 1;
      this.#created = true;
      this.#resolveStarted(revision);
      this.#progress.resume();
      return;
    }
    if (response.events.length === 0 && !response.fragment && this.#fragments.length === 0) {
      this.#progress.answered(revision, response.watchId === -1n);
      return;
    }
    for (const wire of response.events) {
      const event = eventFromWire(wire);
      if (event !== undefined && event.kv.modRevision >= this.#nextRevision) this.#fragments.push(event);
    }
    if (response.fragment) return;
    const events = this.#fragments;
    this.#fragments = [];
    await this.#report(events);
  }

  /** Hands on whole revisions, one call each, as fast as the sink takes them. */
  async #report(events: readonly WatchEvent[]): Promise<void> {
    let first = 0;
    while (first < events.length && !this.#over) {
      const revision = (events[first] as WatchEvent).kv.modRevision;
      let end = first + 1;
      while (end < events.length && (events[end] as WatchEvent).kv.modRevision === revision) end++;
      this.#nextRevision = revision + 1;
      this.#progress.events(revision);
      this.#startsInFuture = false;
      this.#sink.onEvents(events.slice(first, end), revision);
      const ready = this.#sink.ready?.();
      if (ready !== undefined) await ready.catch(() => {});
      first = end;
    }
  }

  #cancelled(response: WatchResponse): void {
    if (response.compactRevision !== 0n) {
      if (response.created) this.#resolveStarted(Number(response.header?.revision ?? 0n));
      this.end({ kind: 'compacted', compactRevision: Number(response.compactRevision) });
      return;
    }
    const known = classifyText(response.cancelReason);
    if (known !== undefined && known.outcome !== 'final') {
      // The member lost its leader, or the token is old: the watch is made again.
      this.#stream?.failed({ code: known.grpcCode, details: known.text });
      this.#stream?.call.cancel();
      return;
    }
    const said = response.cancelReason || 'no reason given';
    this.end({
      kind: 'failed',
      error: new StoreError(known?.storeCode ?? 'invalid-argument', `etcd refused the watch: ${said}`),
    });
  }
}
