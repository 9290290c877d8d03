/**
 * Takes a rotation forward, step by step, as far as it goes. Every step is written down once it is done: killed anywhere, the next run does
 * the step it was in again.
 */
import { StoreError } from '@waxseal/storage';
import { OpsError } from '../errors.js';
import { removeTemporaries } from '../replace-file.js';
import { readConfigurationFile } from './configuration-file.js';
import { withRotationLock } from './rotation-lock.js';
import {
  nextStep,
  readRotationState,
  type ConfigurationName,
  type RewrapCounts,
  type RotationState,
  type RotationStep,
  withoutKeys,
  writeRotationState,
} from './rotation-state.js';
import { STEPS } from './rotation-steps.js';
import type { Obstacle, RotationTools, StepResult } from './rotation-tools.js';

export type RotationOutcome =
  | { readonly kind: 'finished'; readonly state: RotationState }
  /** The file is what it was before the rotation. */
  | { readonly kind: 'abandoned'; readonly state: RotationState }
  /** New keys are in use; `finish` removes the old ones. */
  | { readonly kind: 'ready-to-finish'; readonly state: RotationState }
  | ({ readonly kind: 'stopped'; readonly state: RotationState; readonly step: RotationStep } & Obstacle);

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
