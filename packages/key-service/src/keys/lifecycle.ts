/**
 * What happens to keys by date: automatic rotation and the end of the waiting period of a deletion.
 *
 * Nothing depends on the process having run at the date. A sweep does what is due soon after start and every minute,
 * and a key that is used is settled first, so a key past its deletion date is never found and an overdue rotation
 * happens before the next Encrypt. With several replicas compare-and-swap lets one of them do it.
 */
import type { Logger } from 'pino';
import { arnOf, type KeyRecord, type Rotation } from './key-record.js';
import type { KeyStore } from './key-store.js';
import type { MaterialVault } from './material-vault.js';

export const DAY_MS = 86_400_000;
const SWEEP_INTERVAL_MS = 60_000;

export class KeyLifecycle {
  readonly #keys: KeyStore;
  readonly #vault: MaterialVault;
  readonly #now: () => number;
  readonly #logger: Logger;
  #timer: NodeJS.Timeout | undefined;
  #sweeping: Promise<void> = Promise.resolve();

  constructor(keys: KeyStore, vault: MaterialVault, now: () => number, logger: Logger) {
    this.#keys = keys;
    this.#vault = vault;
    this.#now = now;
    this.#logger = logger;
  }

  /** Sweeps now, then every minute. */
  async start(): Promise<void> {
    await this.sweep();
    this.#timer = setInterval(() => {
      this.#sweeping = this.#sweeping.then(() => this.sweep());
    }, SWEEP_INTERVAL_MS);
    this.#timer.unref();
  }

  /** Resolves when no sweep is under way any more. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#sweeping;
  }

  /** Does whatever is due for every key. A failure of one key is logged and does not stop the others. */
  async sweep(): Promise<void> {
    const due = [...this.#keys.all()].filter((key) => isDue(key, this.#now()));
    for (const key of due) {
      try {
        await this.settle(key);
      } catch (error) {
        this.#logger.error(
          { err: error, key: arnOf(key) },
          'a rotation or deletion that is due has failed; it is tried again',
        );
      }
    }
  }

  /** The key as of now: rotated if that was due, undefined if its deletion date has passed. */
  async settle(key: KeyRecord): Promise<KeyRecord | undefined> {
    const nowMs = this.#now();
    if (!isDue(key, nowMs)) return key;
    if (key.state.kind === 'PendingDeletion') {
      await this.#keys.destroyKey(key);
      this.#logger.info(
        { key: arnOf(key) },
        'the key and its material are destroyed: its waiting period is over',
      );
      return undefined;
    }
    const rotated = await this.#keys.updateKey(key, (record) =>
      isDue(record, nowMs) && record.rotation !== undefined
        ? {
            ...record,
            rotation: nextRotation(record.rotation, nowMs),
            materials: [
              ...record.materials,
              this.#vault.create(record.accountId, record.keyId, { dateMs: nowMs, type: 'AUTOMATIC' }),
            ],
          }
        : record,
    );
    this.#logger.info({ key: arnOf(key) }, 'the key material is rotated');
    return rotated;
  }
}

export function isDue({ state, rotation }: KeyRecord, nowMs: number): boolean {
  if (state.kind === 'PendingDeletion') return state.deletionDateMs <= nowMs;
  return state.kind === 'Enabled' && rotation !== undefined && rotation.nextDateMs <= nowMs;
}

/** The first date of the schedule that is still ahead: dates missed while down are not made up one by one. */
function nextRotation({ periodDays, nextDateMs }: Rotation, nowMs: number): Rotation {
  const periodMs = periodDays * DAY_MS;
  const missed = Math.floor((nowMs - nextDateMs) / periodMs);
  return { periodDays, nextDateMs: nextDateMs + (missed + 1) * periodMs };
}
