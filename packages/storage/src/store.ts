/**
 * The revisioned key-value contract.
 *
 * `Store` is etcd's data model (etcd API v3, KV/Watch/Lease): one global sequence of revisions, every change gets the
 * next one, history stays readable until it is compacted. LMDB and etcd implement it; the etcd front serves it.
 *
 * Revisions are JavaScript numbers: 2^53 changes are 28,000 years of 10,000 a second. Lease ids are full 64-bit
 * values, so they are bigints.
 */

/** One key at one revision. */
export interface KeyValue {
  readonly key: Buffer;
  readonly value: Buffer;
  /** Revision of the put that created the key, after its last deletion. */
  readonly createRevision: number;
  /** Revision of the put that wrote this value. */
  readonly modRevision: number;
  /** 1 at creation, one more for every put since. */
  readonly version: number;
  /** Lease the key is attached to, 0n for none. */
  readonly lease: bigint;
}

/** `[key, rangeEnd)`. No `rangeEnd`: the one key. A `rangeEnd` of one zero byte: every key ≥ `key`. */
export interface KeyRange {
  readonly key: Buffer;
  readonly rangeEnd?: Buffer | undefined;
}

export interface RangeRequest extends KeyRange {
  /** Read as of this revision; 0 or absent: now. Compacted or future revisions are a StoreError. */
  readonly revision?: number | undefined;
  /** At most this many key-values; 0 or absent: no limit. */
  readonly limit?: number | undefined;
  readonly keysOnly?: boolean | undefined;
  readonly countOnly?: boolean | undefined;
  /**
   * True: `count` is not needed, and is anything from the number of `kvs` to what it would be; `more` is right. Counting what is
   * behind each page makes reading a list page by page quadratic.
   */
  readonly uncounted?: boolean | undefined;
}

/** Key-values in ascending key order. */
export interface RangeResult {
  /** The store's revision at the read (not the revision asked for). */
  readonly revision: number;
  readonly kvs: readonly KeyValue[];
  /** True when `limit` cut the list. */
  readonly more: boolean;
  /** Keys in the range, regardless of `limit`. */
  readonly count: number;
}

export type CompareResult = 'equal' | 'notEqual' | 'less' | 'greater';

/** A condition on every key of a range. A key that does not exist has revisions 0, version 0, and no value. */
export type Compare = KeyRange & { readonly result: CompareResult } & (
    | { readonly target: 'modRevision' | 'createRevision' | 'version'; readonly number: number }
    | { readonly target: 'value'; readonly value: Buffer }
    | { readonly target: 'lease'; readonly lease: bigint }
  );

export interface PutOp {
  readonly kind: 'put';
  readonly key: Buffer;
  readonly value: Buffer;
  /** 0n or absent: no lease. An unknown lease is a StoreError. */
  readonly lease?: bigint | undefined;
  readonly prevKv?: boolean | undefined;
  /** Keep the stored value, change the rest. The key must exist. */
  readonly ignoreValue?: boolean | undefined;
  /** Keep the key's lease. The key must exist. */
  readonly ignoreLease?: boolean | undefined;
}

export interface DeleteOp extends KeyRange {
  readonly kind: 'delete';
  readonly prevKv?: boolean | undefined;
}

export interface RangeOp extends RangeRequest {
  readonly kind: 'range';
}

export interface TxnOp extends TxnRequest {
  readonly kind: 'txn';
}

export type Op = PutOp | DeleteOp | RangeOp | TxnOp;

/** All `compare`s hold: `success` runs, else `failure`. One revision for the whole; the same key is put only once. */
export interface TxnRequest {
  readonly compare: readonly Compare[];
  readonly success: readonly Op[];
  readonly failure: readonly Op[];
}

export type OpResult =
  | { readonly kind: 'put'; readonly prevKv?: KeyValue | undefined }
  | { readonly kind: 'delete'; readonly deleted: number; readonly prevKvs: readonly KeyValue[] }
  | ({ readonly kind: 'range' } & RangeResult)
  | ({ readonly kind: 'txn' } & TxnResult);

export interface TxnResult {
  readonly succeeded: boolean;
  /** The store's revision after the transaction: a new one if anything was written. */
  readonly revision: number;
  readonly results: readonly OpResult[];
}

export interface WatchRequest extends KeyRange {
  /** First revision to report; 0 or absent: everything after now. */
  readonly startRevision?: number | undefined;
  readonly prevKv?: boolean | undefined;
}

export interface WatchEvent {
  readonly type: 'put' | 'delete';
  /** For a delete: the key, modRevision = the deletion's revision, an empty value and zeros. */
  readonly kv: KeyValue;
  /** Present when asked for and the key existed before, unless that revision is compacted. */
  readonly prevKv?: KeyValue | undefined;
}

