/** Remembers what each plugin said, so that a refused DEK source, or a plugin that is away, is not asked for every value. */
import type { StoredValueKind } from '../stored-value.js';
import type { Finding, VerifyCause } from './causes.js';
import { sourceId } from './kms-damage.js';

export interface KmsGate {
  /** What is known without asking; undefined: ask. */
  closed(kind: StoredValueKind, value: Buffer): Finding | undefined;
  /** @param diagnosis undefined: the value opened */
  answered(
    kind: StoredValueKind,
    value: Buffer,
    diagnosis: { readonly cause: string; readonly message: string } | undefined,
  ): void;
}

/** A plugin that does not answer costs its whole timeout each time: after this many calls in a row it is not asked again. */
const UNANSWERED_MAX = 3;

export function createKmsGate(): KmsGate {
  const refused = new Map<string, Finding>();
  const unanswered = new Map<string, number>();
  const name = (kind: StoredValueKind): string => `${kind.provider}:${kind.kmsName}`;
  return {
    closed(kind: StoredValueKind, value: Buffer): Finding | undefined {
      if (kind.dekSource === undefined) return undefined;
      if ((unanswered.get(name(kind)) ?? 0) >= UNANSWERED_MAX) {
        const message = `KMS provider ${kind.kmsName}: it did not answer ${UNANSWERED_MAX} times in a row and was not asked again`;
        return { cause: 'kms-unreachable', message };
      }
      // With another keyID or other annotations the same wrapped DEK is another question.
      return refused.size === 0 || kind.provider !== 'kms-v2'
        ? undefined
        : refused.get(`${name(kind)}:${sourceId(value)}`);
    },
    answered(
      kind: StoredValueKind,
      value: Buffer,
      diagnosis: { readonly cause: string; readonly message: string } | undefined,
    ): void {
      if (kind.dekSource === undefined) return;
      if (diagnosis?.cause === 'kms-unreachable') {
        unanswered.set(name(kind), (unanswered.get(name(kind)) ?? 0) + 1);
        return;
      }
      unanswered.delete(name(kind));
      if (diagnosis !== undefined && isRefusal(diagnosis.cause) && kind.provider === 'kms-v2') {
        refused.set(`${name(kind)}:${sourceId(value)}`, {
          cause: diagnosis.cause,
          message: diagnosis.message,
        });
      }
    },
  };
}

const isRefusal = (cause: string): cause is VerifyCause => cause.startsWith('kms-');
