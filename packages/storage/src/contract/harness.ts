/**
 * What every contract test is given: a store of its own, a prefix nobody else writes under, and a recorder of watches.
 *
 * A store may be shared (one etcd for the whole suite), so tests never assume that it is empty or that revisions
 * start at 1; they do assume that nobody else writes while they run.
 */
import { randomUUID } from 'node:crypto';
import { test, type TestContext } from 'node:test';
import {
  prefixRangeEnd,
  type KeyRange,
  type KeyValue,
  type Op,
  type Store,
  type StoreWatchEnd,
  type TxnResult,
  type WatchEvent,
  type WatchSink,
} from '../store.js';

/** Where implementations may differ without breaking the contract. */
export interface StoreTraits {
  /**
   * Lets this much time pass for leases, so that tests need not wait. Absent: the store lives by the real clock, and
   * the suite waits for its events.
   */
  readonly passTime?: ((seconds: number) => Promise<void>) | undefined;
  /** Longest key the store takes; default: no limit but the request's. */
  readonly maxKeyBytes?: number | undefined;
}

export type MakeStore = (t: TestContext) => Promise<Store>;

export interface Fixture {
  readonly store: Store;
  readonly traits: StoreTraits;
  readonly t: TestContext;
  /** A key under this test's prefix. */
  readonly key: (suffix: string | Buffer) => Buffer;
  /** Every key of this test. */
  readonly all: KeyRange & { readonly rangeEnd: Buffer };
  readonly put: (suffix: string | Buffer, value?: string | Buffer) => Promise<number>;
  readonly remove: (suffix: string | Buffer) => Promise<number>;
  readonly get: (suffix: string | Buffer, revision?: number) => Promise<KeyValue | undefined>;
  /** A transaction without conditions. */
  readonly run: (...ops: Op[]) => Promise<TxnResult>;
}

/** Registers one test of the contract. */
export type ContractTest = (name: string, body: (fixture: Fixture) => Promise<void>) => void;

const TEST_TIMEOUT_MS = 60_000;

export function contractTest(suite: string, makeStore: MakeStore, traits: StoreTraits): ContractTest {
  return (name, body) => {
    test(`${suite}: ${name}`, { timeout: TEST_TIMEOUT_MS }, async (t) => {
      const store = await makeStore(t);
      try {
        await body(fixture(store, traits, t));
      } finally {
        await store.close();
      }
    });
  };
}

function fixture(store: Store, traits: StoreTraits, t: TestContext): Fixture {
  const prefix = Buffer.from(`/contract/${randomUUID()}/`);
  const key = (suffix: string | Buffer): Buffer => Buffer.concat([prefix, bytes(suffix)]);
  const run = (...ops: Op[]): Promise<TxnResult> => store.txn({ compare: [], success: ops, failure: [] });
  return {
    store,
    traits,
    t,
    key,
    all: { key: prefix, rangeEnd: prefixRangeEnd(prefix) },
    put: async (suffix, value = 'value') =>
      (await run({ kind: 'put', key: key(suffix), value: bytes(value) })).revision,
    remove: async (suffix) => (await run({ kind: 'delete', key: key(suffix) })).revision,
    get: async (suffix, revision) => (await store.get(key(suffix), revision)).kv,
    run,
  };
}

export function bytes(text: string | Buffer): Buffer {
  return typeof text === 'string' ? Buffer.from(text) : text;
}

/** A key-value as plain text and numbers, so that a failed comparison can be read. */
export function plain(kv: KeyValue | undefined): Record<string, unknown> | undefined {
  return (
    kv && {
      key: kv.key.toString('latin1'),
      value: kv.value.toString('latin1'),
      createRevision: kv.createRevision,
      modRevision: kv.modRevision,
      version: kv.version,
      lease: kv.lease,
    }
  );
}

/** The last parts of the keys, after the test's prefix. */
export function suffixes(kvs: readonly KeyValue[]): string[] {
  return kvs.map((kv) => kv.key.toString('latin1').replace(/^\/contract\/[^/]+\//, ''));
}

export function errorCode(code: string): (error: unknown) => boolean {
  return (error) => error instanceof Error && 'code' in error && error.code === code;
}

/** Keeps everything a watch reports and wakes whoever waits for it. */
export class WatchRecorder implements WatchSink {
  readonly calls: { readonly events: readonly WatchEvent[]; readonly revision: number }[] = [];
  readonly progress: number[] = [];
  readonly ends: StoreWatchEnd[] = [];
  #waiting: (() => void)[] = [];

  get events(): readonly WatchEvent[] {
    return this.calls.flatMap((call) => call.events);
  }

  onEvents(events: readonly WatchEvent[], revision: number): void {
    this.calls.push({ events, revision });
    this.#wake();
  }

  onProgress(revision: number): void {
    this.progress.push(revision);
    this.#wake();
  }

  onEnd(reason: StoreWatchEnd): void {
    this.ends.push(reason);
    this.#wake();
  }

  /** Resolves once `condition` holds; it is tried after every report. */
  async until(condition: (recorder: this) => boolean): Promise<this> {
    while (!condition(this)) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    return this;
  }

  async untilEvents(count: number): Promise<readonly WatchEvent[]> {
    await this.until(() => this.events.length >= count);
    return this.events;
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }
}