/** Receives a watch. Calls come in revision order, all events of one revision in one call. */
export interface WatchSink {
  /** `revision`: every event up to and including it has now been reported. */
  onEvents(events: readonly WatchEvent[], revision: number): void;
  /**
   * Back-pressure: asked after every `onEvents`. A promise holds the watch until it settles; the store keeps no events
   * meanwhile and reads them from history afterwards. A watch held until its place is compacted ends as `compacted`.
   */
  ready?(): Promise<void> | undefined;
  /** Nothing happened, but every event up to `revision` has been reported. Answers `Watch.requestProgress`. */
  onProgress?(revision: number): void;
  /** The watch is over; nothing follows. `compacted` carries the first revision still readable. */
  onEnd(reason: StoreWatchEnd): void;
}

export type StoreWatchEnd =
  | { readonly kind: 'cancelled' }
  | { readonly kind: 'closed' }
  | { readonly kind: 'compacted'; readonly compactRevision: number }
  | { readonly kind: 'failed'; readonly error: Error };

export interface Watch {
  /** Resolves with the store's revision once the watch is in place: no later change will be missed. */
  readonly started: Promise<number>;
  /** Asks for an `onProgress` call once every event up to the store's present revision has been reported. */
  requestProgress(): void;
  cancel(): void;
}

export interface LeaseStatus {
  readonly id: bigint;
  readonly grantedTtlSeconds: number;
  /** Seconds left; -1 when the lease is gone. */
  readonly ttlSeconds: number;
  readonly keys: readonly Buffer[];
}

export interface StoreStatus {
  readonly revision: number;
  /** First revision that can still be read; 0 when nothing was compacted. */
  readonly compactRevision: number;
  /** Bytes on disk, as the implementation counts them; both 0 where an etcd does not tell this user. */
  readonly sizeBytes: number;
  readonly sizeInUseBytes: number;
  /** The implementation and its version, e.g. `lmdb 3.5.6` or `etcd 3.5.21`. */
  readonly version: string;
  /** Of an etcd cluster, in hexadecimal; absent where the store is no cluster. */
  readonly clusterId?: string;
}

export interface Store {
  /** Linearisable: sees every write acknowledged before the call. */
  range(request: RangeRequest): Promise<RangeResult>;
  /** One key now, or at `revision`. Undefined when it does not exist. `revision` is the store's, as in RangeResult. */
  get(
    key: Buffer,
    revision?: number,
  ): Promise<{ readonly revision: number; readonly kv: KeyValue | undefined }>;
  /** Durable when it resolves. */
  txn(request: TxnRequest): Promise<TxnResult>;
  watch(request: WatchRequest, sink: WatchSink): Watch;
  /** Drops history before `revision`; the state at `revision` stays readable. */
  compact(revision: number): Promise<void>;

  /** `id` 0n: the store chooses. Resolves with the id and the granted TTL. */
  leaseGrant(ttlSeconds: number, id?: bigint): Promise<{ readonly id: bigint; readonly ttlSeconds: number }>;
  /** Deletes the lease's keys in one revision. Unknown lease: StoreError. */
  leaseRevoke(id: bigint): Promise<void>;
  /** Resolves with the renewed TTL in seconds, 0 when the lease is gone. */
  leaseKeepAlive(id: bigint): Promise<number>;
  leaseTimeToLive(id: bigint, withKeys: boolean): Promise<LeaseStatus>;
  leases(): Promise<readonly bigint[]>;

  status(): Promise<StoreStatus>;
  /** Ends watches with `closed`, waits for writes under way. */
  close(): Promise<void>;
}

export type StoreErrorCode =
  | 'compacted'
  | 'future-revision'
  | 'lease-not-found'
  | 'lease-exists'
  | 'key-not-found'
  | 'duplicate-key'
  | 'invalid-argument'
  | 'too-large'
  | 'no-space'
  | 'unavailable'
  | 'timeout'
  | 'unauthenticated'
  | 'in-use'
  | 'corrupt'
  | 'closed';

/** Every failure of a Store. `code` says what to do; `message` is safe to show. */
export class StoreError extends Error {
  override readonly name = 'StoreError';
  readonly code: StoreErrorCode;
  constructor(code: StoreErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Keys and values together of one request; etcd's own default (`--max-request-bytes`). */
export const MAX_REQUEST_BYTES = 1.5 * 1024 * 1024;

/** The exclusive end of the range of all keys that begin with `prefix`; one zero byte when there is no such end. */
export function prefixRangeEnd(prefix: Buffer): Buffer {
  const end = Buffer.from(prefix);
  for (let i = end.length - 1; i >= 0; i--) {
    const byte = end[i] as number;
    if (byte < 0xff) {
      end[i] = byte + 1;
      return end.subarray(0, i + 1);
    }
  }
  return Buffer.from([0]);
}
