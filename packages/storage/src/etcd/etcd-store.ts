/**
 * The Store over an etcd cluster: the official v3 gRPC API, nothing else.
 *
 * @see https://etcd.io/docs/v3.5/learning/api/
 */
import { KVService, LeaseService, MaintenanceService, type StatusResponse } from '../gen/etcd/rpc.js';
import {
  StoreError,
  type KeyValue,
  type LeaseStatus,
  type RangeRequest,
  type RangeResult,
  type Store,
  type StoreStatus,
  type TxnRequest,
  type TxnResult,
  type Watch,
  type WatchRequest,
  type WatchSink,
} from '../store.js';
import { closedError, EtcdConnection, type ConnectionOptions } from './connection.js';
import { isPermissionDenied } from './errors.js';
import { LeaseKeepAlive } from './lease-keep-alive.js';
import {
  isReadOnly,
  rangeRequestToWire,
  rangeResultFromWire,
  txnRequestToWire,
  txnResultFromWire,
} from './requests.js';
import { EtcdWatch } from './watch.js';
import { progressIsExact } from './version.js';

export interface EtcdStoreOptions extends ConnectionOptions {
  /** A key that the user may read, for asking what was compacted; default: the lowest one. */
  readonly readableKey?: Buffer | undefined;
}

/**
 * Connects to an etcd cluster.
 * @throws StoreError `unavailable` when no endpoint answers within `dialTimeoutMs`, naming each and what it said;
 *   `unauthenticated` for a wrong user or password; `invalid-argument` for endpoints or certificates that cannot be read
 */
export async function openEtcdStore(options: EtcdStoreOptions): Promise<Store> {
  const connection = new EtcdConnection(options);
  try {
    const { version } = await connection.dial();
    options.logger?.info({ endpoints: options.endpoints, version }, 'connected to etcd');
    return new EtcdStore(connection, options, version);
  } catch (error) {
    await connection.close();
    throw error;
  }
}

class EtcdStore implements Store {
  readonly #connection: EtcdConnection;
  readonly #keepAlive: LeaseKeepAlive;
  readonly #watches = new Set<EtcdWatch>();
  readonly #progressIsExact: boolean;
  readonly #readableKey: Buffer;
  #knownCompactRevision = 0;

  constructor(connection: EtcdConnection, options: EtcdStoreOptions, version: string | undefined) {
    this.#connection = connection;
    this.#keepAlive = new LeaseKeepAlive(connection, options.requestTimeoutMs);
    this.#readableKey = options.readableKey ?? Buffer.from([0]);
    this.#progressIsExact = progressIsExact(version);
  }

  async range(request: RangeRequest): Promise<RangeResult> {
    const wire = rangeRequestToWire(request);
    return rangeResultFromWire(await this.#connection.unary(KVService.range, wire, 'idempotent'));
  }

  async get(
    key: Buffer,
    revision?: number,
  ): Promise<{ readonly revision: number; readonly kv: KeyValue | undefined }> {
    const result = await this.range({ key, revision });
    return { revision: result.revision, kv: result.kvs[0] };
  }

  async txn(request: TxnRequest): Promise<TxnResult> {
    const wire = txnRequestToWire(request);
    const kind = isReadOnly(request) ? 'idempotent' : 'write';
    return txnResultFromWire(await this.#connection.unary(KVService.txn, wire, kind));
  }

  watch(request: WatchRequest, sink: WatchSink): Watch {
    const watch = new EtcdWatch(request, sink, {
      connection: this.#connection,
      progressIsExact: this.#progressIsExact,
      onOver: (over) => this.#watches.delete(over),
    });
    this.#watches.add(watch);
    return watch;
  }

  async compact(revision: number): Promise<void> {
    const wire = { revision: BigInt(revision), physical: false };
    await this.#connection.unary(KVService.compact, wire, 'write');
  }

  async leaseGrant(
    ttlSeconds: number,
    id = 0n,
  ): Promise<{ readonly id: bigint; readonly ttlSeconds: number }> {
    const wire = { TTL: BigInt(ttlSeconds), ID: id };
    const answer = await this.#connection.unary(LeaseService.leaseGrant, wire, 'write');
    if (answer.error !== '')
      throw new StoreError('invalid-argument', `etcd refused the lease: ${answer.error}`);
    return { id: answer.ID, ttlSeconds: Number(answer.TTL) };
  }

  async leaseRevoke(id: bigint): Promise<void> {
    await this.#connection.unary(LeaseService.leaseRevoke, { ID: id }, 'write');
  }

  leaseKeepAlive(id: bigint): Promise<number> {
    return this.#keepAlive.renew(id);
  }

  async leaseTimeToLive(id: bigint, withKeys: boolean): Promise<LeaseStatus> {
    const wire = { ID: id, keys: withKeys };
    const answer = await this.#connection.unary(LeaseService.leaseTimeToLive, wire, 'idempotent');
    return {
      id: answer.ID,
      grantedTtlSeconds: Number(answer.grantedTTL),
      ttlSeconds: Number(answer.TTL),
      keys: answer.keys,
    };
  }

  async leases(): Promise<readonly bigint[]> {
    const answer = await this.#connection.unary(LeaseService.leaseLeases, {}, 'idempotent');
    return answer.leases.map((lease) => lease.ID);
  }

  async status(): Promise<StoreStatus> {
    const { header, dbSize, dbSizeInUse, version } = await this.#memberStatus();
    return {
      revision: Number(header?.revision ?? 0n),
      compactRevision: await this.#compactRevision(),
      sizeBytes: Number(dbSize),
      sizeInUseBytes: Number(dbSizeInUse),
      version: `etcd ${version}`.trimEnd(),
      clusterId: (header?.clusterId ?? 0n).toString(16),
    };
  }

  /** Newer members tell it to administrators alone; the rest of us learn the revision from an answer. */
  async #memberStatus(): Promise<Pick<StatusResponse, 'header' | 'dbSize' | 'dbSizeInUse' | 'version'>> {
    try {
      return await this.#connection.unary(MaintenanceService.status, {}, 'idempotent');
    } catch (error) {
      if (!isPermissionDenied(error)) throw error;
    }
    const request = rangeRequestToWire({ key: this.#readableKey, countOnly: true });
    const { header } = await this.#connection.unary(KVService.range, request, 'idempotent');
    return { header, dbSize: 0n, dbSizeInUse: 0n, version: '' };
  }

  async close(): Promise<void> {
    for (const watch of this.#watches) watch.end({ kind: 'closed' });
    const closing = this.#connection.close();
    await this.#keepAlive.close();
    await closing;
  }

  /**
   * etcd tells its compaction revision only to a watch that begins before it. One that is known still holds while it can
   * be read: it was the first readable revision once, and the first one only moves up.
   */
  async #compactRevision(): Promise<number> {
    const known = this.#knownCompactRevision;
    try {
      await this.range({ key: this.#readableKey, revision: Math.max(known, 1), countOnly: true });
      return known;
    } catch (error) {
      // Who may not even read this one has no use for history.
      if (isPermissionDenied(error)) return known;
      if (!(error instanceof StoreError) || error.code !== 'compacted') throw error;
    }
    this.#knownCompactRevision = await new Promise<number>((resolve, reject) => {
      this.watch(
        { key: this.#readableKey, startRevision: 1 },
        {
          onEvents: () => {},
          onEnd: (end) => {
            if (end.kind === 'compacted') resolve(end.compactRevision);
            else if (end.kind === 'failed') reject(end.error);
            else reject(closedError());
          },
        },
      );
    });
    return this.#knownCompactRevision;
  }
}
