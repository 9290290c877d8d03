/**
 * Tries every key and operation of key sets before, or instead of, serving them, and says in a sentence each what is wrong. Built on what the
 * providers know of their errors; adds what only the settings tell: a region that does not match, a permission's name, a clock that is off.
 */
import type { Clock } from '../clock.js';
import { withDeadline } from '../deadline.js';
import { ProviderError, toProviderError, type FailureClass } from '../errors.js';
import type { KeyCondition, KeyState } from '../key-condition.js';
import type { Provider, ProviderMember, Unwrap, Wrapped } from '../provider.js';
import type { KeySnapshot } from '../snapshot.js';
import { tryConnection } from './connection.js';
import { permissionFor } from './permissions.js';

/** - `open`: a stored value that was given */
export type Step = 'connect' | 'describe' | 'encrypt' | 'decrypt' | 'open';

export interface Finding {
  readonly step: Step;
  /** A warning does not keep the key from working now. */
  readonly result: 'works' | 'warns' | 'fails' | 'not-tried';
  /** What is wrong, or what was seen; one sentence each, safe to show. */
  readonly sentences: readonly string[];
  readonly failureClass?: FailureClass;
  readonly durationMs: number;
}

interface ExplainedKey {
  /** `primary`, or the operator's word for a key of a group. */
  readonly name: string;
  readonly role: ProviderMember['role'];
  readonly provider: string;
  /** What an API server would see. */
  readonly keyId: string;
  readonly findings: readonly Finding[];
}

interface ExplainedKeySet {
  readonly name: string;
  readonly keys: readonly ExplainedKey[];
}

export interface Explanation {
  readonly keySets: readonly ExplainedKeySet[];
  /** No finding is a failure. */
  readonly works: boolean;
}

export interface ExplainOptions {
  readonly clock: Clock;
  /** Milliseconds since 1970. */
  readonly nowMs: () => number;
  readonly randomBytes: (sizeBytes: number) => Buffer;
  /** A value of KMS v2 that some key must open. */
  readonly sealed?: Wrapped | undefined;
  /** For each step. */
  readonly timeoutMs: number;
}

const dekBytes = 32;
/** AWS refuses signatures that are five minutes off. */
const clockOffMs = 5 * 60_000;
const clockWarnMs = 30_000;

/** @param keySets their providers stay the caller's */
export async function explainKeys(
  keySets: readonly { readonly name: string; readonly provider: Provider }[],
  options: ExplainOptions,
): Promise<Explanation> {
  const explained: ExplainedKeySet[] = [];
  for (const { name, provider } of keySets) {
    const members: readonly ProviderMember[] = provider.members ?? [
      { name: 'primary', role: 'primary', provider },
    ];
    const keys: ExplainedKey[] = [];
    for (const member of members) keys.push(await explainKey(member, options));
    if (options.sealed !== undefined) {
      const finding = await tryOpening(provider, options.sealed, options);
      keys.push({ ...groupKey(provider), findings: [finding] });
    }
    explained.push({ name, keys });
  }
  const works = explained.every(({ keys }) =>
    keys.every(({ findings }) => findings.every(({ result }) => result !== 'fails')),
  );
  return { keySets: explained, works };
}

const groupKey = (provider: Provider): Omit<ExplainedKey, 'findings'> => ({
  name: 'stored value',
  role: 'reader',
  provider: provider.name,
  keyId: provider.snapshot().keyId,
});

async function explainKey(member: ProviderMember, options: ExplainOptions): Promise<ExplainedKey> {
  const { provider } = member;
  const hints = regionHint(provider);
  const findings: Finding[] = [...(await connect(provider, options))];
  findings.push(await describe(provider, hints, options));
  // A reader need not be allowed to encrypt, and what it wrote is not at hand unless it is given.
  if (member.role !== 'reader') findings.push(...(await sealAndOpen(provider, hints, options)));
  else if (options.sealed === undefined) findings.push(readerNotTried);
  return {
    name: member.name,
    role: member.role,
    provider: provider.name,
    keyId: provider.snapshot().keyId,
    findings,
  };
}

const readerNotTried: Finding = {
  step: 'decrypt',
  result: 'not-tried',
  sentences: ['It only reads, and nothing is at hand that it wrote: give such a value with --sealed.'],
  durationMs: 0,
};

