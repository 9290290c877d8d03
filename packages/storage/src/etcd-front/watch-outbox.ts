/** What a Watch stream has still to send, counted in bytes. */
import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { WatchRequest, WatchResponse } from '../gen/etcd/rpc.js';
import { deferred, type Deferred } from './deferred.js';
import { responseBytes } from './watch-fragments.js';

export class WatchOutbox {
  readonly #call: ServerDuplexStream<WatchRequest, WatchResponse>;
  readonly #maxUnsentBytes: number;
  #unsentBytes = 0;
  #drained: Deferred | undefined;
  #closed = false;

  constructor(call: ServerDuplexStream<WatchRequest, WatchResponse>, maxUnsentBytes: number) {
    this.#call = call;
    this.#maxUnsentBytes = maxUnsentBytes;
  }

  send(response: WatchResponse): void {
    if (this.#closed) return;
    const bytes = responseBytes(response);
    this.#unsentBytes += bytes;
    // Called back once the bytes have been handed to the connection, which honours the client's flow control.
    this.#call.write(response, () => {
      this.#unsentBytes -= bytes;
      if (this.#unsentBytes <= this.#maxUnsentBytes / 2) this.#release();
    });
  }

  /** Undefined: send on. A promise: too much is unsent; it settles once half of it is gone, or the stream is over. */
  ready(): Promise<void> | undefined {
    if (this.#closed || this.#unsentBytes <= this.#maxUnsentBytes) return undefined;
    this.#drained ??= deferred();
    return this.#drained.promise;
  }

  close(): void {
    this.#closed = true;
    this.#release();
  }

  #release(): void {
    this.#drained?.resolve();
    this.#drained = undefined;
  }
}
