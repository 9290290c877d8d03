/**
 * Re-encryption through an API server: to every object a patch that changes nothing, so that the server writes the object again exactly when it is
 * stale. It needs no key and no way to etcd.
 *
 * An object that somebody else wrote meanwhile is patched once more, whatever it is now: that server may have had an older configuration.
 */
import { type Clock, formatGroupResource } from '@waxseal/encryption-config';
import { OpsError } from '../errors.js';
import { addCounts, countsAddUp, noCounts, type MutableCounts, type RewrapCounts } from '../rewrap/counts.js';
import { createRateLimit } from '../rewrap/rate-limit.js';
import { signalForMany } from '../rewrap/store-patience.js';
import { createWindow } from '../rewrap/window.js';
import { type ApiAnswer, createApiClient, messageOf } from './api-client.js';
import {
  createPatcher,
  type ListedObject,
  objectPath,
  outcomeOf,
  type Patcher,
  type PatchOutcome,
  type PatchType,
} from './empty-patch.js';
import type { ApiServerAccess } from './kubeconfig.js';
import { pagesOf } from './list-objects.js';
import { servedResources, type ServedResource } from './resources.js';

export interface RewrapViaApiOptions {
  readonly access: ApiServerAccess;
  /** What to rewrap, as in `resources` of an EncryptionConfiguration, wildcards too. */
  readonly resources: readonly string[];
  /** Only list and count. Default false. */
  readonly dryRun?: boolean;
  /** Default: apply, and merge for the resources of which the server takes no apply. */
  readonly patchType?: PatchType;
  /** Requests at once; default 16. */
  readonly workers?: number;
  /** Requests that may write, a second at most; default: no limit. */
  readonly ratePerSecond?: number;
  /** How long to wait for a server that does not answer; default 60 s. */
  readonly outageMs?: number;
  readonly signal: AbortSignal;
  /** Its timers must keep the process, unless something else does. */
  readonly clock: Clock;
  /** After every page. */
  readonly onProgress?: (progress: RewrapViaApiProgress) => void;
}

interface RewrapViaApiProgress extends RewrapCounts {
  readonly done: number;
  /** Of the resources listed so far. */
  readonly total: number;
  readonly etaMs: number;
}

interface RewrapViaApiFailure {
  /** The object's path at the API server. */
  readonly key: string;
  /** `refused`: the answer says no. `contended`: others kept writing it. */
  readonly cause: 'refused' | 'contended';
  readonly message: string;
}

export interface RewrapViaApiReport extends Omit<RewrapCounts, 'stale'> {
  /** What the server wrote; whether a conflict or a deleted object was stale nobody can tell. Null in a dry run: only the server knows. */
  readonly stale: number | null;
  readonly addsUp: boolean;
  /** The first thousand. */
  readonly failures: readonly RewrapViaApiFailure[];
  /** By resource, where anything was patched. */
  readonly patchTypes: Readonly<Record<string, PatchType>>;
  /** Group versions whose extension API server does not answer: nothing of them was listed. */
  readonly unavailable: readonly string[];
}

interface Page {
  readonly counts: MutableCounts;
  /** Objects behind it. */
  readonly remaining: number;
}

const DEFAULT_WORKERS = 16;
const DEFAULT_OUTAGE_MS = 60_000;
const MAX_OPEN_PAGES = 2;
const MAX_FAILURES_LISTED = 1000;
/** How often somebody else may get in between before it is left to them. */
const MAX_ATTEMPTS = 8;

/** @throws OpsError source-unreadable, invalid-option, interrupted; what is rewritten stays so */
export async function rewrapViaApi(options: RewrapViaApiOptions): Promise<RewrapViaApiReport> {
  const run = new Run({ ...options, signal: signalForMany(options.signal) });
  return run.toEnd();
}

class Run {
  readonly #options: RewrapViaApiOptions;
  readonly #client: ReturnType<typeof createApiClient>;
  readonly #limit: ReturnType<typeof createRateLimit>;
  readonly #counts = noCounts();
  readonly #failures: RewrapViaApiFailure[] = [];
  readonly #patchTypes: Record<string, PatchType> = {};
  readonly #startMs: number;

