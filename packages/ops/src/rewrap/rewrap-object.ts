/**
 * One object: opened, and if it is stale sealed again and put in place of what was read, if that is still what lies there.
 */
import { errorMessage, type Transformer } from '@waxseal/envelope';
import { StoreError, type KeyValue } from '@waxseal/storage';
import { judgeContent, type ContentVerdict } from './content.js';
import { seal } from './seal.js';
import type { Swap } from './swap.js';

/**
 * - `unreadable`: no provider opens it; it is as it was
 * - `no-object`: it is empty, or opens to noise under a provider that proves nothing; it is as it was
 * - `contended`: others kept writing it, always in a stale way
 * - `refused`: the store does not take the new value (it may be too large now)
 */
export type RewrapFailureCause = 'unreadable' | 'no-object' | 'contended' | 'refused';

export type ObjectOutcome =
  | { readonly kind: 'skipped' | 'stale' | 'rewritten' | 'conflicts' | 'gone' }
  | {
      readonly kind: 'failed';
      readonly stale: boolean;
      readonly cause: RewrapFailureCause;
      readonly message: string;
    };

export interface ObjectContext {
  readonly swap: Swap;
  /** False: stale objects stay, and the outcome is `stale`. */
  readonly write: boolean;
  /** Called before each write. */
  readonly beforeWrite: () => Promise<void> | undefined;
  /** Whether the key that opened this value by aescbc opens (nearly) all that are under it. */
  readonly keyFits: (value: Buffer, transformer: Transformer) => Promise<boolean>;
}

/** How often somebody else may get in between before it is left to them. */
const MAX_ATTEMPTS = 8;

/**
 * @throws OpsError source-unreadable when the store or the KMS that writes does not work: nothing else could be rewritten either
 */
export async function rewrapObject(
  listed: KeyValue,
  transformer: Transformer,
  context: ObjectContext,
): Promise<ObjectOutcome> {
  const { key } = listed;
  let current = listed;
  let stale = false;
  for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt++) {
    let data: Buffer;
    try {
      const opening = transformer.transformFromStorage(current.value, key);
      const opened = opening instanceof Promise ? await opening : opening;
      if (!opened.stale) return { kind: stale ? 'conflicts' : 'skipped' };
      data = opened.data;
    } catch (error) {
      return { kind: 'failed', stale, cause: 'unreadable', message: errorMessage(error) };
    }
    const verdict = judgeContent(current.value, data);
    if (
      verdict !== 'sound' &&
      !(verdict === 'doubtful' && (await context.keyFits(current.value, transformer)))
    ) {
      return { kind: 'failed', stale, cause: 'no-object', message: whyNotSealed(verdict, data) };
    }
    stale = true;
    if (!context.write) return { kind: 'stale' };
    const value = await seal(transformer, data, key);
    const waiting = context.beforeWrite();
    if (waiting !== undefined) await waiting;
    let found: KeyValue | 'written' | undefined;
    try {
      found = await context.swap(current, value);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      return { kind: 'failed', stale, cause: 'refused', message: error.message };
    }
    if (found === 'written') return { kind: 'rewritten' };
    if (found === undefined) return { kind: 'gone' };
    // A write whose answer was lost did happen.
    if (found.value.equals(value)) return { kind: 'rewritten' };
    current = found;
  }
  return {
    kind: 'failed',
    stale,
    cause: 'contended',
    message: `others wrote it ${MAX_ATTEMPTS} times meanwhile, and always in a way that is stale by this configuration: see that every API server has it`,
  };
}

function whyNotSealed(verdict: ContentVerdict, data: Buffer): string {
  if (verdict === 'doubtful') {
    return 'it opens to bytes that are neither protobuf nor text, and others under the same key do not open, so the key is not the one that wrote it: put the right one into the configuration';
  }
  const what =
    data.length === 0
      ? 'it is empty'
      : 'it is read as plaintext, but begins like a sealed value that was cut or changed';
  return `${what}: no API server can read it. Delete it, or put back what belongs there`;
}
