/**
 * Leases in operation: granting, keeping alive, expiring. Times run on a clock that does not jump; nothing is written
 * for keeping a lease alive, only a checkpoint now and then of what long leases have left (see lease-table.ts).
 */
import { StoreError, type DeleteOp, type LeaseStatus } from '../store.js';
import type { Clock } from './clock.js';
import type { Commit } from './commit.js';
import type { CommitQueue } from './commit-queue.js';
import type { Lease, LeaseTable } from './lease-table.js';

/** Shorter leases are renewed so often that a restart may give them their whole TTL again. */
const CHECKPOINT_INTERVAL_MS = 5 * 60 * 1000;

/** etcd's own limit (lease.MaxLeaseTTL). */
const MAX_TTL_SECONDS = 9_000_000_000;
const MAX_ID = 2n ** 63n - 1n;
/** setTimeout takes no longer delay. */
const MAX_TIMER_MS = 2 ** 31 - 1;
/** After a failed expiry, for example on a full disk. */
const RETRY_MS = 1000;

export interface LessorOptions {
  readonly table: LeaseTable;
  readonly queue: CommitQueue;
  readonly clock: Clock;
  readonly randomBytes: (size: number) => Buffer;
}

export class Lessor {
  readonly #table: LeaseTable;
  readonly #queue: CommitQueue;
  readonly #clock: Clock;
  readonly #randomBytes: (size: number) => Buffer;
  #cancelExpiry: (() => void) | undefined;
  #expiryAtMs = Infinity;
  #cancelCheckpoint: (() => void) | undefined;
  #closed = false;

  constructor({ table, queue, clock, randomBytes }: LessorOptions) {
    this.#table = table;
    this.#queue = queue;
    this.#clock = clock;
    this.#randomBytes = randomBytes;
  }

  start(): void {
    this.#scheduleExpiry();
    this.#scheduleCheckpoint();
  }

