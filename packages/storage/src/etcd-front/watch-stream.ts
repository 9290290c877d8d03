/**
 * One Watch stream of etcd's API: several watches, told apart by their ids, over one gRPC stream.
 *
 * Behaviour is etcd's `v3rpc/watch.go`: a watch is announced before its first event; a refused one is announced and
 * cancelled in one answer with id -1; a progress request is answered once, with id -1, when every watch of the stream
 * has caught up.
 *
 * A client that does not read costs a bounded number of bytes: past that the watches are held (`WatchSink.ready`), and
 * the store reads what they missed from its history once the client has caught up.
 */
import type { ServerDuplexStream } from '@grpc/grpc-js';
import { etcdErrors, grpcFailure, toGrpcFailure, type GrpcFailure } from '../etcd/errors.js';
import type { WatchCreateRequest, WatchRequest, WatchResponse } from '../gen/etcd/rpc.js';
import type { Store } from '../store.js';
import { header } from './header.js';
import { ServedWatch } from './served-watch.js';
import { WatchOutbox } from './watch-outbox.js';

export interface WatchStreamOptions {
  /** How often a watch made with `progress_notify` is told the revision while nothing happens. */
  readonly progressNotifyIntervalMs: number;
  /** Unsent bytes at which the watches of a stream are held. */
  readonly maxUnsentBytes: number;
}

/** The id of an answer that belongs to no watch. */
const noWatch = -1n;
const maxWatches = 10_000;

interface ProgressRound {
  readonly waiting: Set<bigint>;
  revision: number;
  /** Asked for again meanwhile: another round follows. */
  again: boolean;
}

export class WatchStream {
  readonly #call: ServerDuplexStream<WatchRequest, WatchResponse>;
  readonly #store: Store;
  readonly #options: WatchStreamOptions;
  readonly #outbox: WatchOutbox;
  readonly #watches = new Map<bigint, ServedWatch>();
  #nextId = 0n;
  #round: ProgressRound | undefined;
  #over = false;

  constructor(
    call: ServerDuplexStream<WatchRequest, WatchResponse>,
    store: Store,
    options: WatchStreamOptions,
  ) {
    this.#call = call;
    this.#store = store;
    this.#options = options;
    this.#outbox = new WatchOutbox(call, options.maxUnsentBytes);
  }

  /** Resolves when the stream is over. */
  async serve(): Promise<void> {
    const notify = setInterval(() => {
      for (const watch of this.#watches.values()) watch.notifyIfQuiet();
    }, this.#options.progressNotifyIntervalMs);
    try {
      for await (const request of this.#call as AsyncIterable<WatchRequest>) {
        await this.#handle(request);
        // A client that asks without reading the answers is not listened to any further.
        await this.#outbox.ready();
        if (this.#over) return;
      }
      this.#call.end();
    } catch (error) {
      this.fail(toGrpcFailure(error));
    } finally {
      clearInterval(notify);
      this.#finish();
    }
  }

  /** Ends the stream with an error, for the client to connect again. */
  fail(failure: GrpcFailure): void {
    if (this.#over) return;
    this.#finish();
    if (!this.#call.cancelled && !this.#call.destroyed) this.#call.emit('error', failure);
  }

  #finish(): void {
    this.#over = true;
    this.#outbox.close();
    for (const watch of this.#watches.values()) watch.cancel();
    this.#watches.clear();
  }

  async #handle({ requestUnion }: WatchRequest): Promise<void> {
    switch (requestUnion?.$case) {
      case 'createRequest':
        await this.#create(requestUnion.value);
        return;
      case 'cancelRequest':
        await this.#cancel(requestUnion.value.watchId);
        return;
      case 'progressRequest':
        this.#requestProgress();
        return;
      default:
        // etcd ignores what it does not know, so that newer clients keep working.
        return;
    }
  }

  async #create(request: WatchCreateRequest): Promise<void> {
    const refusal = this.#refusal(request);
    if (refusal !== undefined) {
      const { revision } = await this.#store.status();
      this.#send({ watchId: noWatch, created: true, canceled: true, cancelReason: refusal }, revision);
      return;
    }
    const id = request.watchId === 0n ? this.#freeId() : request.watchId;
    const watch = new ServedWatch(request, {
      send: (response, revision) => {
        this.#send({ watchId: id, ...response }, revision);
      },
      ready: () => this.#outbox.ready(),
      onProgress: (revision) => {
        this.#progressed(id, revision);
      },
      onOver: () => {
        this.#watches.delete(id);
        this.#progressed(id, undefined);
      },
      onStoreClosed: () => {
        this.fail(grpcFailure(etcdErrors.stopped));
      },
    });
    this.#watches.set(id, watch);
    await watch.start(this.#store);
  }

  #refusal(request: WatchCreateRequest): string | undefined {
    if (request.startRevision < 0n) return etcdErrors.compacted.text;
    const { key, rangeEnd } = request;
    const open = rangeEnd.length === 1 && rangeEnd[0] === 0;
    if (rangeEnd.length > 0 && !open && key.compare(rangeEnd) >= 0) return 'mvcc: watcher range is empty';
    if (this.#watches.has(request.watchId) && request.watchId !== 0n) {
      return 'mvcc: duplicate watch ID provided on the WatchStream';
    }
    if (this.#watches.size >= maxWatches) return `etcdserver: a stream carries at most ${maxWatches} watches`;
    return undefined;
  }

  #freeId(): bigint {
    while (this.#watches.has(this.#nextId)) this.#nextId++;
    return this.#nextId++;
  }

  async #cancel(id: bigint): Promise<void> {
    const watch = this.#watches.get(id);
    if (watch === undefined) return;
    watch.cancel();
    this.#watches.delete(id);
    this.#progressed(id, undefined);
    const { revision } = await this.#store.status();
    this.#send({ watchId: id, canceled: true }, revision);
  }

  #requestProgress(): void {
    if (this.#round !== undefined) {
      this.#round.again = true;
      return;
    }
    if (this.#watches.size === 0) return;
    this.#round = { waiting: new Set(this.#watches.keys()), revision: Infinity, again: false };
    for (const watch of this.#watches.values()) watch.requestProgress();
  }

  /** @param revision undefined: the watch is over and answers no more */
  #progressed(id: bigint, revision: number | undefined): void {
    const round = this.#round;
    if (round === undefined || !round.waiting.delete(id)) return;
    if (revision !== undefined) round.revision = Math.min(round.revision, revision);
    if (round.waiting.size > 0) return;
    this.#round = undefined;
    // The lowest: up to it every watch has been told everything.
    if (round.revision !== Infinity) this.#send({ watchId: noWatch }, round.revision);
    if (round.again) this.#requestProgress();
  }

  #send(response: Partial<WatchResponse> & { readonly watchId: bigint }, revision: number): void {
    if (this.#over) return;
    this.#outbox.send({
      header: header(revision),
      created: false,
      canceled: false,
      compactRevision: 0n,
      cancelReason: '',
      fragment: false,
      events: [],
      ...response,
    });
  }
}
