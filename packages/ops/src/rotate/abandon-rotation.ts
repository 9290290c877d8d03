/**
 * The way back from a rotation that is under way. While no server may have written with the new key, the file becomes what it was. After
 * that values need the new key, so the way back is a rotation of its own: the old key reads everywhere already, writes again, and
 * everything is rewrapped under it.
 */
import { rm } from 'node:fs/promises';
import type { RandomBytes } from '@waxseal/envelope';
import { OpsError } from '../errors.js';
import { readConfigurationFile } from './configuration-file.js';
import { planFrom } from './plan-rotation.js';
import { withRotationLock } from './rotation-lock.js';
import {
  nextStep,
  readRotationState,
  RESTORE_STEPS,
  rewrapCheckpointFile,
  type RotationState,
  withoutKeys,
  writeRotationState,
} from './rotation-state.js';

export interface AbandonRotationOptions {
  readonly stateFile: string;
  readonly randomBytes: RandomBytes;
  readonly now: () => Date;
}

/**
 * Changes the plan alone; the next runs go the way back.
 *
 * @throws OpsError state-invalid when there is no way back any more, source-unreadable, config-invalid
 */
export function abandonRotation(options: AbandonRotationOptions): Promise<RotationState> {
  const { stateFile } = options;
  return withRotationLock(stateFile, async () => {
    const state = await readRotationState(stateFile);
    const back = await wayBack(state, options);
    const written = await writeRotationState(stateFile, back, state);
    await rm(rewrapCheckpointFile(stateFile, state), { force: true });
    return written;
  });
}

async function wayBack(state: RotationState, options: AbandonRotationOptions): Promise<RotationState> {
  refuseWhereNoWayIs(state);
  const abandonedAt = options.now().toISOString();
  // The plugin decides which of its keys writes; the file stays, and values under either keyID can be read.
  if (state.kmsKeyId !== undefined) return ended(state, abandonedAt);

  const file = await readConfigurationFile(state.configFile);
  const { original, readers, promoted, kept } = state.configurations;
  const isDone = (wanted: string): boolean => state.done.some(({ step }) => step === wanted);
  if (!isDone('promote') && (file.hash === original.hash || file.hash === readers.hash)) {
    if (state.done.length === 0 && file.hash === original.hash) return ended(state, abandonedAt);
    const { stopped: _, begun: __, ...rest } = state;
    return { ...rest, abandonedAt, steps: [...state.done.map(({ step }) => step), ...RESTORE_STEPS] };
  }
  if (file.hash !== promoted.hash && file.hash !== kept.hash) {
    throw new OpsError(
      'state-invalid',
      `${state.configFile} was changed by somebody else (${file.hash}): put the rotation's version back first`,
    );
  }
  if (original.text === undefined)
    throw new OpsError(
      'state-invalid',
      'the rotation’s state does not hold the configuration of its beginning',
    );
  const target = { kind: 'target', text: original.text, fileName: state.configFile } as const;
  const reverse = planFrom(file, state.configFile, target, options.randomBytes, options.now());
  return { ...reverse, id: `${reverse.id}-back`, change: `back from: ${state.change}`, undoes: state.id };
}

function refuseWhereNoWayIs(state: RotationState): void {
  const refuse = (reason: string): never => {
    throw new OpsError('state-invalid', reason);
  };
  if (nextStep(state) === undefined)
    refuse(`the rotation is at its end: to go back, plan a new one with --target and the version you want`);
  if (state.abandonedAt !== undefined) refuse('the rotation is abandoned already: run goes the way back');
  if (state.undoes !== undefined)
    refuse('this rotation is the way back already: let it run to its end, then plan anew');
  if (state.done.some(({ step }) => step === 'retire')) {
    refuse(
      'the old key was found to be needed by nothing, and may be deleted already: let finish end, then plan a new rotation to the key you want',
    );
  }
}

function ended(state: RotationState, abandonedAt: string): RotationState {
  const { stopped: _, begun: __, ...rest } = state;
  return withoutKeys({ ...rest, abandonedAt, steps: state.done.map(({ step }) => step) });
}