  constructor(options: RewrapViaApiOptions) {
    const { access, clock, signal, workers = DEFAULT_WORKERS, outageMs = DEFAULT_OUTAGE_MS } = options;
    this.#options = options;
    this.#client = createApiClient({ access, connections: workers + 1, outageMs, clock, signal });
    this.#limit = createRateLimit(options.ratePerSecond, clock);
    this.#startMs = clock.monotonicMs();
  }

  async toEnd(): Promise<RewrapViaApiReport> {
    const { resources, dryRun = false, signal } = this.#options;
    try {
      const { resources: served, unavailable } = await servedResources(this.#client, resources);
      for (const resource of served) await this.#walk(resource);
      throwIfStopped(signal);
      return {
        ...this.#counts,
        stale: dryRun ? null : this.#counts.stale,
        addsUp: dryRun || countsAddUp(this.#counts, false),
        failures: this.#failures,
        patchTypes: this.#patchTypes,
        unavailable,
      };
    } catch (error) {
      throwIfStopped(signal);
      throw error;
    } finally {
      this.#client.close();
    }
  }

  async #walk(resource: ServedResource): Promise<void> {
    const { signal, dryRun = false, patchType, workers = DEFAULT_WORKERS } = this.#options;
    const patcher = createPatcher(this.#client, resource, patchType);
    const window = createWindow<Page>({
      workers,
      maxBatches: MAX_OPEN_PAGES,
      onBatchDone: (page) => this.#passed(page),
    });
    try {
      for await (const { objects, remaining } of pagesOf(this.#client, resource)) {
        throwIfStopped(signal);
        const page = { counts: noCounts(), remaining };
        await window.openBatch(page);
        if (dryRun) page.counts.listed += objects.length;
        for (const object of dryRun ? [] : objects) {
          throwIfStopped(signal);
          await window.run(() => this.#one(resource, patcher, object, page.counts));
        }
        window.closeBatch();
      }
      await window.drain();
    } finally {
      await window.drain().catch(() => undefined);
      const type = patcher.type();
      if (type !== undefined && !dryRun) this.#patchTypes[formatGroupResource(resource)] = type;
    }
  }

  async #one(
    resource: ServedResource,
    patcher: Patcher,
    object: ListedObject,
    counts: MutableCounts,
  ): Promise<void> {
    throwIfStopped(this.#options.signal);
    const { outcome, answer } = await this.#rewrapObject(patcher, object);
    counts.listed++;
    counts[outcome]++;
    if (outcome === 'rewritten') counts.stale++;
    if (outcome !== 'failed' || this.#failures.length >= MAX_FAILURES_LISTED) return;
    this.#failures.push({
      key: objectPath(resource, object),
      cause: answer.status === 409 ? 'contended' : 'refused',
      message: `${answer.status} ${messageOf(answer)}`.trim(),
    });
  }

  async #rewrapObject(
    patcher: Patcher,
    object: ListedObject,
  ): Promise<{ readonly outcome: PatchOutcome; readonly answer: ApiAnswer }> {
    for (let attempt = 1; ; attempt++) {
      const waiting = this.#limit(this.#options.signal);
      if (waiting !== undefined) await waiting;
      const answer = await patcher.send(object, attempt === 1);
      const outcome = outcomeOf(answer, object);
      if (outcome === 'conflicts') {
        if (attempt < MAX_ATTEMPTS) continue;
        return { outcome: 'failed', answer };
      }
      const byOthers = attempt > 1 && (outcome === 'rewritten' || outcome === 'skipped');
      return { outcome: byOthers ? 'conflicts' : outcome, answer };
    }
  }

  #passed({ counts, remaining }: Page): void {
    const { clock, onProgress } = this.#options;
    addCounts(this.#counts, counts);
    const { listed } = this.#counts;
    const perObjectMs = (clock.monotonicMs() - this.#startMs) / Math.max(1, listed);
    onProgress?.({
      ...this.#counts,
      done: listed,
      total: listed + remaining,
      etaMs: Math.round(perObjectMs * remaining),
    });
  }
}

function throwIfStopped(signal: AbortSignal): void {
  if (signal.aborted) throw new OpsError('interrupted', 'stopped; what is rewritten stays so', signal.reason);
}
