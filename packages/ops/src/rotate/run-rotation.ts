/**
 * Takes a rotation forward, step by step, as far as it goes. Every step may be done twice without harm, and is written down once it is
 * done: killed anywhere, the next run does the step it was in again.
 */
import { StoreError } from '@waxseal/storage';
import { OpsError } from '../errors.js';
import { removeTemporaries } from '../replace-file.js';
import type { Source } from '../sources/source.js';
import type { RetireReport } from '../retire/retire.js';
import {
  hashConfiguration,
  readConfigurationFile,
  replaceConfigurationFile,
  type ConfigurationFile,
} from './configuration-file.js';
import { countRemaining, type Remaining, type RemainingOptions } from './remaining.js';
import { withRotationLock } from './rotation-lock.js';
import {
  nextStep,
  readRotationState,
  rewrapCheckpointFile,
  type ConfigurationName,
  type RewrapCounts,
  type RotationState,
  type RotationStep,
  withoutKeys,
  writeRotationState,
} from './rotation-state.js';
import { proveConfiguration, proveKeyId, sameServerProblem, type ServerProof } from './server-proof.js';
import { parseConfiguration } from './wanted-change.js';

/** What a rotation needs of the world. */
export interface RotationTools {
  readonly now: () => Date;
  readonly signal?: AbortSignal;
  /** Takes the file to the servers. Called after each write, and when a later run begins; must not mind. */
  readonly distribute?: (file: string, hash: string) => Promise<void>;
  readonly openSource: () => Promise<Source>;
  readonly prefix: string;
  /** @param checkpointFile keeps the progress, so that a run that is cut off goes on there */
  readonly rewrap: (configFile: string, checkpointFile: string) => Promise<RewrapCounts>;
  /** May this key be deleted? `source` is open. */
  readonly mayRetire: (key: string, source: Source) => Promise<RetireReport>;
  readonly servers: readonly string[];
  /** The text of a server's `/metrics`. */
  readonly fetchMetrics: (server: string) => Promise<string>;
  /** Between two questions; rejects or resolves early when the signal is aborted. */
  readonly wait: (ms: number) => Promise<void>;
  /** How long servers are asked before it is given up for now. */
  readonly proofTimeoutMs: number;
  /** The hash of the configuration, or the keyID, that a person says is in force on every server. */
  readonly confirmed?: string;
  readonly onStep?: (step: RotationStep, phase: 'begins' | 'done') => void;
  readonly onProofs?: (proofs: readonly ServerProof[]) => void;
}

export type RotationOutcome =
  | { readonly kind: 'finished'; readonly state: RotationState }
  /** The file is what it was before the rotation. */
  | { readonly kind: 'abandoned'; readonly state: RotationState }
  /** New keys are in use; `finish` removes the old ones. */
  | { readonly kind: 'ready-to-finish'; readonly state: RotationState }
  | {
      readonly kind: 'stopped';
      readonly state: RotationState;
      readonly step: RotationStep;
      /** Why it goes no further now, and what to do: sentences. */
      readonly reason: string;
      readonly proofs?: readonly ServerProof[];
      readonly retire?: readonly RetireReport[];
      readonly remaining?: Remaining;
    };

/** A step's own answer: `go` or why not. */
type StepResult =
  | { readonly go: true; readonly rewrapped?: RewrapCounts }
  | (Omit<Extract<RotationOutcome, { kind: 'stopped' }>, 'kind' | 'state' | 'step'> & { readonly go: false });

const GO: StepResult = { go: true };
/** Servers that are restarted answer soon, others look at the file every minute. */
const FIRST_PROOF_POLL_MS = 500;
const PROOF_POLL_MS = 5_000;

/**
 * @param finish also the steps that remove the old keys
 * @throws OpsError; the steps done before stay done
 */
