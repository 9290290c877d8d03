/** Wrapping one DEK source for the primary and all recipients at once, and what counts as enough. */
import type { Clock } from '../clock.js';
import { withDeadline } from '../deadline.js';
import { KmsPluginError, ProviderError, timedOut, toProviderError } from '../errors.js';
import type { Wrapped } from '../provider.js';
import type { RecipientWrapping } from './annotation.js';

/**
 * Who must have wrapped a DEK source before it is used. The primary always must: without its ciphertext there is nothing to store.
 *
 * - `all`: every recipient; one that fails stops new DEK sources
 * - `quorum`: more than half of all keys, the primary among them
 * - `primary`: nobody else; a value may lack recipients until it is written again under a later DEK source
 */
export type WritePolicy = 'all' | 'quorum' | 'primary';

export const writePolicies: readonly WritePolicy[] = ['all', 'quorum', 'primary'];

export interface Recipient {
  readonly name: string;
  keyId(): string;
  /** @throws ProviderError or KmsPluginError */
  wrap(dekSource: Buffer, signal: AbortSignal): Promise<RecipientWrapping>;
}

export interface WrapOptions {
  readonly clock: Clock;
  readonly policy: WritePolicy;
  readonly recipientTimeoutMs: number;
  readonly recipients: readonly Recipient[];
}

export interface WrappedForAll {
  /** The primary's. */
  readonly wrapped: Wrapped;
  /** By recipient, in the order of configuration. */
  readonly wrappings: readonly (readonly [string, RecipientWrapping])[];
  /** The recipients that failed. */
  readonly missing: readonly string[];
}

type Outcome =
  | { readonly kind: 'wrapped'; readonly wrapping: RecipientWrapping }
  | { readonly kind: 'failed'; readonly error: ProviderError };

/** How many recipients beside the primary must have wrapped. */
const needed: Readonly<Record<WritePolicy, (recipients: number) => number>> = {
  all: (recipients) => recipients,
  // Of `recipients + 1` keys, more than half; the primary is one of them.
  quorum: (recipients) => Math.floor((recipients + 1) / 2),
  primary: () => 0,
};

/**
 * Recipients that are not needed are still waited for, as long as the timeout says: a DEK source serves an API server for weeks, a second once is cheap.
 *
 * @throws ProviderError the primary's, or that of the first recipient when too many failed
 */
export async function wrapForRecipients(
  options: WrapOptions,
  dekSource: Buffer,
  signal: AbortSignal,
  wrapForPrimary: (signal: AbortSignal) => Promise<Wrapped>,
): Promise<WrappedForAll> {
  const { clock, recipients, recipientTimeoutMs } = options;
  const stopped = new AbortController();
  const both = AbortSignal.any([signal, stopped.signal]);
  const wrapping = recipients.map((recipient) =>
    withDeadline(clock, { timeoutMs: recipientTimeoutMs, failure: timedOut }, both, (own) =>
      recipient.wrap(dekSource, own),
    ).then(
      (done): Outcome => ({ kind: 'wrapped', wrapping: done }),
      (error: unknown): Outcome => ({ kind: 'failed', error: toProviderError(error) }),
    ),
  );
  let wrapped: Wrapped;
  try {
    wrapped = await wrapForPrimary(signal);
  } catch (error) {
    stopped.abort();
    throw error;
  }
  const outcomes = await Promise.all(wrapping);
  const wrappings: (readonly [string, RecipientWrapping])[] = [];
  const missing: string[] = [];
  let first: ProviderError | undefined;
  for (const [index, recipient] of recipients.entries()) {
    const outcome = outcomes[index];
    if (outcome?.kind === 'wrapped') wrappings.push([recipient.name, outcome.wrapping]);
    else {
      missing.push(recipient.name);
      first ??= outcome && named(recipient.name, outcome.error);
    }
  }
  if (first !== undefined && wrappings.length < needed[options.policy](recipients.length)) throw first;
  return { wrapped, wrappings, missing };
}

/** The same failure, with the recipient's name in front: an operator has to know which key. */
function named(recipient: string, error: ProviderError): ProviderError {
  const cause = error.cause;
  // What an escrow key cannot do is said by its own message, not by that of an unknown error.
  if (cause instanceof KmsPluginError && !(cause instanceof ProviderError)) {
    const failure = { class: 'user-induced', code: 'failed_precondition', advice: cause.message } as const;
    return new ProviderError(`recipient ${recipient}`, failure, error);
  }
  return new ProviderError(`recipient ${recipient}: ${error.reason}`, error.failure, error);
}
