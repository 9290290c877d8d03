/** Begins a rotation: what is wanted becomes configurations and steps, on disk before anything is touched. */
import type { RandomBytes } from '@waxseal/envelope';
import { OpsError } from '../errors.js';
import { hashConfiguration, readConfigurationFile } from './configuration-file.js';
import { entriesOf, nameOfEntry } from './provider-entry.js';
import { planConfigurations } from './rotation-configurations.js';
import { renderConfiguration } from './render-configuration.js';
import {
  nextStep,
  readIfPresent,
  type PlannedConfiguration,
  ROTATION_STEPS,
  type RotationState,
  type RotationStep,
  writeRotationState,
} from './rotation-state.js';
import { parseConfiguration, wantedConfiguration, type WantedChange } from './wanted-change.js';

export interface PlanRotationOptions {
  readonly stateFile: string;
  readonly configFile: string;
  readonly change: WantedChange;
  readonly randomBytes: RandomBytes;
  readonly now: () => Date;
}

const KEY_ID_STEPS: readonly RotationStep[] = ['prove-key-id', 'rewrap', 'verify'];

/** @throws OpsError config-invalid, invalid-option, source-unreadable, state-invalid when another rotation is not at its end */
export async function planRotation(options: PlanRotationOptions): Promise<RotationState> {
  const { stateFile, configFile, change } = options;
  const present = await readIfPresent(stateFile);
  if (present !== undefined && nextStep(present) !== undefined) {
    throw new OpsError(
      'state-invalid',
      `${stateFile} holds a rotation that is not at its end (next: ${nextStep(present)}): finish it, or name another state file`,
    );
  }
  const file = await readConfigurationFile(configFile);
  const current = parseConfiguration(file.text, configFile);
  const wanted = wantedConfiguration(current, change, options.randomBytes);
  const plans = planConfigurations(current, wanted);
  const keyIdOnly = change.kind === 'kms-key-id';
  const planned = (text: string): PlannedConfiguration =>
    keyIdOnly ? { hash: file.hash } : { hash: hashConfiguration(text), text };
  if (!keyIdOnly && renderConfiguration(current) === renderConfiguration(wanted)) {
    throw new OpsError('invalid-option', `${configFile} is as wanted already`);
  }
  const now = options.now();
  const ends = new Set(wanted.resources.flatMap(({ providers }) => entriesOf(providers).map(nameOfEntry)));
  const before = current.resources.flatMap(({ providers }) => entriesOf(providers).map(nameOfEntry));
  const state: RotationState = {
    format: 1,
    id: rotationId(now),
    writes: 0,
    plannedAt: now.toISOString(),
    configFile,
    change: describeChange(change),
    ...(keyIdOnly ? { kmsKeyId: { name: change.name, keyId: change.keyId } } : {}),
    configurations: {
      original: { hash: file.hash },
      readers: planned(plans.readers),
      promoted: planned(plans.promoted),
      kept: planned(plans.kept),
      wanted: planned(plans.wanted),
    },
    steps: keyIdOnly ? KEY_ID_STEPS : ROTATION_STEPS.filter((step) => step !== 'prove-key-id'),
    done: [],
    oldKeys: [...new Set(before)].filter((name) => !ends.has(name) && name !== 'identity'),
  };
  return writeRotationState(stateFile, state, present);
}

/** A time is enough: one state file holds one rotation. */
function rotationId(now: Date): string {
  return now.toISOString().replace(/[-:]|\.\d+/g, '');
}

/** For people. */
function describeChange(change: WantedChange): string {
  if (change.kind === 'add-key') return `a new ${change.provider} key ${change.name ?? ''}`.trimEnd();
  if (change.kind === 'to-kms') return `KMS v2 ${change.name} at ${change.endpoint}`;
  if (change.kind === 'kms-key-id') return `the new keyID of KMS ${change.name}`;
  return change.kind === 'target' ? `as ${change.fileName}` : 'plaintext (identity)';
}