export function runRotation(
  stateFile: string,
  finish: boolean,
  tools: RotationTools,
): Promise<RotationOutcome> {
  return withRotationLock(stateFile, async () => {
    let state = await readRotationState(stateFile);
    for (const file of [stateFile, state.configFile]) await removeTemporaries(file);
    await distributeAgain(state, tools);
    for (;;) {
      const step = nextStep(state);
      if (step === undefined)
        return { kind: state.abandonedAt === undefined ? 'finished' : 'abandoned', state };
      if (step === 'retire' && !finish) return { kind: 'ready-to-finish', state };
      if (tools.signal?.aborted === true)
        throw new OpsError('interrupted', 'interrupted; run it again to go on');
      tools.onStep?.(step, 'begins');
      const begun = withBegun(state, step, tools.now());
      if (begun !== state) state = await writeRotationState(stateFile, begun, state);
      const noteWhy = (reason: string): Promise<RotationState> => {
        const stopped = { at: tools.now().toISOString(), reason };
        return writeRotationState(stateFile, { ...state, stopped }, state);
      };
      let result: StepResult;
      try {
        result = await STEPS[step](state, tools, stateFile);
      } catch (error) {
        // For `status`; that it cannot be noted is not worth hiding the error.
        if (error instanceof OpsError || error instanceof StoreError)
          await noteWhy(error.message).catch(() => undefined);
        throw error;
      }
      if (!result.go) {
        const { go: _, ...why } = result;
        return { kind: 'stopped', state: await noteWhy(result.reason), step, ...why };
      }
      state = await writeRotationState(
        stateFile,
        stateAfter(state, step, result.rewrapped, tools.now()),
        state,
      );
      tools.onStep?.(step, 'done');
    }
  });
}

/** The time at which a step began stays, however often it is begun again. */
function withBegun(state: RotationState, step: RotationStep, now: Date): RotationState {
  return state.begun?.step === step ? state : { ...state, begun: { step, at: now.toISOString() } };
}

const WRITTEN_BY: Readonly<Partial<Record<RotationStep, ConfigurationName>>> = {
  'add-reader': 'readers',
  promote: 'promoted',
  'keep-one': 'kept',
  'remove-old': 'wanted',
  restore: 'original',
};

/** A server that the last run did not reach may be there now. */
async function distributeAgain(state: RotationState, { distribute }: RotationTools): Promise<void> {
  const name = state.done.flatMap(({ step }) => WRITTEN_BY[step] ?? []).at(-1);
  if (distribute === undefined || name === undefined || nextStep(state) === undefined) return;
  const { hash } = await readConfigurationFile(state.configFile);
  // Another one is its next step's affair.
  if (hash === state.configurations[name].hash) await distribute(state.configFile, hash);
}

type Step = (state: RotationState, tools: RotationTools, stateFile: string) => Promise<StepResult>;

const writes =
  (step: RotationStep, before: ConfigurationName, name: ConfigurationName): Step =>
  (state, tools) =>
    writeConfiguration(state, tools, step, before, name);
const proves =
  (name: ConfigurationName): Step =>
  (state, tools) =>
    prove(state, tools, name);

const STEPS: Readonly<Record<RotationStep, Step>> = {
  'add-reader': writes('add-reader', 'original', 'readers'),
  'prove-reader': proves('readers'),
  promote: writes('promote', 'readers', 'promoted'),
  'prove-promoted': proves('promoted'),
  'prove-key-id': proveNewKeyId,
  rewrap,
  verify,
  'keep-one': writes('keep-one', 'promoted', 'kept'),
  'prove-kept': proves('kept'),
  retire,
  'remove-old': writes('remove-old', 'kept', 'wanted'),
  'prove-removed': proves('wanted'),
  restore: writes('restore', 'readers', 'original'),
  'prove-restored': proves('original'),
};

/** Steps after which a server without the configuration before could not read everything. */
const GUARDED: ReadonlySet<RotationStep> = new Set(['promote', 'keep-one', 'remove-old']);

