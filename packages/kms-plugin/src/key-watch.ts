/**
 * Asks every backend now and then what it says of its key, so that an operator hears of a deletion while it can be cancelled.
 *
 * Nothing waits for it: Status and the health port read what is remembered. At most one question is under way.
 */
import type { Clock } from './clock.js';
import { withDeadline } from './deadline.js';
import { ProviderError, timedOut, toProviderError } from './errors.js';
import type { KeyCondition } from './key-condition.js';
import type { Logger } from './logger.js';
import type { ProviderMember } from './provider.js';

export interface KeyWatchOptions {
  /** Whose keys they are; stands in every log line. */
  readonly keySet: string;
  readonly members: readonly ProviderMember[];
  readonly clock: Clock;
  /** Milliseconds since 1970, to compare with the dates of a backend. */
  readonly epochMs: () => number;
  /** 0 ≤ x < 1; spreads the questions of many machines. */
  readonly random: () => number;
  readonly logger: Logger;
  /** Told after each answer, also when nothing changed. */
  readonly onCondition: (member: ProviderMember, condition: KeyCondition) => void;
  /** Told after each question: `ok`, or the class of the failure. */
  readonly onAsked?: (member: ProviderMember, result: string) => void;
  /** Between two rounds when all is well; one hour by default, give or take a tenth. */
  readonly intervalMs?: number;
  /** Between two rounds when a key is in danger or could not be asked about; five minutes by default. */
  readonly worriedIntervalMs?: number;
  /** Longest time for one answer; 10,000 by default. */
  readonly timeoutMs?: number;
}

export interface KeyWatch {
  /** Resolves when every key was asked about once. */
  readonly firstRound: Promise<void>;
  /** The last answer for each member that gave one, by name. */
  conditions(): ReadonlyMap<string, KeyCondition>;
  /**
   * The most pressing danger to the keys that new values are wrapped with, as one safe sentence, or undefined. A reader's key is an old one and none of a new
   * value's business.
   */
  danger(): string | undefined;
  /** Asks now unless a round is under way; resolves when it has ended. */
  ask(): Promise<void>;
  stop(): void;
}

const dayMs = 86_400_000;
/** A date that is nearer than this is a danger, also while the key still works. */
const nearMs = 7 * dayMs;

/**
 * How long what the key wrapped can still be read, in days: 0 when it cannot be now, Infinity when nothing speaks against it.
 */
export function daysUntilUnreadable({ state, unreadableFromMs }: KeyCondition, nowEpochMs: number): number {
  const days =
    unreadableFromMs === undefined ? undefined : Math.max(0, (unreadableFromMs - nowEpochMs) / dayMs);
  switch (state) {
    case 'usable':
      return days ?? Infinity;
    case 'pending-deletion':
      // It cannot be used while it waits, but can be brought back until then.
      return days ?? 0;
    case 'disabled':
    case 'pending-import':
    case 'expired':
    case 'gone':
      return 0;
    default:
      return state satisfies never;
  }
}

export function startKeyWatch(options: KeyWatchOptions): KeyWatch {
  const { clock, logger, members } = options;
  const known = new Map<string, KeyCondition>();
  const told = new Map<string, string>();
  let stopped = false;
  let underWay: Promise<void> | undefined;
  let cancelNext = (): void => {};
  const gone = new AbortController();

  /** Logs what is new about a key, once. */
  const tell = (member: ProviderMember, text: string, log: () => void): void => {
    if (told.get(member.name) === text) return;
    const first = !told.has(member.name);
    told.set(member.name, text);
    // That all is well is news only after it was not.
    if (!(first && text === 'well')) log();
  };

  const askOne = async (member: ProviderMember): Promise<boolean> => {
    const { provider, name, role } = member;
    if (provider.describe === undefined) return true;
    const describe = provider.describe.bind(provider);
    const about = { keySet: options.keySet, key: name, role, keyId: provider.snapshot().keyId };
    try {
      const timeoutMs = options.timeoutMs ?? 10_000;
      const condition = await withDeadline(clock, { timeoutMs, failure: timedOut }, gone.signal, describe);
      known.set(name, condition);
      options.onAsked?.(member, 'ok');
      options.onCondition(member, condition);
      const sentence = dangerOf(member, condition, options.epochMs());
      const reasons = [...(sentence === undefined ? [] : [sentence]), ...condition.warnings];
      if (reasons.length === 0) {
        tell(member, 'well', () => {
          logger.info(about, 'the key is well again');
        });
      } else {
        tell(member, `${condition.state} ${condition.unreadableFromMs} ${condition.warnings.join()}`, () => {
          logger.warn({ ...about, state: condition.state, reasons }, 'the key may become unreadable');
        });
      }
      return sentence === undefined;
    } catch (error) {
      const failed = toProviderError(error);
      options.onAsked?.(member, failed.failure.class);
      if (stopped) return true;
      tell(member, `failed ${failed.reason}`, () => {
        logger.warn(
          { ...about, class: failed.failure.class, reason: failed.message },
          'the state of the key cannot be asked for',
        );
      });
      return false;
    }
  };

  const round = async (): Promise<void> => {
    cancelNext();
    let well = true;
    for (const member of members) {
      if (stopped) break;
      well = (await askOne(member)) && well;
    }
    underWay = undefined;
    if (stopped) return;
    const afterMs = well ? (options.intervalMs ?? 3_600_000) : (options.worriedIntervalMs ?? 300_000);
    cancelNext = clock.after(afterMs * (0.9 + options.random() / 5), () => {
      void ask();
    });
  };
  const ask = (): Promise<void> => (stopped ? Promise.resolve() : (underWay ??= round()));

  return {
    firstRound: ask(),
    ask,
    conditions: () => known,
    danger: () => {
      const now = options.epochMs();
      for (const member of members) {
        if (member.role === 'reader') continue;
        const condition = known.get(member.name);
        const sentence = condition && dangerOf(member, condition, now);
        if (sentence !== undefined) return sentence;
      }
      return undefined;
    },
    stop: () => {
      stopped = true;
      cancelNext();
      gone.abort(new ProviderError('stopped', timedOut));
    },
  };
}

function dangerOf(
  { name, role }: ProviderMember,
  condition: KeyCondition,
  nowEpochMs: number,
): string | undefined {
  const { state, unreadableFromMs } = condition;
  const key = name === role ? `${role} key` : `${role} key ${name}`;
  const date = unreadableFromMs === undefined ? undefined : dateOf(unreadableFromMs);
  switch (state) {
    case 'usable':
      return date !== undefined && unreadableFromMs !== undefined && unreadableFromMs - nowEpochMs < nearMs
        ? `The ${key} cannot be used after ${date}; renew it, or rewrite the data under another one.`
        : undefined;
    case 'disabled':
      return `The ${key} is disabled; enable it.`;
    case 'pending-deletion':
      return `The ${key} will be deleted${date === undefined ? '' : ` on ${date}`}; cancel its deletion, or the data under it alone is lost.`;
    case 'pending-import':
      return `The ${key} lacks its key material; import it again.`;
    case 'expired':
      return `The ${key} has expired; extend it.`;
    case 'gone':
      return `The ${key} does not exist; check its id, or recover with another recipient.`;
    default:
      return state satisfies never;
  }
}

function dateOf(epochMs: number): string | undefined {
  const date = new Date(epochMs);
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString().slice(0, 10);
}
