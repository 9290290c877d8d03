/**
 * Which key of a group opens a value, in which order, and when an answer counts.
 *
 * The value's own ciphertext is tried first, with the key its key id names, then with the keys that recognise it; then the annotations, by name. The next key is
 * asked when one fails or is slow. Recipients whose public key lets anyone wrap come last, and only as long as no other key called the value damaged: whoever can
 * write to storage could otherwise plant values of his own.
 */
import type { Clock } from '../clock.js';
import { ProviderError, unopenable, type Failure } from '../errors.js';
import { hedge } from '../hedge.js';
import type { MemberHost, ProviderMember, Unwrap } from '../provider.js';
import {
  annotationName,
  parseAnnotation,
  primaryAnnotations,
  tagFits,
  type PrimaryPart,
  type RecipientAnnotation,
} from './annotation.js';

export interface GroupOpenerOptions {
  /** The primary first. */
  readonly members: readonly ProviderMember[];
  /** The names of those a new value is wrapped for beside the primary. */
  readonly recipients: readonly string[];
  readonly clock: Clock;
  readonly fallbackAfterMs: number;
  readonly host: MemberHost;
}

export interface GroupOpener {
  /**
   * @param keyId the primary's at the time of writing, without what the group added
   * @throws ProviderError: the first failure that says more than that a key does not fit, else the first
   */
  open(wrapped: Unwrap, keyId: string | undefined, signal: AbortSignal): Promise<Buffer>;
  recognizes(wrapped: Unwrap, keyId: string | undefined): boolean;
}

/** One key that may open one part of the value. */
type Way =
  | { readonly kind: 'ciphertext'; readonly member: ProviderMember }
  | {
      readonly kind: 'annotation';
      readonly member: ProviderMember;
      readonly annotation: RecipientAnnotation;
    };

const altered: Failure = {
  ...unopenable,
  advice:
    'What is wrapped for this recipient belongs to another value or was changed; find out who wrote it.',
};

const notTrusted: Failure = {
  ...unopenable,
  advice:
    'Another key calls the value damaged, and what is left is wrapped with a public key, which anyone can do; recover it by hand if you trust where it lay.',
};

export function createGroupOpener(options: GroupOpenerOptions): GroupOpener {
  const { members, host, clock } = options;

  // Where a primary or a reader can be forged, whoever wants to forges the ciphertext itself, and no order of trying helps.
  // Asked each time: some providers know their key only once they have reached it.
  const doubtful = ({ provider }: ProviderMember): boolean =>
    provider.forgeable === true &&
    !members.some((other) => other.role !== 'recipient' && other.provider.forgeable === true);

  const plan = (wrapped: Unwrap, keyId: string | undefined): readonly Way[] => {
    const fits = ({ provider }: ProviderMember): boolean =>
      keyId !== undefined && provider.snapshot().keyId === keyId;
    const own = { ...wrapped, keyId };
    const openers = [
      ...members.filter(fits),
      ...members.filter((member) => !fits(member) && member.provider.recognizes(own)),
    ];
    const ways: Way[] = openers.map((member) => ({ kind: 'ciphertext', member }));
    // KMS v1 stores no annotations; whatever comes with it was put there by somebody else.
    for (const member of wrapped.version === 'v1' ? [] : members) {
      const bytes = wrapped.annotations[annotationName(member.name)];
      const annotation = bytes && parseAnnotation(bytes);
      if (annotation?.kind === 'provider') ways.push({ kind: 'annotation', member, annotation });
    }
    return [
      ...ways.filter(({ member }) => !doubtful(member)),
      ...ways.filter(({ member }) => doubtful(member)),
    ];
  };

  /** Counts what a value lacks, once it is open. */
  const inspect = (wrapped: Unwrap, dekSource: Buffer): void => {
    const primary = primaryPart(wrapped);
    if (primary === undefined) return;
    for (const name of options.recipients) {
      const bytes = wrapped.annotations[annotationName(name)];
      if (bytes === undefined) {
        host.missing(name, 'decrypt');
        continue;
      }
      const annotation = parseAnnotation(bytes);
      if (annotation === undefined || !tagFits(name, annotation, dekSource, primary)) host.altered(name);
    }
  };

  const openAnnotation = async (
    wrapped: Unwrap,
    { member, annotation }: Extract<Way, { kind: 'annotation' }>,
    signal: AbortSignal,
  ): Promise<Buffer> => {
    const { keyId, ciphertext, annotations } = annotation;
    const dekSource = await host.run(member, 'decrypt', signal, (own) =>
      member.provider.decrypt({ version: 'v2', keyId, ciphertext, annotations }, own),
    );
    const primary = primaryPart(wrapped);
    if (primary !== undefined && tagFits(member.name, annotation, dekSource, primary)) return dekSource;
    dekSource.fill(0);
    host.altered(member.name);
    throw new ProviderError(`recipient ${member.name}: tag does not fit`, altered);
  };

  const openCiphertext = async (
    wrapped: Unwrap,
    keyId: string | undefined,
    { member }: Way,
    signal: AbortSignal,
  ): Promise<Buffer> => {
    const own = { ...wrapped, keyId, annotations: primaryAnnotations(wrapped.annotations) };
    const dekSource = await host.run(member, 'decrypt', signal, (ownSignal) =>
      member.provider.decrypt(own, ownSignal),
    );
    inspect(wrapped, dekSource);
    return dekSource;
  };

  return {
    open: async (wrapped, keyId, signal) => {
      const ways = plan(wrapped, keyId);
      const failures: ProviderError[] = [];
      let calledDamaged = false;
      const tryWay = async (way: Way, own: AbortSignal): Promise<Buffer> => {
        try {
          if (calledDamaged && doubtful(way.member)) {
            throw new ProviderError(`recipient ${way.member.name} not asked`, notTrusted);
          }
          return way.kind === 'ciphertext'
            ? await openCiphertext(wrapped, keyId, way, own)
            : await openAnnotation(wrapped, way, own);
        } catch (error) {
          if (error instanceof ProviderError) {
            failures.push(error);
            calledDamaged ||= error.failure.class === 'corrupt' && !doubtful(way.member);
          }
          throw error;
        }
      };
      const tryFrom = (index: number, own: AbortSignal): Promise<Buffer> => {
        const way = ways[index];
        if (way === undefined) return Promise.reject(new ProviderError('no key for this value', unopenable));
        if (index === ways.length - 1) return tryWay(way, own);
        return hedge(
          (first) => tryWay(way, first),
          (rest) => tryFrom(index + 1, rest),
          {
            clock,
            delayMs: options.fallbackAfterMs,
            caller: own,
            discard: (late) => {
              late.fill(0);
            },
          },
        );
      };
      try {
        return await tryFrom(0, signal);
      } catch (error) {
        if (signal.aborted) throw error;
        throw failures.find(({ failure }) => !['corrupt', 'cancelled'].includes(failure.class)) ?? error;
      }
    },
    recognizes: (wrapped, keyId) => plan(wrapped, keyId).length > 0,
  };
}

function primaryPart({ keyId, ciphertext, annotations }: Unwrap): PrimaryPart | undefined {
  return keyId === undefined ? undefined : { keyId, ciphertext, annotations };
}
