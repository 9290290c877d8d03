/**
 * Events of the service's own doings on their way to the audit log.
 *
 * An event is written in the transaction of the change it tells of, and removed when it is recorded, so that a process that dies in between
 * leaves it for the next sweep. It keeps its id: a record that is there twice, because a process died between recording and
 * removing, is recognised by it.
 */
import { type Op, prefixRangeEnd, type Store } from '@waxseal/storage';
import type { Logger } from 'pino';
import type { DatedServiceEvent, ServiceEvent } from '../audit/service-event.js';
import { isJsonObject } from '../http/json-body.js';
import { EVENTS_PREFIX, eventKey } from './store-keys.js';

/** An event that is younger is being recorded by the replica that caused it. */
const FORGOTTEN_AFTER_MS = 30_000;
const PAGE_SIZE = 100;

export interface EventOutboxOptions {
  readonly store: Pick<Store, 'range' | 'txn'>;
  /** Resolves when the event is durable in the audit log. */
  readonly record: (event: DatedServiceEvent) => Promise<void>;
  readonly createUuid: () => string;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly logger: Logger;
}

export class EventOutbox {
  readonly #options: EventOutboxOptions;

  constructor(options: EventOutboxOptions) {
    this.#options = options;
  }

  date(event: ServiceEvent): DatedServiceEvent {
    const { createUuid, now } = this.#options;
    return { ...event, eventId: createUuid(), eventTimeMs: now() };
  }

  /** To be part of the transaction of the change. */
  keep(event: DatedServiceEvent): Op {
    const value = Buffer.from(JSON.stringify({ version: 1, ...event }));
    return { kind: 'put', key: eventKey(event.eventId), value };
  }

  /** Records what is kept. What cannot be recorded now is logged, stays, and is tried again by publishForgotten. */
  async publish(events: readonly DatedServiceEvent[]): Promise<void> {
    const { record, store, logger } = this.#options;
    for (const event of events) {
      try {
        await record(event);
        await store.txn({
          compare: [],
          success: [{ kind: 'delete', key: eventKey(event.eventId) }],
          failure: [],
        });
      } catch (error) {
        logger.error(
          { err: error, event: event.eventName, key: event.keyArn },
          'an event cannot be recorded in the audit log; it is kept and tried again',
        );
      }
    }
  }

  /** Records what a process that died, or an audit log that was full, has left. @throws StoreError */
  async publishForgotten(): Promise<void> {
    const { store, now } = this.#options;
    const { kvs } = await store.range({
      key: EVENTS_PREFIX,
      rangeEnd: prefixRangeEnd(EVENTS_PREFIX),
      limit: PAGE_SIZE,
    });
    const forgotten = kvs
      .flatMap(({ value }) => parseEvent(value) ?? [])
      .filter(({ eventTimeMs }) => eventTimeMs <= now() - FORGOTTEN_AFTER_MS);
    await this.publish(forgotten);
  }
}

/** Our own stored value, read back; undefined when a newer version wrote it. */
function parseEvent(value: Buffer): DatedServiceEvent | undefined {
  let event: unknown;
  try {
    event = JSON.parse(value.toString());
  } catch {
    return undefined;
  }
  if (!isJsonObject(event)) return undefined;
  const { version, ...dated } = event;
  return version === 1 ? (dated as unknown as DatedServiceEvent) : undefined;
}
