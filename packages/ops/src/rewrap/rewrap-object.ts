/**
 * One object: opened, and if it is stale sealed again and put in place of what was read, if that is still what lies there.
 *
 * The write is a compare-and-swap on the key's mod revision, one object to a transaction, as kube-apiserver writes: several objects in one revision
 * would be lost to a client that resumes its watch between them. The lease stays.
 */
import { errorMessage, type Transformer } from '@waxseal/envelope';
import { StoreError, type KeyValue, type Store } from '@waxseal/storage';
import { judgeContent } from './content.js';
import { seal } from './seal.js';
import type { Patience } from './store-patience.js';

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
  readonly store: Store;
  readonly patience: Patience;
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
    const damage = await damageOf(current, data, transformer, context);
    if (damage !== undefined) return { kind: 'failed', stale, cause: 'no-object', message: damage };
    stale = true;
    if (!context.write) return { kind: 'stale' };
    const value = await seal(transformer, data, key);
    const waiting = context.beforeWrite();
    if (waiting !== undefined) await waiting;
    let found: KeyValue | 'written' | undefined;
    try {
      found = await swap(current, value, context);
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

/** @returns why the opened bytes must not be sealed; undefined: they may be */
async function damageOf(
  { value }: KeyValue,
  data: Buffer,
  transformer: Transformer,
  { keyFits }: ObjectContext,
): Promise<string | undefined> {
  const verdict = judgeContent(value, data);
  if (verdict === 'sound') return undefined;
  if (verdict === 'doubtful') {
    if (await keyFits(value, transformer)) return undefined;
    return 'it opens to bytes that are neither protobuf nor text, and others under the same key do not open, so the key is not the one that wrote it: put the right one into the configuration';
  }
  const what =
    data.length === 0
      ? 'it is empty'
      : 'it is read as plaintext, but begins like a sealed value that was cut or changed';
  return `${what}: no API server can read it. Delete it, or put back what belongs there`;
}

/** @returns `written`, or what lies there instead; undefined: nothing does */
async function swap(
  current: KeyValue,
  value: Buffer,
  { store, patience }: ObjectContext,
): Promise<KeyValue | 'written' | undefined> {
  const { key, modRevision, lease } = current;
  // etcd reads the old value twice to keep a lease. Where there is none, and the revision says there still is none, it need not.
  const ignoreLease = lease !== 0n;
  const { succeeded, results } = await patience(() =>
    store.txn({
      compare: [{ key, target: 'modRevision', result: 'equal', number: modRevision }],
      success: [{ kind: 'put', key, value, ignoreLease }],
      failure: [{ kind: 'range', key }],
    }),
  );
  if (succeeded) return 'written';
  const read = results[0];
  return read?.kind === 'range' ? read.kvs[0] : undefined;
}
