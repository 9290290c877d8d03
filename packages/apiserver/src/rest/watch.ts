/**
 * Watch: what is there, then every change once and in order, as seen through the selectors.
 *
 * An object that begins to match is ADDED, one that stops is DELETED; DELETED carries the last state that matched with
 * the resourceVersion of the change. Bookmarks tell how far the watch has come.
 * Source of the rule: k8s.io/apiserver `storage/cacher` and `storage/etcd3/watcher.go`.
 */
import type { StoreWatchEnd } from '@waxseal/storage';
import { ApiError } from '../errors.js';
import type { StoredObject } from '../objects/object-store.js';
import { apiVersionOf } from '../objects/stored-object.js';
import type { Change, LazyObject } from '../objects/change.js';
import type { RestContext, StoredEntry } from './context.js';
import type { RestResponse, RestWatchEvent, RestWatchSink, WatchRequest } from './contract.js';
import { serve } from './get.js';
import { listPages } from './list.js';
import { requireMinimum, watchStart, type WatchStart } from './resource-version.js';
import { parseSelection, type Selection } from './selection.js';
import { expired, internalError } from './status-errors.js';

const INITIAL_EVENTS_END = 'k8s.io/initial-events-end';
/** Changes that may wait for one client while values are opened; beyond it the watch ends and the client lists anew. */
const MAX_QUEUED_CHANGES = 10_000;

type Queued =
  | { readonly kind: 'change'; readonly change: Change }
  | { readonly kind: 'progress'; readonly revision: number }
  | { readonly kind: 'end'; readonly reason: StoreWatchEnd };

/** @throws ApiError for selectors and versions that cannot be understood */
export function watch(context: RestContext, entry: StoredEntry, request: WatchRequest): RestResponse {
  const selection = parseSelection(request, entry.definition, entry.strategy, request.namespace);
  const start = watchStart(request);
  return {
    kind: 'watch',
    start(sink) {
      const running = new RunningWatch(context, entry, request, selection, sink);
      running.run(start);
      return () => running.stop();
    },
  };
}

class RunningWatch {
  readonly #context: RestContext;
  readonly #entry: StoredEntry;
  readonly #request: WatchRequest;
  readonly #selection: Selection;
  readonly #sink: RestWatchSink;
  readonly #queue: Queued[] = [];
  #pumping = true;
  #ended = false;
  #unsubscribe: (() => void) | undefined;
  readonly #cancelTimeout: (() => void) | undefined;
  readonly #onAbort = (): void => this.stop();

  constructor(
    context: RestContext,
    entry: StoredEntry,
    request: WatchRequest,
    selection: Selection,
    sink: RestWatchSink,
  ) {
    this.#context = context;
    this.#entry = entry;
    this.#request = request;
    this.#selection = selection;
    this.#sink = sink;
    this.#cancelTimeout =
      request.timeoutMs > 0 ? context.schedule(() => this.#end(), request.timeoutMs) : undefined;
  }

  run(start: WatchStart): void {
    if (this.#request.signal.aborted) {
      this.stop();
      return;
    }
    this.#request.signal.addEventListener('abort', this.#onAbort, { once: true });
    this.#begin(start).catch((error: unknown) => this.#fail(error));
  }

  /** The client is gone: nothing more is said. */
  stop(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#request.signal.removeEventListener('abort', this.#onAbort);
    this.#cancelTimeout?.();
    this.#unsubscribe?.();
    this.#queue.length = 0;
  }

  async #begin(start: WatchStart): Promise<void> {
    const revision = start.initialEvents ? await this.#sendInitial(start) : start.revision;
    if (this.#ended) return;
    const from = revision > 0 ? revision : (await this.#context.objects.store.status()).revision;
    if (this.#isEnded()) return;
    this.#unsubscribe = this.#context.hubOf(this.#entry).subscribe(from, {
      onChange: (change) => {
        const { namespace } = this.#selection;
        if (namespace !== '' && change.namespace !== namespace) return;
        if (!this.#selection.matchesKey(change.namespace, change.name)) return;
        this.#push({ kind: 'change', change });
      },
      onProgress: (revision) => this.#push({ kind: 'progress', revision }),
      onEnd: (reason) => this.#push({ kind: 'end', reason }),
    });
    this.#pumping = false;
    this.#pump();
  }

  // A method, so that the compiler does not assume that awaiting changes nothing.
  #isEnded(): boolean {
    return this.#ended;
  }

  /** Reports every object there is as ADDED; resolves with the revision they are of. */
  async #sendInitial(start: WatchStart): Promise<number> {
    const { definition } = this.#entry;
    let revision = 0;
    for await (const page of listPages(this.#context, this.#entry, this.#request)) {
      if (revision === 0) requireMinimum(start.minimum, page.revision);
      revision = page.revision;
      for (const object of page.objects) {
        if (this.#ended) return revision;
        this.#sendAdded(object);
        // A client that reads slowly gets the rest when it has read this.
        await this.#sink.drained?.();
      }
    }
    if (this.#request.sendInitialEvents && this.#request.allowWatchBookmarks) {
      this.#send(bookmark(apiVersionOf(definition), definition.kind, revision, true));
    }
    return revision;
  }

  #sendAdded(object: StoredObject): void {
    this.#send({ type: 'ADDED', object: serve(this.#entry, object) });
  }

  #push(item: Queued): void {
    if (this.#ended) return;
    if (this.#queue.length >= MAX_QUEUED_CHANGES) {
      this.#context.logger.warn(
        { resource: this.#entry.definition.resource },
        'a watch fell too far behind and is ended; the client will list anew',
      );
      this.#end();
      return;
    }
    this.#queue.push(item);
    this.#pump();
  }

  /** Works off the queue in order; while a value waits for the KMS, the rest waits behind it. */
  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    try {
      for (let item = this.#queue.shift(); item !== undefined; item = this.#queue.shift()) {
        const waiting = this.#open(item);
        if (waiting !== undefined) {
          void this.#resume(waiting, item);
          return;
        }
        this.#report(item);
      }
      this.#pumping = false;
    } catch (error) {
      this.#fail(error);
    }
  }