  /** Ends the timers and writes down what the leases have left. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelExpiry?.();
    this.#cancelCheckpoint?.();
    // Closing must not fail for a full disk; the checkpoints before it hold.
    await this.#checkpoint().catch(() => {});
  }

  async grant(ttlSeconds: number, id: bigint): Promise<{ id: bigint; ttlSeconds: number }> {
    if (!Number.isFinite(ttlSeconds) || ttlSeconds > MAX_TTL_SECONDS) {
      throw new StoreError('invalid-argument', `a lease's TTL is at most ${MAX_TTL_SECONDS} seconds`);
    }
    if (id < 0n || id > MAX_ID) {
      throw new StoreError('invalid-argument', 'a lease id is a positive 64-bit number');
    }
    const ttl = Math.max(1, Math.ceil(ttlSeconds));
    return this.#queue.submit(0, (commit) => {
      const leaseId = id === 0n ? this.#freeId() : id;
      if (this.#table.has(leaseId)) {
        throw new StoreError('lease-exists', `lease ${leaseId.toString(16)} exists already`);
      }
      const lease: Lease = {
        id: leaseId,
        ttlSeconds: ttl,
        checkpointSeconds: ttl,
        expiresAtMs: this.#clock.now() + ttl * 1000,
        keys: new Map(),
      };
      this.#table.add(lease);
      commit.write(() => this.#table.putLease(leaseId, ttl, ttl));
      this.#expireBy(lease.expiresAtMs);
      return { id: leaseId, ttlSeconds: ttl };
    });
  }

  revoke(id: bigint): Promise<void> {
    return this.#queue.submit(0, (commit) => {
      const lease = this.#table.get(id);
      if (!lease) throw notFound(id);
      this.#revokeIn(commit, lease);
    });
  }

  async keepAlive(id: bigint): Promise<number> {
    const lease = this.#table.get(id);
    const now = this.#clock.now();
    if (!lease || lease.expiresAtMs <= now) return 0;
    lease.expiresAtMs = now + lease.ttlSeconds * 1000;
    if (lease.checkpointSeconds < lease.ttlSeconds) await this.#writeCheckpoints([lease]);
    return lease.ttlSeconds;
  }

  timeToLive(id: bigint, withKeys: boolean): LeaseStatus {
    const lease = this.#table.get(id);
    const leftMs = lease ? lease.expiresAtMs - this.#clock.now() : -1;
    if (!lease || leftMs <= 0) return { id, grantedTtlSeconds: 0, ttlSeconds: -1, keys: [] };
    return {
      id,
      grantedTtlSeconds: lease.ttlSeconds,
      ttlSeconds: Math.floor(leftMs / 1000),
      keys: withKeys ? sortedKeys(lease).map((key) => Buffer.from(key)) : [],
    };
  }

  #freeId(): bigint {
    for (;;) {
      const id = this.#randomBytes(8).readBigUInt64BE() & MAX_ID;
      if (id !== 0n && !this.#table.has(id)) return id;
    }
  }

  #revokeIn(commit: Commit, lease: Lease): void {
    const success = sortedKeys(lease).map((key): DeleteOp => ({ kind: 'delete', key }));
    if (success.length > 0) commit.txn({ compare: [], success, failure: [] });
    this.#table.delete(lease.id);
    commit.write(() => this.#table.removeLease(lease.id));
  }

  #expireBy(atMs: number): void {
    if (this.#closed || atMs >= this.#expiryAtMs) return;
    this.#cancelExpiry?.();
    this.#expiryAtMs = atMs;
    const delayMs = Math.min(Math.max(0, atMs - this.#clock.now()), MAX_TIMER_MS);
    this.#cancelExpiry = this.#clock.setTimer(() => void this.#expire(), delayMs);
  }

  #scheduleExpiry(): void {
    let nextMs = Infinity;
    for (const lease of this.#table.all()) nextMs = Math.min(nextMs, lease.expiresAtMs);
    this.#expireBy(nextMs);
  }

  async #expire(): Promise<void> {
    this.#expiryAtMs = Infinity;
    const due = this.#due();
    try {
      for (const { id } of due) {
        await this.#queue.submit(0, (commit) => {
          // Kept alive or revoked since?
          const lease = this.#table.get(id);
          if (lease && lease.expiresAtMs <= this.#clock.now()) this.#revokeIn(commit, lease);
        });
      }
      this.#scheduleExpiry();
    } catch {
      // Whoever reads or writes learns why; leases wait until it works again.
      this.#expireBy(this.#clock.now() + RETRY_MS);
    }
  }

  #due(): Lease[] {
    const now = this.#clock.now();
    return [...this.#table.all()].filter((lease) => lease.expiresAtMs <= now);
  }

  #scheduleCheckpoint(): void {
    this.#cancelCheckpoint = this.#clock.setTimer(() => {
      // One that fails, as on a full disk, is made up for by the next.
      this.#checkpoint().catch(() => {});
      this.#scheduleCheckpoint();
    }, CHECKPOINT_INTERVAL_MS);
  }

  async #checkpoint(): Promise<void> {
    const long = [...this.#table.all()].filter((lease) => lease.ttlSeconds * 1000 > CHECKPOINT_INTERVAL_MS);
    await this.#writeCheckpoints(long);
  }

  async #writeCheckpoints(leases: readonly Lease[]): Promise<void> {
    const now = this.#clock.now();
    const due = leases.filter((lease) => remainingSeconds(lease, now) !== lease.checkpointSeconds);
    if (due.length === 0) return;
    await this.#queue.submit(0, (commit) => {
      for (const lease of due) {
        if (this.#table.get(lease.id) !== lease) continue;
        lease.checkpointSeconds = remainingSeconds(lease, now);
        commit.write(() => this.#table.putLease(lease.id, lease.ttlSeconds, lease.checkpointSeconds));
      }
    });
  }
}

function remainingSeconds(lease: Lease, nowMs: number): number {
  return Math.max(1, Math.min(lease.ttlSeconds, Math.ceil((lease.expiresAtMs - nowMs) / 1000)));
}

function sortedKeys(lease: Lease): Buffer[] {
  return [...lease.keys.values()].toSorted((a, b) => a.compare(b));
}

function notFound(id: bigint): StoreError {
  return new StoreError('lease-not-found', `lease ${id.toString(16)} does not exist`);
}