async function writeConfiguration(
  state: RotationState,
  tools: RotationTools,
  step: RotationStep,
  before: ConfigurationName,
  name: ConfigurationName,
): Promise<StepResult> {
  const { hash, text } = state.configurations[name];
  if (text === undefined || hashConfiguration(text) !== hash) {
    throw new OpsError('state-invalid', `the rotation's state does not hold its configuration "${name}"`);
  }
  const file = await readConfigurationFile(state.configFile);
  // Written already: a run was cut off behind it, and servers may have it.
  if (GUARDED.has(step) && file.hash !== hash) {
    const proven = await stillProven(state, tools, before);
    if (!proven.go) return proven;
  }
  await replaceConfigurationFile({
    path: state.configFile,
    expected: state.configurations[before].hash,
    text,
    backupPath: `${state.configFile}.${state.id}.before-${step}`,
  });
  await tools.distribute?.(state.configFile, hash);
  return GO;
}

async function prove(
  state: RotationState,
  tools: RotationTools,
  name: ConfigurationName,
): Promise<StepResult> {
  const { hash } = await fileInForce(state, name);
  const advice = `Each must have ${hash}: bring ${state.configFile} there, restart a server that does not reload it by itself, then run this again`;
  return proveServers(tools, hash, advice, (server, metrics) => proveConfiguration(server, metrics, hash));
}

/**
 * What was proven once may not hold any more: a server that was restarted with an older file could not read what comes next. A
 * confirmation by hand is not asked for again.
 */
async function stillProven(
  state: RotationState,
  tools: RotationTools,
  name: ConfigurationName,
): Promise<StepResult> {
  return tools.servers.length === 0 ? GO : prove(state, tools, name);
}

function proveNewKeyId({ kmsKeyId }: RotationState, tools: RotationTools): Promise<StepResult> {
  if (kmsKeyId === undefined) throw new OpsError('state-invalid', 'the rotation’s state names no keyID');
  const { name, keyId } = kmsKeyId;
  const advice = `Each plugin must answer ${keyId}: let it read its keys again, then run this again`;
  return proveServers(tools, keyId, advice, (server, metrics) => proveKeyId(server, metrics, name, keyId));
}

async function proveServers(
  tools: RotationTools,
  wanted: string,
  /** What to do about a server that does not prove it: one sentence. */
  advice: string,
  judge: (server: string, metrics: string) => ServerProof,
): Promise<StepResult> {
  if (tools.confirmed === wanted) return GO;
  if (tools.servers.length === 0) {
    const reason = `every server must have ${wanted} in force first: see to it, then confirm exactly that, or name the servers`;
    return { go: false, reason };
  }
  const ask = async (server: string): Promise<ServerProof> => {
    try {
      return judge(server, await tools.fetchMetrics(server));
    } catch (error) {
      const detail = `its metrics cannot be read: ${error instanceof Error ? error.message : String(error)}`;
      return { server, proven: false, detail, serverIdHash: '' };
    }
  };
  const endMs = tools.now().getTime() + tools.proofTimeoutMs;
  let pollMs = FIRST_PROOF_POLL_MS;
  for (;;) {
    const proofs = await Promise.all(tools.servers.map(ask));
    tools.onProofs?.(proofs);
    const problem = sameServerProblem(proofs);
    if (problem !== undefined) return { go: false, reason: problem, proofs };
    const missing = proofs.filter(({ proven }) => !proven);
    if (missing.length === 0) return GO;
    if (tools.signal?.aborted === true)
      throw new OpsError('interrupted', 'interrupted; run it again to go on');
    if (tools.now().getTime() + pollMs > endMs) {
      const details = missing.map(({ server, detail }) => `${server}: ${detail}`).join('; ');
      return { go: false, reason: `${details}. ${advice}`, proofs };
    }
    await tools.wait(pollMs);
    pollMs = Math.min(2 * pollMs, PROOF_POLL_MS);
  }
}

/** The file on this machine, which must be the rotation's: rewrap reads it. */
async function fileInForce(state: RotationState, name: ConfigurationName): Promise<ConfigurationFile> {
  const file = await readConfigurationFile(state.configFile);
  const { hash } = state.configurations[name];
  if (file.hash === hash) return file;
  throw new OpsError(
    'state-invalid',
    `${state.configFile} was changed by somebody else (${file.hash}, expected ${hash}): put the rotation's version back, or plan anew`,
  );
}