  async #resume(waiting: Promise<unknown>, item: Queued): Promise<void> {
    try {
      await waiting;
      this.#report(item);
      this.#pumping = false;
      this.#pump();
    } catch (error) {
      this.#fail(error);
    }
  }

  #open(item: Queued): Promise<unknown> | undefined {
    if (item.kind !== 'change') return undefined;
    const { current, previous } = item.change;
    const waiting: Promise<void>[] = [];
    const open = (object: LazyObject | undefined): void => {
      const opening = object?.open();
      if (opening !== undefined) waiting.push(opening);
    };
    open(current);
    if (current === undefined || !this.#selection.byKey) open(previous);
    return waiting.length === 0 ? undefined : Promise.all(waiting);
  }

  #report(item: Queued): void {
    if (this.#ended) return;
    switch (item.kind) {
      case 'change':
        this.#reportChange(item.change);
        return;
      case 'progress': {
        const { definition } = this.#entry;
        if (this.#request.allowWatchBookmarks) {
          this.#send(bookmark(apiVersionOf(definition), definition.kind, item.revision, false));
        }
        return;
      }
      case 'end':
        this.#reportEnd(item.reason);
    }
  }

  #reportChange({ revision, current, previous }: Change): void {
    const { byKey } = this.#selection;
    const matches = (object: LazyObject | undefined): boolean =>
      object !== undefined && (byKey || this.#selection.matches(object.decoded()));
    const isIn = matches(current);
    const wasIn = matches(previous);
    if (isIn) {
      this.#send({
        type: wasIn ? 'MODIFIED' : 'ADDED',
        object: (current as LazyObject).served(revision),
      });
    } else if (wasIn) {
      this.#send({ type: 'DELETED', object: (previous as LazyObject).served(revision) });
    }
  }

  #reportEnd(reason: StoreWatchEnd): void {
    switch (reason.kind) {
      case 'compacted':
        this.#fail(
          expired(`too old resource version: ${this.#request.resourceVersion} (${reason.compactRevision})`),
        );
        return;
      case 'failed':
        this.#context.logger.warn({ err: reason.error }, 'a watch of the store failed');
        this.#end();
        return;
      case 'cancelled':
      case 'closed':
        this.#end();
    }
  }

  #send(event: RestWatchEvent): void {
    if (!this.#ended) this.#sink.onEvent(event);
  }

  #fail(error: unknown): void {
    if (this.#ended) return;
    const status = error instanceof ApiError ? error : internalError((error as Error).message, error);
    if (!(error instanceof ApiError)) this.#context.logger.error({ err: error }, 'a watch failed');
    this.#send({ type: 'ERROR', object: Buffer.from(JSON.stringify(status.toStatus())) });
    this.#end();
  }

  #end(): void {
    if (this.#ended) return;
    this.stop();
    this.#sink.onEnd();
  }
}

function bookmark(apiVersion: string, kind: string, revision: number, initialEnd: boolean): RestWatchEvent {
  const annotations = initialEnd ? { annotations: { [INITIAL_EVENTS_END]: 'true' } } : {};
  const metadata = { resourceVersion: String(revision), ...annotations };
  return { type: 'BOOKMARK', object: Buffer.from(JSON.stringify({ kind, apiVersion, metadata })) };
}