async function sealAndOpen(
  provider: Provider,
  hints: readonly string[],
  options: ExplainOptions,
): Promise<readonly Finding[]> {
  const sealing = await tried('encrypt', provider, hints, options, (signal) =>
    sealOnce(provider, options, signal),
  );
  const { value } = sealing;
  if (value === undefined) {
    const sentences = ['There is nothing to decrypt before encrypt works.'];
    return [sealing.finding, { step: 'decrypt', result: 'not-tried', sentences, durationMs: 0 }];
  }
  const opening = await tried('decrypt', provider, hints, options, async (signal) => {
    const opened = await provider.decrypt(value.wrapped, signal);
    const same = opened.equals(value.plaintext);
    opened.fill(0);
    value.plaintext.fill(0);
    if (!same) throw new ProviderError('another plaintext', notItsOwn);
  });
  return [sealing.finding, opening.finding];
}

const notItsOwn = {
  class: 'internal',
  code: 'internal',
  advice: 'The backend decrypted something else than it encrypted; check that it is the right one.',
} as const;

async function connect(provider: Provider, options: ExplainOptions): Promise<readonly Finding[]> {
  const { connection } = provider;
  if (connection?.url === undefined) return [];
  const startMs = options.clock.nowMs();
  const trial = await tryConnection(connection.url, connection.caFile, options.timeoutMs, options.nowMs);
  const durationMs = options.clock.nowMs() - startMs;
  if (trial.kind === 'fails') {
    return [{ step: 'connect', result: 'fails', sentences: [trial.sentence], durationMs }];
  }
  const ahead = trial.clockAheadMs ?? 0;
  const off =
    Math.abs(ahead) < clockWarnMs
      ? undefined
      : `The clock of this machine is ${Math.round(Math.abs(ahead) / 1000)} s ${ahead > 0 ? 'ahead of' : 'behind'} that of the backend; set it.`;
  const finding: Finding = {
    step: 'connect',
    result: off === undefined ? 'works' : Math.abs(ahead) > clockOffMs ? 'fails' : 'warns',
    sentences: [off ?? `${connection.url} answers.`],
    durationMs,
  };
  return [finding];
}

/** Of keys named by ARN; the key service only says that there is no such key, or that the signature is for elsewhere. */
function regionHint(provider: Provider): readonly string[] {
  const named = /^arn:[^:]+:kms:([^:]+):/.exec(provider.snapshot().keyId)?.[1];
  const used = provider.connection?.region;
  if (named === undefined || used === undefined || named === used) return [];
  return [`The key lies in region ${named}, and the calls go to ${used}; give the key’s region.`];
}

interface Tried<T> {
  readonly finding: Finding;
  readonly value?: T;
}

async function tried<T>(
  step: Exclude<Step, 'connect'>,
  provider: Provider,
  hints: readonly string[],
  options: ExplainOptions,
  attempt: (signal: AbortSignal) => Promise<T>,
): Promise<Tried<T>> {
  const startMs = options.clock.nowMs();
  const durationMs = (): number => options.clock.nowMs() - startMs;
  try {
    const value = await withDeadline(options.clock, options.timeoutMs, undefined, attempt);
    return { finding: { step, result: 'works', sentences: [], durationMs: durationMs() }, value };
  } catch (error) {
    const failed = toProviderError(error);
    return {
      finding: {
        step,
        result: 'fails',
        sentences: [failed.message, ...permissionHint(step, provider, failed), ...hints],
        failureClass: failed.failure.class,
        durationMs: durationMs(),
      },
    };
  }
}

function permissionHint(
  step: Exclude<Step, 'connect'>,
  provider: Provider,
  { failure }: ProviderError,
): readonly string[] {
  if (failure.code !== 'permission_denied') return [];
  const permission = permissionFor(provider.name, step === 'open' ? 'decrypt' : step);
  if (permission === undefined) return [];
  const context = Object.keys(provider.snapshot().encryptionContext);
  const sent =
    context.length === 0 ? 'no encryption context' : `an encryption context of ${context.join(', ')}`;
  const conditions =
    provider.name === 'aws' || provider.name === 'waxseal'
      ? [`Where a policy has conditions: this call sends ${sent}.`]
      : [];
  return [`For this step the identity needs ${permission}.`, ...conditions];
}

interface Sealed {
  readonly plaintext: Buffer;
  readonly wrapped: Unwrap;
}

