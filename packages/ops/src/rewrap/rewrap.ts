/**
 * Re-encryption of everything that is stale: read in pages, opened and sealed by the transformers the API server itself would use, and put
 * back by compare-and-swap, so that no write of anybody else is lost. Values that are right already stay untouched.
 *
 * First every object is looked at once. Then all of them are read again, and told by their frames alone, until none is left that lies
 * otherwise than a write would put it now: that finds what API servers with an older configuration wrote meanwhile, and what was written
 * before a KMS changed its keyID half-way.
 */
import { formatGroupResource, type Clock, type GroupResource } from '@waxseal/encryption-config';
import type { Transformer } from '@waxseal/envelope';
import type { KeyValue, Store } from '@waxseal/storage';
import { OpsError } from '../errors.js';
import {
  readCheckpoint,
  removeCheckpoint,
  writeCheckpoint,
  type Progress,
  type RunIdentity,
} from './checkpoint.js';
import { addCounts, countsAddUp, noCounts, type RewrapCounts } from './counts.js';
import { createKeyTrial } from './key-trial.js';
import { keyspacesOf, type Keyspace } from './keyspace.js';
import { countKeys, pagesOf } from './pages.js';
import { createRateLimit } from './rate-limit.js';
import {
  rewrapObject,
  type ObjectContext,
  type ObjectOutcome,
  type RewrapFailureCause,
} from './rewrap-object.js';
import { createPatience, type Patience, signalForMany } from './store-patience.js';
import { createSharedSwap, createSwap, SHARED_MAX_OBJECTS } from './swap.js';
import { targetOf, type Target } from './target.js';
import { createWindow } from './window.js';

export interface RewrapOptions {
  readonly store: Store;
  readonly transformerFor: (resource: GroupResource) => Transformer;
  /** What to rewrap, as in `resources` of an EncryptionConfiguration, wildcards too. */
  readonly resources: readonly string[];
  /** The API server's --etcd-prefix; default `/registry`. */
  readonly prefix?: string;
  /** Only count. Default false. */
  readonly dryRun?: boolean;
  /**
   * No API server uses the store now: many objects are written in one revision, which clients that watch would not survive. Default false.
   */
  readonly offline?: boolean;
  /** Objects worked on at once; default 64, offline 512. */
  readonly workers?: number;
  /** Writes a second at most; default: no limit. */
  readonly ratePerSecond?: number;
  /** A file to go on from and to keep the progress in; removed when all is done. */
  readonly checkpoint?: { readonly path: string; readonly configHash: string };
  /** How long to wait for a store that does not answer; default 60 s. */
  readonly outageMs?: number;
  /** Abort it to stop after the objects under way. */
  readonly signal: AbortSignal;
  /** Its timers must keep the process, unless something else does. */
  readonly clock: Clock;
  /** After every page. */
  readonly onProgress?: (progress: RewrapProgress) => void;
}

export interface RewrapProgress {
  /** `prove`: reading again what is not written as it should be. */
  readonly phase: 'rewrap' | 'prove';
  /** Keys. */
  readonly done: number;
  readonly total: number;
  readonly rewritten: number;
  readonly failed: number;
  /** Undefined at first. */
  readonly etaMs: number | undefined;
}

export interface RewrapFailure {
  readonly key: string;
  readonly cause: RewrapFailureCause;
  readonly message: string;
}

export interface RewrapReport extends RewrapCounts {
  /** Rewritten while proving: written the old way by others during the run, or before the KMS changed its keyID. */
  readonly late: number;
  /** Not written as they should be at the end, whoever wrote them; in a dry run the stale ones. */
  readonly remaining: number;
  /** False is a fault of Waxseal: the counts do not say what happened. */
  readonly addsUp: boolean;
  /** The first thousand. */
  readonly failures: readonly RewrapFailure[];
}

const DEFAULT_WORKERS = 64;
/** Some full transactions under way. */
const DEFAULT_WORKERS_OFFLINE = 8 * SHARED_MAX_OBJECTS;
const DEFAULT_OUTAGE_MS = 60_000;
const MAX_FAILURES_LISTED = 1000;
const CHECKPOINT_EVERY_MS = 1000;
/** Pages worked on at once; what they hold is the memory a run takes. */
const MAX_OPEN_PAGES = 3;
/** Servers with an older configuration write on: proving again and again would not end. */
const MAX_PROOFS = 4;

