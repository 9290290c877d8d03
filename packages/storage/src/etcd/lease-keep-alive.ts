/**
 * Lease renewals over one LeaseKeepAlive stream.
 *
 * etcd answers each request in the order of the stream, so renewals of one lease are matched first to first. A stream
 * that ends fails the renewals waiting on it; renewing twice is harmless, so they are sent again on the next stream.
 */
import type { ServiceError } from '@grpc/grpc-js';
import { LeaseService, type LeaseKeepAliveRequest, type LeaseKeepAliveResponse } from '../gen/etcd/rpc.js';
import { StoreError } from '../store.js';
import { closedError, delay, type EtcdConnection, type EtcdStream } from './connection.js';
import { classify, toStoreError } from './errors.js';

interface Waiting {
  readonly resolve: (ttlSeconds: number) => void;
  readonly reject: (error: unknown) => void;
}

type KeepAliveStream = EtcdStream<LeaseKeepAliveRequest, LeaseKeepAliveResponse> & {
  readonly waiting: Map<bigint, Waiting[]>;
};

const retryDelayMs = 100;

export class LeaseKeepAlive {
  readonly #connection: EtcdConnection;
  readonly #requestTimeoutMs: number;
  #stream: Promise<KeepAliveStream> | undefined;

  constructor(connection: EtcdConnection, requestTimeoutMs: number) {
    this.#connection = connection;
    this.#requestTimeoutMs = requestTimeoutMs;
  }

  /** Resolves with the renewed TTL in seconds, 0 when the lease is gone. */
  async renew(id: bigint): Promise<number> {
    const deadline = Date.now() + this.#requestTimeoutMs;
    for (;;) {
      if (this.#connection.closed) throw closedError();
      const stream = await this.#open();
      try {
        return await renewOn(stream, id, deadline - Date.now());
      } catch (thrown) {
        if (this.#connection.closed) throw closedError(thrown);
        if (thrown instanceof StoreError) throw thrown;
        const error = thrown as ServiceError;
        if (classify(error).outcome === 'final' || Date.now() + retryDelayMs >= deadline) {
          throw toStoreError(error, stream.endpoint, false);
        }
        await delay(retryDelayMs);
      }
    }
  }

  async close(): Promise<void> {
    const stream = await this.#stream?.catch(() => undefined);
    stream?.call.cancel();
  }

  #open(): Promise<KeepAliveStream> {
    this.#stream ??= this.#connect();
    return this.#stream;
  }

  async #connect(): Promise<KeepAliveStream> {
    try {
      const opened = await this.#connection.stream(LeaseService.leaseKeepAlive);
      const stream: KeepAliveStream = { ...opened, waiting: new Map() };
      stream.call.on('data', (answer: LeaseKeepAliveResponse) => {
        stream.waiting.get(answer.ID)?.shift()?.resolve(Number(answer.TTL));
      });
      const ended = (error: unknown): void => {
        this.#stream = undefined;
        for (const list of stream.waiting.values()) for (const waiting of list) waiting.reject(error);
        stream.waiting.clear();
      };
      stream.call.on('error', (error: ServiceError) => {
        stream.failed(error);
        ended(error);
      });
      stream.call.on('end', () => {
        stream.call.end();
        ended(new StoreError('unavailable', `etcd at ${stream.endpoint} ended the lease stream.`));
      });
      return stream;
    } catch (error) {
      this.#stream = undefined;
      throw error;
    }
  }
}

function renewOn(stream: KeepAliveStream, id: bigint, timeoutMs: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      // The order of answers is lost with the one that did not come, so the stream goes as well.
      reject(new StoreError('timeout', `etcd at ${stream.endpoint} did not answer a lease renewal in time.`));
      stream.call.cancel();
    }, timeoutMs);
    const list = stream.waiting.get(id) ?? [];
    stream.waiting.set(id, list);
    list.push({
      resolve: (ttlSeconds) => {
        clearTimeout(timer);
        if (list.length === 0) stream.waiting.delete(id);
        resolve(ttlSeconds);
      },
      reject: (error) => {
        clearTimeout(timer);
        reject(error);
      },
    });
    stream.call.write({ ID: id });
  });
}