/** Twice where the first call shows the provider its key. */
async function sealOnce(provider: Provider, options: ExplainOptions, signal: AbortSignal): Promise<Sealed> {
  const plaintext = options.randomBytes(dekBytes);
  const seal = async (snapshot: KeySnapshot): Promise<Sealed> => ({
    plaintext,
    wrapped: {
      ...(await provider.encrypt(snapshot, Buffer.from(plaintext), signal)),
      version: 'v2',
      keyId: snapshot.keyId,
    },
  });
  const first = provider.snapshot();
  try {
    return await seal(first);
  } catch (error) {
    const shown = provider.snapshot();
    if (shown.keyId === first.keyId) throw error;
    return seal(shown);
  }
}

async function tryOpening(provider: Provider, sealed: Wrapped, options: ExplainOptions): Promise<Finding> {
  const value: Unwrap = { ...sealed, version: 'v2', keyId: provider.snapshot().keyId };
  if (provider.members !== undefined) return tryMembers(provider.members, sealed, options);
  const hints = openingHints(provider, value);
  const { finding } = await tried('open', provider, hints, options, async (signal) => {
    (await provider.decrypt(value, signal)).fill(0);
  });
  return finding.result === 'works' ? { ...finding, sentences: ['The stored value opens.'] } : finding;
}

/** Each key that recognises the value by itself: which one opens it is what the operator wants to know. */
async function tryMembers(
  members: readonly ProviderMember[],
  sealed: Wrapped,
  options: ExplainOptions,
): Promise<Finding> {
  const startMs = options.clock.nowMs();
  const sentences: string[] = [];
  let opened = false;
  let failureClass: FailureClass | undefined;
  for (const { name, role, provider } of members) {
    const value: Unwrap = { ...sealed, version: 'v2', keyId: provider.snapshot().keyId };
    const key = name === role ? `The ${role}` : `The ${role} ${name}`;
    if (!provider.recognizes(value)) {
      sentences.push(`${key} does not recognise it.`);
      continue;
    }
    const { finding } = await tried(
      'open',
      provider,
      openingHints(provider, value),
      options,
      async (signal) => {
        (await provider.decrypt(value, signal)).fill(0);
      },
    );
    if (finding.result === 'works') {
      opened = true;
      sentences.unshift(`The stored value opens: ${key.replace('The', 'the')} recognises and opens it.`);
    } else {
      failureClass ??= finding.failureClass;
      sentences.push(`${key} recognises it and cannot open it: ${finding.sentences.join(' ')}`);
    }
  }
  const durationMs = options.clock.nowMs() - startMs;
  if (opened) return { step: 'open', result: 'works', sentences, durationMs };
  return {
    step: 'open',
    result: 'fails',
    sentences: ['No key opens the stored value.', ...sentences],
    ...(failureClass === undefined ? {} : { failureClass }),
    durationMs,
  };
}

function openingHints(provider: Provider, value: Unwrap): readonly string[] {
  if (!provider.recognizes(value)) return ['It does not look like a value of this provider.'];
  const context = Object.keys(provider.snapshot().encryptionContext);
  return [
    `It was made with another key or another encryption context than the one sent, which has ${context.length === 0 ? 'nothing in it' : context.join(', ')}; or it is damaged.`,
  ];
}

const stateSentences: Readonly<Record<KeyState, string>> = {
  usable: '',
  disabled: 'The key is disabled; enable it.',
  'pending-deletion': 'The key waits for its deletion; cancel that while there is time.',
  'pending-import': 'The key has no key material; import it again.',
  expired: 'The key has expired; extend it, or make a new one and re-encrypt.',
  gone: 'There is no such key; check its id and where it lies.',
};

async function describe(
  provider: Provider,
  hints: readonly string[],
  options: ExplainOptions,
): Promise<Finding> {
  if (provider.describe === undefined) {
    return {
      step: 'describe',
      result: 'not-tried',
      sentences: ['This backend cannot be asked for the state of a key.'],
      durationMs: 0,
    };
  }
  const ask = (signal: AbortSignal): Promise<KeyCondition> =>
    provider.describe?.(signal) ?? Promise.reject(new Error('no describe'));
  const { finding, value } = await tried('describe', provider, hints, options, ask);
  if (value === undefined) return finding;
  const { state, unreadableFromMs, warnings } = value;
  const date =
    unreadableFromMs === undefined
      ? []
      : [`From ${new Date(unreadableFromMs).toISOString()} on, what it wrapped cannot be unwrapped.`];
  const sentences = [
    ...(state === 'usable' ? [] : [stateSentences[state]]),
    ...date,
    ...warnings,
    ...(state === 'gone' ? hints : []),
  ];
  const result = state !== 'usable' ? 'fails' : sentences.length > 0 ? 'warns' : 'works';
  return { ...finding, result, sentences };
}
