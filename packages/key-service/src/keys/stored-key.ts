/**
 * A key's record as the store has it, parsed when it is first used: a start with 100,000 keys needs few of them.
 */
import { KeyServiceError } from '../errors.js';
import { beginsAsRecord, type KeyRecord, parseKeyRecord } from './key-record.js';
import { keyOfRecordName } from './store-keys.js';

/** Everything that happens to a key by date (lifecycle.ts) leaves one of these in its record. */
const DATED = /"PendingDeletion"|"nextDateMs"|"EXTERNAL"/;

export class StoredKey {
  readonly kind = 'key';
  readonly modRevision: number;
  readonly #storeKey: string;
  #value: Buffer | undefined;
  #record: KeyRecord | undefined;

  /** @throws KeyServiceError store-corrupt when the value is not even the beginning of a record */
  constructor(storeKey: string, value: Buffer, modRevision: number) {
    this.modRevision = modRevision;
    this.#storeKey = storeKey;
    this.#value = value;
    if (!beginsAsRecord(value)) this.parse();
  }

  /** From the record's place in the store, which its content repeats. */
  get name(): ReturnType<typeof keyOfRecordName> {
    return keyOfRecordName(this.#storeKey);
  }

  /** @throws KeyServiceError store-corrupt */
  get record(): KeyRecord {
    return this.#record ?? this.parse();
  }

  /** False: nothing will happen to this version of the record by date. */
  get mayBecomeDue(): boolean {
    const value = this.#value;
    return value === undefined || DATED.test(value.toString('latin1'));
  }

  /** Now rather than later. @throws KeyServiceError store-corrupt */
  parse(): KeyRecord {
    const record = this.#record ?? (this.#value && parseKeyRecord(this.#value));
    if (record === undefined) throw unreadable(this.#storeKey);
    this.#record = record;
    this.#value = undefined;
    return record;
  }
}

export function unreadable(storeKey: string): KeyServiceError {
  return new KeyServiceError(
    'store-corrupt',
    `The record ${storeKey} cannot be read. Restore the store from a backup.`,
  );
}
