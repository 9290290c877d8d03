/**
 * A snapshot of etcd with every value under another configuration: the same keys, revisions, leases and everything else of the database,
 * so that `etcdutl snapshot restore` takes it and watches go on where they were.
 *
 * The history that was not compacted is re-encrypted too: otherwise the old key would still be needed, and old plaintext still be there.
 * One pass in order of revision; memory grows with the number of pages and with unreadable keys, not with values.
 */
import { existsSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import type { EncryptionAtRest } from '@waxseal/encryption-config';
import { errorMessage, type Transformer } from '@waxseal/envelope';
import type { BoltBucket, BoltEntry } from '@waxseal/storage';
import type { BoltDatabase } from '../bbolt/database.js';
import type { LeafElement } from '../bbolt/page.js';
import { encodeKeyValue } from '../etcd-db/encode-key-value.js';
import { parseKey, parseKeyValue } from '../etcd-db/key-value.js';
import { parseRevisionKey } from '../etcd-db/revision-key.js';
import { OpsError } from '../errors.js';
import { parseObjectPath, ruleOf } from '../object-path.js';
import { describeStoredValue } from '../stored-value.js';
import { nameTaken, writeNewSnapshotFile } from './new-snapshot-file.js';
import { UnreadableValues, type UnreadableValue } from './unreadable-values.js';

export interface ReencryptOptions {
  /** Of the storage keys: `/registry`, or another. */
  readonly prefix: string;
  /** Opens what is there. */
  readonly from: Pick<EncryptionAtRest, 'transformerFor'>;
  /** Seals it again, with its first provider. */
  readonly to: Pick<EncryptionAtRest, 'transformerFor'>;
  /** Live values that do not open are copied as they are; otherwise no snapshot is written when there are any. */
  readonly keepUnreadable: boolean;
  readonly signal?: AbortSignal;
  /** Called when everything is read and written, before the new file has its name; what it throws takes the file back. */
  readonly beforeKept?: () => void;
  /** Called for every revision that was looked at. */
  readonly onProgress?: (looked: number) => void;
}

export interface ReencryptResult {
  /** Revisions that were looked at: `reencrypted` + `copied` + `tombstones` + all unreadable ones. */
  readonly looked: number;
  readonly reencrypted: number;
  /** Of those: were encrypted and now are plaintext, because the new configuration says so. */
  readonly decrypted: number;
  /** Values that no rule covers: under keys that name no object, and plaintext records of kube-apiserver. They are as they were. */
  readonly copied: number;
  readonly tombstones: number;
  /** Live values that do not open. */
  readonly unreadable: readonly UnreadableValue[];
  /** Values of the history that do not open; copied as they are, no API server serves them. */
  readonly unreadablePast: number;
  /** Undefined: nothing was written, because of `unreadable`. */
  readonly sizeBytes: number | undefined;
}

/** Values under way at once: those that wait for a KMS do not wait for each other. */
const BATCH = 64;

/**
 * @param output a new file, made with mode 0600
 * @throws OpsError source-damaged, invalid-option (the name is taken), config-invalid (the new configuration cannot write)
 */
export async function reencryptSnapshot(
  bolt: BoltDatabase,
  output: string,
  options: ReencryptOptions,
): Promise<ReencryptResult> {
  if (existsSync(output)) throw nameTaken(output);
  const work = new Reencryption(options);
  const buckets: BoltBucket[] = [];
  for (const elements of bolt.leaves(bolt.root)) {
    for (const { key, isBucket } of elements) {
      const name = key.toString();
      const bucket = isBucket ? bolt.bucket(name) : undefined;
      if (bucket === undefined)
        throw new OpsError('source-damaged', 'the root of the database holds more than buckets');
      const leaves = bolt.leaves(bucket);
      buckets.push({ name, entries: name === 'key' ? work.entries(leaves) : copied(leaves, options.signal) });
    }
  }
  const sizeBytes = await writeNewSnapshotFile(output, buckets, () => {
    options.beforeKept?.();
    return options.keepUnreadable || work.unreadable.live.length === 0;
  });
  return work.result(sizeBytes);
}

async function* copied(
  leaves: Iterable<readonly LeafElement[]>,
  signal: AbortSignal | undefined,
): AsyncGenerator<BoltEntry> {
  for (const elements of leaves) {
    signal?.throwIfAborted();
    for (const { key, value, isBucket } of elements) {
      if (isBucket) throw new OpsError('source-damaged', 'a bucket holds a bucket, which etcd never does');
      yield { key, value };
    }
    await Promise.resolve();
  }
}

class Reencryption {
  readonly unreadable = new UnreadableValues();
  readonly #options: ReencryptOptions;
  #looked = 0;
  #reencrypted = 0;
  #decrypted = 0;
  #copied = 0;
  #tombstones = 0;

  constructor(options: ReencryptOptions) {
    this.#options = options;
  }

  async *entries(leaves: Iterable<readonly LeafElement[]>): AsyncGenerator<BoltEntry> {
    let batch: BoltEntry[] = [];
    for await (const entry of copied(leaves, this.#options.signal)) {
      batch.push(entry);
      if (batch.length < BATCH) continue;
      yield* await this.#reencryptBatch(batch);
      batch = [];
    }
    yield* await this.#reencryptBatch(batch);
  }

  result(sizeBytes: number | undefined): ReencryptResult {
    return {
      looked: this.#looked,
      reencrypted: this.#reencrypted,
      decrypted: this.#decrypted,
      copied: this.#copied,
      tombstones: this.#tombstones,
      unreadable: this.unreadable.live,
      unreadablePast: this.unreadable.pastCount,
      sizeBytes,
    };
  }

  async #reencryptBatch(batch: readonly BoltEntry[]): Promise<readonly BoltEntry[]> {
    const done = await Promise.all(batch.map((entry) => this.#reencrypt(entry)));
    this.#looked += batch.length;
    this.#options.onProgress?.(this.#looked);
    // Signals and timers get their turn.
    await setImmediate();
    // Only now: values of one key must be noted in the order of their revisions.
    return done.map(({ entry, note }) => {
      note();
      return entry;
    });
  }

  async #reencrypt(entry: BoltEntry): Promise<{ readonly entry: BoltEntry; readonly note: () => void }> {
    const { main, isTombstone } = parseRevisionKey(entry.key);
    if (isTombstone || entry.value.length === 0) {
      const key = parseKey(entry.value).toString();
      return { entry, note: () => this.#noteTombstone(key) };
    }
    const kv = parseKeyValue(entry.value);
    const key = kv.key.toString();
    const path = parseObjectPath(key, this.#options.prefix);
    const rule = path && ruleOf(path, kv.value);
    if (rule === undefined) return { entry, note: () => this.#noteCopied(key) };
    let data: Buffer;
    try {
      ({ data } = await this.#options.from.transformerFor(rule).transformFromStorage(kv.value, kv.key));
    } catch (error) {
      const reason = errorMessage(error);
      return { entry, note: () => this.unreadable.add({ key, revision: main, reason }) };
    }
    const value = await seal(this.#options.to.transformerFor(rule), data, kv.key);
    return {
      entry: { key: entry.key, value: encodeKeyValue({ ...kv, value }) },
      note: () => this.#noteReencrypted(key, !isPlaintext(kv.value) && isPlaintext(value)),
    };
  }

  #noteTombstone(key: string): void {
    this.#tombstones++;
    this.unreadable.supersede(key);
  }

  #noteCopied(key: string): void {
    this.#copied++;
    this.unreadable.supersede(key);
  }

  #noteReencrypted(key: string, isDecrypted: boolean): void {
    this.#reencrypted++;
    if (isDecrypted) this.#decrypted++;
    this.unreadable.supersede(key);
  }
}

const isPlaintext = (value: Buffer): boolean => describeStoredValue(value).provider === 'identity';

async function seal(transformer: Transformer, data: Buffer, key: Buffer): Promise<Buffer> {
  try {
    return await transformer.transformToStorage(data, key);
  } catch (error) {
    throw new OpsError(
      'config-invalid',
      `the new configuration cannot write ${key.toString()}: ${errorMessage(error)}. No snapshot was written.`,
      error,
    );
  }
}