/** The configuration that wrote everything when the rewrap is done. */
const writing = (state: RotationState): ConfigurationName =>
  state.kmsKeyId === undefined ? 'promoted' : 'original';

async function rewrap(state: RotationState, tools: RotationTools, stateFile: string): Promise<StepResult> {
  await fileInForce(state, writing(state));
  const proven =
    state.kmsKeyId === undefined
      ? await stillProven(state, tools, 'promoted')
      : await (tools.servers.length === 0 ? GO : proveNewKeyId(state, tools));
  if (!proven.go) return proven;
  const rewrapped = await tools.rewrap(state.configFile, rewrapCheckpointFile(stateFile, state));
  if (rewrapped.failed === 0) return { go: true, rewrapped };
  const reason = `${rewrapped.failed} objects could not be rewrapped: waxseal verify says why; mend or delete them, then run it again`;
  return { go: false, reason };
}

async function verify(state: RotationState, tools: RotationTools, stateFile: string): Promise<StepResult> {
  const file = await fileInForce(state, writing(state));
  const config = parseConfiguration(file.text, state.configFile);
  const keyId = state.kmsKeyId === undefined ? {} : { kmsKeyId: state.kmsKeyId };
  const count = (): Promise<Remaining> =>
    withSource(tools, (source) => remainingIn(source, tools, { config, by: 'writer', ...keyId }));
  if ((await count()).count === 0) return GO;
  // Written the old way since, by a server that was late: once more, then somebody has to look.
  await tools.rewrap(state.configFile, rewrapCheckpointFile(stateFile, state));
  const remaining = await count();
  if (remaining.count === 0) return GO;
  const reason = `${remaining.count} of ${remaining.checked} objects are not under the new key: a server still writes with the old one, or an object cannot be read (waxseal verify); then run this again`;
  return { go: false, reason, remaining };
}

async function retire(state: RotationState, tools: RotationTools): Promise<StepResult> {
  const { text } = state.configurations.wanted;
  if (text === undefined) throw new OpsError('state-invalid', 'the rotation’s state does not hold its end');
  const config = parseConfiguration(text, 'the wanted configuration');
  return withSource(tools, async (source): Promise<StepResult> => {
    const reports: RetireReport[] = [];
    for (const key of state.oldKeys) reports.push(await tools.mayRetire(key, source));
    const needed = reports.filter(({ mayDelete }) => !mayDelete);
    if (needed.length > 0) {
      const names = needed.map(({ key }) => key).join(', ');
      return { go: false, reason: `still needed: ${names}`, retire: reports };
    }
    // Plaintext has no key to ask for.
    const remaining = await remainingIn(source, tools, { config, by: 'readers' });
    if (remaining.count === 0) return GO;
    const reason = `${remaining.count} objects could not be read any more: rewrap them first`;
    return { go: false, reason, remaining };
  });
}

async function withSource<T>(tools: RotationTools, use: (source: Source) => Promise<T>): Promise<T> {
  const source = await tools.openSource();
  try {
    return await use(source);
  } finally {
    await source.close();
  }
}

function remainingIn(
  source: Source,
  { prefix, signal }: RotationTools,
  what: Pick<RemainingOptions, 'config' | 'by' | 'kmsKeyId'>,
): Promise<Remaining> {
  return countRemaining({ source, prefix, ...what, ...(signal === undefined ? {} : { signal }) });
}

function stateAfter(
  state: RotationState,
  step: RotationStep,
  rewrapped: RewrapCounts | undefined,
  now: Date,
): RotationState {
  const { begun, stopped: _, ...rest } = state;
  const begunAt = begun?.step === step ? { begunAt: begun.at } : {};
  const after: RotationState = {
    ...rest,
    ...(rewrapped === undefined ? {} : { rewrapped }),
    done: [...state.done, { step, at: now.toISOString(), ...begunAt }],
  };
  return nextStep(after) === undefined ? withoutKeys(after) : after;
}
