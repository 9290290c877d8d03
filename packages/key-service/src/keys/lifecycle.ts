/**
 * What happens to keys by date: automatic rotation, the end of the waiting period of a deletion, the expiry of imported
 * material.
 *
 * Nothing depends on the process having run at the date. A sweep does what is due soon after start and every minute,
 * and a key that is used is settled first, so a key past its deletion date is never found and an overdue rotation
 * happens before the next Encrypt. With several replicas the leader alone sweeps (lifecycle-leader.ts), and compare-and-swap lets one of
 * those that settle a used key do it.
 */
import type { Logger } from 'pino';
import type { AbandonedKey } from '../custom-key-stores/token-keys.js';
import type { DatedServiceEvent, ServiceEvent } from '../audit/service-event.js';
import type { EventOutbox } from './event-outbox.js';
import { hasExpired, withoutExpired } from './import-material.js';
import { deletionOf, expirationsOf, rotationOf } from './key-events.js';
import { arnOf, type KeyRecord, type Rotation } from './key-record.js';
import type { FamilyChange, KeyStore } from './key-store.js';
import type { MaterialVault } from './material-vault.js';
import { isReplica, leaveFamily } from './multi-region.js';
import type { UsageTracker } from './usage-tracker.js';

export const DAY_MS = 86_400_000;
const SWEEP_INTERVAL_MS = 60_000;

/** What becomes of the token key of a KMS key in a custom key store (custom-key-stores/token-keys.ts). */
interface AbandonedKeys {
  /** Before the key is destroyed; undefined for keys of no custom key store. */
  abandon(key: KeyRecord): Promise<AbandonedKey | undefined>;
}

export class KeyLifecycle {
  readonly #keys: KeyStore;
  readonly #vault: MaterialVault;
  readonly #tokenKeys: AbandonedKeys;
  readonly #usage: UsageTracker;
  readonly #outbox: EventOutbox;
  readonly #now: () => number;
  readonly #logger: Logger;
  readonly #leads: () => boolean;
  #timer: NodeJS.Timeout | undefined;
  #sweeping: Promise<void> = Promise.resolve();

  /** @param leads whether this replica sweeps; default: it is the only one */
  constructor(
    keys: KeyStore,
    vault: MaterialVault,
    tokenKeys: AbandonedKeys,
    usage: UsageTracker,
    outbox: EventOutbox,
    now: () => number,
    logger: Logger,
    leads: () => boolean = () => true,
  ) {
    this.#keys = keys;
    this.#vault = vault;
    this.#tokenKeys = tokenKeys;
    this.#usage = usage;
    this.#outbox = outbox;
    this.#now = now;
    this.#logger = logger;
    this.#leads = leads;
  }

