/**
 * Which of several replicas sweeps for what is due by date: the one whose lease holds the leader's key.
 *
 * Compare-and-swap already lets a rotation or deletion happen once; the lease spares every other replica the attempt. When the
 * leader dies its lease runs out, and the next renewal of another replica takes the key.
 */
import { type Store, StoreError } from '@waxseal/storage';
import type { Logger } from 'pino';
import { LIFECYCLE_LEADER } from './store-keys.js';

const TTL_SECONDS = 5;
const RENEW_MS = 1_500;

export interface LeaderOptions {
  readonly store: Store;
  readonly logger: Logger;
  /** Called when this replica has become the leader. */
  readonly onElected: () => void;
}

export class LifecycleLeader {
  readonly #options: LeaderOptions;
  #lease: bigint | undefined;
  /** Monotonic: the lease is known to hold until then. */
  #leadsUntilMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #step: Promise<void> = Promise.resolve();

  constructor(options: LeaderOptions) {
    this.#options = options;
  }

  /** Tries to become the leader now, then every few seconds. */
  async start(): Promise<void> {
    this.#timer = setInterval(() => {
      this.#step = this.#step.then(() => this.renew());
    }, RENEW_MS);
    this.#timer.unref();
    await (this.#step = this.renew());
  }

  get leads(): boolean {
    return performance.now() < this.#leadsUntilMs;
  }

  /** Gives the lease back, so that another replica need not wait for its end. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#step;
    this.#leadsUntilMs = 0;
    const lease = this.#lease;
    if (lease !== undefined) await this.#options.store.leaseRevoke(lease).catch(() => undefined);
  }

  private async renew(): Promise<void> {
    const led = this.leads;
    try {
      const startedMs = performance.now();
      const holds = await this.hold();
      this.#leadsUntilMs = holds ? startedMs + TTL_SECONDS * 1000 : 0;
    } catch (error) {
      this.#options.logger.warn(
        { err: error },
        'the lease of the lifecycle leader cannot be renewed; trying again',
      );
      if (error instanceof StoreError && error.code === 'lease-not-found') this.#lease = undefined;
    }
    if (!led && this.leads) this.#options.onElected();
  }

  private async hold(): Promise<boolean> {
    const { store } = this.#options;
    if (this.#lease !== undefined && (await store.leaseKeepAlive(this.#lease)) === 0) this.#lease = undefined;
    this.#lease ??= (await store.leaseGrant(TTL_SECONDS)).id;
    const { succeeded } = await store.txn({
      compare: [{ key: LIFECYCLE_LEADER, target: 'createRevision', result: 'equal', number: 0 }],
      success: [
        { kind: 'put', key: LIFECYCLE_LEADER, value: Buffer.from('{"version":1}'), lease: this.#lease },
      ],
      failure: [],
    });
    if (succeeded) return true;
    const { kv } = await store.get(LIFECYCLE_LEADER);
    return kv?.lease === this.#lease;
  }
}
