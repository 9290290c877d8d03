/**
 * Leases as they lie on disk, and in memory beside it (docs/formats/lmdb-store.md):
 *
 *   leases      id 8 → TTL 8 ‖ remaining 8   (seconds)
 *   lease-keys  id 8 ‖ key → nothing
 *
 * `remaining` is a checkpoint: what a restart grants. It starts as the whole TTL and is lowered every few minutes, so
 * that a lease outlives a restart by what it had left and is never cut short by the time the store was down.
 */
import type { Transaction } from 'lmdb';
import { StoreError } from '../store.js';
import { readRevision, writeRevision } from './bytes.js';
import type { Tables } from './environment.js';
import { keyText } from './state.js';

export interface Lease {
  readonly id: bigint;
  readonly ttlSeconds: number;
  /** What the disk says is left. */
  checkpointSeconds: number;
  /** On the store's clock. */
  expiresAtMs: number;
  /** Keys by their text. */
  readonly keys: Map<string, Buffer>;
}

const LEASE_BYTES = 16;
const ID_BYTES = 8;

export class LeaseTable {
  readonly #tables: Tables;
  #leases = new Map<bigint, Lease>();

  constructor(tables: Tables) {
    this.#tables = tables;
  }

  /** Takes over what is on disk. Leases already known keep their expiry: a failed commit calls this too. */
  load(transaction: Transaction, nowMs: number): void {
    const known = this.#leases;
    const loaded = new Map<bigint, Lease>();
    for (const { key, value } of this.#tables.leases.entries(transaction, {})) {
      if (key.length !== ID_BYTES || value.length !== LEASE_BYTES) throw damaged();
      const id = key.readBigInt64BE(0);
      const checkpointSeconds = readRevision(value, 8);
      const expiresAtMs = known.get(id)?.expiresAtMs ?? nowMs + checkpointSeconds * 1000;
      const ttlSeconds = readRevision(value, 0);
      loaded.set(id, { id, ttlSeconds, checkpointSeconds, expiresAtMs, keys: new Map() });
    }
    for (const entry of this.#tables.leaseKeys.keys(transaction, {})) {
      if (entry.length <= ID_BYTES) throw damaged();
      const lease = loaded.get(entry.readBigInt64BE(0));
      if (!lease) throw damaged();
      const key = entry.subarray(ID_BYTES);
      lease.keys.set(keyText(key), key);
    }
    this.#leases = loaded;
  }

  has(id: bigint): boolean {
    return this.#leases.has(id);
  }

  get(id: bigint): Lease | undefined {
    return this.#leases.get(id);
  }

  all(): Iterable<Lease> {
    return this.#leases.values();
  }

  add(lease: Lease): void {
    this.#leases.set(lease.id, lease);
  }

  delete(id: bigint): void {
    this.#leases.delete(id);
  }

  /** True when the key was not attached before. */
  attach(id: bigint, key: Buffer): boolean {
    const keys = this.#leases.get(id)?.keys;
    const text = keyText(key);
    if (!keys || keys.has(text)) return false;
    keys.set(text, key);
    return true;
  }

  /** True when the key was attached. */
  detach(id: bigint, key: Buffer): boolean {
    return this.#leases.get(id)?.keys.delete(keyText(key)) ?? false;
  }

  putLease(id: bigint, ttlSeconds: number, checkpointSeconds: number): Promise<boolean> {
    const value = Buffer.allocUnsafe(LEASE_BYTES);
    writeRevision(value, ttlSeconds, 0);
    writeRevision(value, checkpointSeconds, 8);
    return this.#tables.leases.put(idBytes(id), value);
  }

  removeLease(id: bigint): Promise<boolean> {
    return this.#tables.leases.remove(idBytes(id));
  }

  putKey(id: bigint, key: Buffer): Promise<boolean> {
    return this.#tables.leaseKeys.put(Buffer.concat([idBytes(id), key]), Buffer.alloc(0));
  }

  removeKey(id: bigint, key: Buffer): Promise<boolean> {
    return this.#tables.leaseKeys.remove(Buffer.concat([idBytes(id), key]));
  }
}

function idBytes(id: bigint): Buffer {
  const bytes = Buffer.allocUnsafe(ID_BYTES);
  bytes.writeBigInt64BE(id);
  return bytes;
}

function damaged(): StoreError {
  return new StoreError('corrupt', 'a lease is damaged; restore the data directory from a backup');
}