  /** Sweeps now, then every minute. What a process that died had deleted but not yet erased is erased meanwhile. */
  async start(): Promise<void> {
    this.#sweeping = this.#keys.eraseHistory().catch((error: unknown) => {
      this.#logger.error(
        { err: error },
        'the history of deleted keys cannot be erased; it is tried again at the next start',
      );
    });
    await this.sweep();
    this.#timer = setInterval(() => this.sweepSoon(), SWEEP_INTERVAL_MS);
    this.#timer.unref();
  }

  /** As soon as the sweep under way is over. */
  sweepSoon(): void {
    this.#sweeping = this.#sweeping.then(() => this.sweep());
  }

  /** Resolves when no sweep is under way any more and the last uses of keys are stored. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#sweeping;
    await this.flushUsage(true);
  }

  /** Does whatever is due for every key. A failure of one key is logged and does not stop the others. */
  async sweep(): Promise<void> {
    const due = this.#leads() ? [...this.#keys.dated()].filter((key) => isDue(key, this.#now())) : [];
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
    await this.flushUsage(false);
    if (this.#leads()) await this.publishForgotten();
  }

  private async publishForgotten(): Promise<void> {
    await this.#outbox.publishForgotten().catch((error: unknown) => {
      this.#logger.error(
        { err: error },
        'events that wait for the audit log cannot be read; it is tried again',
      );
    });
  }

  private flushUsage(everything: boolean): Promise<void> {
    return this.#usage.flush((keyArn) => this.#keys.findByArn(keyArn) !== undefined, everything);
  }

  /** The key as of now: rotated if that was due, undefined if its deletion date has passed. */
  async settle(key: KeyRecord): Promise<KeyRecord | undefined> {
    const nowMs = this.#now();
    if (!isDue(key, nowMs)) return key;
    if (hasExpired(key, nowMs)) return this.expire(key, nowMs);
    if (key.state.kind === 'PendingDeletion') {
      const token = await this.#tokenKeys.abandon(key);
      const deleted = this.#outbox.date(deletionOf(key, token && { ...token, destroyed: false }));
      const gone = await this.#keys.destroyKey(
        key,
        (family) => leaveFamily(family, key.region, nowMs, DAY_MS),
        () => [this.#outbox.keep(deleted)],
      );
      await this.#usage.forget(key);
      const destroyed = gone && (await token?.destroy()) === true;
      const event =
        token === undefined ? deleted : { ...deleted, ...deletionOf(key, { ...token, destroyed }) };
      if (gone) await this.#outbox.publish([event]);
      this.#logger.info(
        { key: arnOf(key) },
        'the key and its material are destroyed: its waiting period is over',
      );
      return undefined;
    }
    const [rotated] = await this.changeFamily(
      key,
      (family) => {
        const [own] = family;
        if (own?.rotation === undefined || !isDue(own, nowMs)) return family;
        const rotation = nextRotation(own.rotation, nowMs);
        const material = this.#vault.create(own.accountId, own.keyId, { dateMs: nowMs, type: 'AUTOMATIC' });
        return family.map((record) => ({ ...record, rotation, materials: [...record.materials, material] }));
      },
      rotationOf,
    );
    this.#logger.info({ key: arnOf(key) }, 'the key material is rotated');
    return rotated;
  }

  /** Removes imported material past its date, stored bytes too. */
  private async expire(key: KeyRecord, nowMs: number): Promise<KeyRecord | undefined> {
    const [own] = await this.changeFamily(key, (family) => withoutExpired(family, nowMs), expirationsOf);
    await this.#keys.eraseHistory();
    this.#logger.info({ key: arnOf(key) }, 'imported key material has expired and is deleted');
    return own === undefined ? undefined : this.settle(own);
  }

  /** @param eventsOf what to record of the key itself before and after the change */
  private async changeFamily(
    key: KeyRecord,
    change: FamilyChange,
    eventsOf: (before: KeyRecord, after: KeyRecord) => readonly ServiceEvent[],
  ): Promise<readonly KeyRecord[]> {
    let events: readonly DatedServiceEvent[] = [];
    const family = await this.#keys.updateFamily(
      key,
      (members) => {
        events = [];
        return change(members);
      },
      ([before = key], changed) => {
        const after = changed.find(({ region }) => region === before.region) ?? before;
        events = eventsOf(before, after).map((event) => this.#outbox.date(event));
        return events.map((event) => this.#outbox.keep(event));
      },
    );
    await this.#outbox.publish(events);
    return family;
  }
}

export function isDue(key: KeyRecord, nowMs: number): boolean {
  const { state, rotation, origin } = key;
  if (origin === 'EXTERNAL' && hasExpired(key, nowMs)) return true;
  if (state.kind === 'PendingDeletion') return state.deletionDateMs <= nowMs;
  // A family is rotated by its primary.
  return (
    state.kind === 'Enabled' && rotation !== undefined && rotation.nextDateMs <= nowMs && !isReplica(key)
  );
}

/** The first date of the schedule that is still ahead: dates missed while down are not made up one by one. */
function nextRotation({ periodDays, nextDateMs }: Rotation, nowMs: number): Rotation {
  const periodMs = periodDays * DAY_MS;
  const missed = Math.floor((nowMs - nextDateMs) / periodMs);
  return { periodDays, nextDateMs: nextDateMs + (missed + 1) * periodMs };
}