/**
 * @throws OpsError source-unreadable when the store or the KMS fails for longer than `outageMs`; interrupted when `signal` aborts; state-invalid
 *   for a checkpoint of another run; invalid-option. In each case what is rewritten stays so, and starting again goes on.
 */
export async function rewrap(options: RewrapOptions): Promise<RewrapReport> {
  const run = new Run({ ...options, signal: signalForMany(options.signal) });
  return run.toEnd();
}

class Run {
  readonly #options: RewrapOptions;
  readonly #keyspaces: readonly Keyspace[];
  readonly #patience: Patience;
  readonly #context: ObjectContext;
  readonly #counts = noCounts();
  readonly #failures: RewrapFailure[] = [];
  readonly #transformers = new Map<string, Promise<Transformer>>();
  #late = 0;

  constructor(options: RewrapOptions) {
    const { store, clock, signal, ratePerSecond, prefix = '/registry' } = options;
    this.#options = options;
    this.#keyspaces = keyspacesOf(options.resources, prefix);
    this.#patience = createPatience({ clock, signal, outageMs: options.outageMs ?? DEFAULT_OUTAGE_MS });
    const limit = createRateLimit(ratePerSecond, clock);
    this.#context = {
      swap: (options.offline === true ? createSharedSwap : createSwap)(store, this.#patience),
      write: options.dryRun !== true,
      beforeWrite: () => limit(signal),
      keyFits: createKeyTrial(() => this.#everyValue()),
    };
  }

  async toEnd(): Promise<RewrapReport> {
    const { dryRun = false, checkpoint } = this.#options;
    const identity = checkpoint === undefined ? undefined : await this.#identity(checkpoint.configHash);
    const from =
      checkpoint === undefined || identity === undefined
        ? undefined
        : readCheckpoint(checkpoint.path, identity);
    if (from !== undefined) addCounts(this.#counts, from.counts);
    const total = await this.#countKeys();

    let position: Progress = from ?? { keyspace: 0, lastKey: undefined, seen: 0, counts: noCounts() };
    const save = async (): Promise<void> => {
      if (checkpoint !== undefined && identity !== undefined && !dryRun)
        await writeCheckpoint(checkpoint.path, identity, position);
    };
    // Before anything is done: a file that cannot be written is better known now.
    await save();
    try {
      await this.#walk('rewrap', total, position, this.#first, {
        passed: (progress) => {
          position = progress;
        },
        eachInterval: save,
      });
      position = { ...position, keyspace: this.#keyspaces.length, lastKey: undefined };
      await save();
      const remaining = dryRun ? this.#counts.stale : await this.#prove();
      if (checkpoint !== undefined && !dryRun) removeCheckpoint(checkpoint.path);
      return {
        ...this.#counts,
        late: this.#late,
        remaining,
        addsUp: countsAddUp(this.#counts, dryRun),
        failures: this.#failures,
      };
    } catch (error) {
      await save();
      throw error;
    }
  }

  async *#everyValue(): AsyncGenerator<KeyValue> {
    for (const { prefix } of this.#keyspaces) {
      for await (const kvs of pagesOf(this.#options.store, this.#patience, prefix)) yield* kvs;
    }
  }

  /** Keys at the start, for the progress. */
  async #countKeys(): Promise<number> {
    let total = 0;
    for (const { prefix } of this.#keyspaces)
      total += await countKeys(this.#options.store, this.#patience, prefix);
    return total;
  }

  async #identity(configHash: string): Promise<RunIdentity> {
    const { clusterId = '' } = await this.#patience(() => this.#options.store.status());
    const { prefix = '/registry', resources } = this.#options;
    return { configHash, clusterId, prefix, resources: [...new Set(resources)].toSorted() };
  }

  readonly #first = async (kv: KeyValue, resource: GroupResource, page: Page): Promise<void> => {
    const outcome = await rewrapObject(kv, await this.#transformer(resource), this.#context);
    page.counts.listed++;
    page.counts[outcome.kind]++;
    const stale = outcome.kind === 'failed' ? outcome.stale : !['skipped', 'stale'].includes(outcome.kind);
    if (stale) page.counts.stale++;
    this.#noteFailure(kv, outcome);
  };

  /** @returns how many values are left that are not as they should be */
  async #prove(): Promise<number> {
    for (let proof = 1; ; proof++) {
      const targets = new Map<string, Promise<Target>>();
      const target = (resource: GroupResource): Promise<Target> => {
        const name = formatGroupResource(resource);
        const known = targets.get(name) ?? this.#transformer(resource).then(targetOf);
        targets.set(name, known);
        return known;
      };
      const lateBefore = this.#late;
      let left = 0;
      const check = async (kv: KeyValue, resource: GroupResource): Promise<void> => {
        if ((await target(resource))(kv.value)) return;
        left++;
        // The last proof only counts.
        if (proof === MAX_PROOFS) return;
        const outcome = await rewrapObject(kv, await this.#transformer(resource), this.#context);
        if (outcome.kind === 'failed') return;
        left--;
        this.#late++;
      };
      const start: Progress = { keyspace: 0, lastKey: undefined, seen: 0, counts: noCounts() };
      await this.#walk('prove', await this.#countKeys(), start, check);
      if (this.#late === lateBefore || proof === MAX_PROOFS) return left;
    }
  }

  /** Calls `work` for every object of every keyspace behind `from`, several at once. */
  async #walk(
    phase: RewrapProgress['phase'],
    total: number,
    from: Progress,
    work: (kv: KeyValue, resource: GroupResource, page: Page) => Promise<void>,
    keep?: { readonly passed: (progress: Progress) => void; readonly eachInterval: () => Promise<void> },
  ): Promise<void> {
    const { store, clock, signal, onProgress, offline = false } = this.#options;
    const { workers = offline ? DEFAULT_WORKERS_OFFLINE : DEFAULT_WORKERS } = this.#options;
    const startMs = clock.monotonicMs();
    let seen = from.seen;
    let keptMs = startMs;
    const passed = (page: Page): void => {
      addCounts(this.#counts, page.counts);
      seen += page.keys;
      keep?.passed({ keyspace: page.keyspace, lastKey: page.lastKey, seen, counts: { ...this.#counts } });
      const perKeyMs = (clock.monotonicMs() - startMs) / (seen - from.seen);
      const { rewritten, failed } = this.#counts;
      // Keys may have been added meanwhile.
      const expected = Math.max(total, seen);
      onProgress?.({
        phase,
        done: seen,
        total: expected,
        rewritten: rewritten + this.#late,
        failed,
        etaMs: Math.round(perKeyMs * (expected - seen)),
      });
    };
    const window = createWindow<Page>({ workers, maxBatches: MAX_OPEN_PAGES, onBatchDone: passed });
    try {
      for (let keyspace = from.keyspace; keyspace < this.#keyspaces.length; keyspace++) {
        const { prefix, resourceOf } = this.#keyspaces[keyspace] as Keyspace;
        const after = keyspace === from.keyspace ? from.lastKey : undefined;
        for await (const kvs of pagesOf(store, this.#patience, prefix, after)) {
          const page = { keyspace, keys: kvs.length, lastKey: kvs.at(-1)?.key, counts: noCounts() };
          await window.openBatch(page);
          if (keep !== undefined && clock.monotonicMs() - keptMs >= CHECKPOINT_EVERY_MS) {
            await keep.eachInterval();
            keptMs = clock.monotonicMs();
          }
          for (const kv of kvs) {
            throwIfStopped(signal);
            const resource = resourceOf(kv.key, kv.value);
            if (resource === undefined) continue;
            await window.run(() => work(kv, resource, page));
          }
          window.closeBatch();
        }
      }
      await window.drain();
      throwIfStopped(signal);
    } catch (error) {
      // What is under way ends, and counts if its page is whole.
      await window.drain().catch(() => undefined);
      throw error;
    }
  }

  /** @throws OpsError source-unreadable when nothing can be sealed for the resource: then nothing would be found stale, either */
  #transformer(resource: GroupResource): Promise<Transformer> {
    const name = formatGroupResource(resource);
    const known = this.#transformers.get(name);
    if (known !== undefined) return known;
    const transformer = this.#options.transformerFor(resource);
    const checked = targetOf(transformer).then(() => transformer);
    this.#transformers.set(name, checked);
    return checked;
  }

  #noteFailure(kv: KeyValue, outcome: ObjectOutcome): void {
    if (outcome.kind !== 'failed' || this.#failures.length >= MAX_FAILURES_LISTED) return;
    const { cause, message } = outcome;
    this.#failures.push({ key: kv.key.toString(), cause, message });
  }
}

interface Page {
  readonly keyspace: number;
  readonly keys: number;
  readonly lastKey: Buffer | undefined;
  readonly counts: ReturnType<typeof noCounts>;
}

function throwIfStopped(signal: AbortSignal): void {
  if (signal.aborted) {
    throw new OpsError(
      'interrupted',
      'stopped; what is rewritten stays so, and starting again goes on',
      signal.reason,
    );
  }
}
