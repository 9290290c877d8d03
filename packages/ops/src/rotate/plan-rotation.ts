/** Begins a rotation: what is wanted becomes configurations and steps, on disk before anything is touched. */
import type { RandomBytes } from '@waxseal/envelope';
import { OpsError } from '../errors.js';
import { removeTemporaries } from '../replace-file.js';
import { hashConfiguration, readConfigurationFile, type ConfigurationFile } from './configuration-file.js';
import { entriesOf, nameOfEntry } from './provider-entry.js';
import { planConfigurations } from './rotation-configurations.js';
import { renderConfiguration } from './render-configuration.js';
import { withRotationLock } from './rotation-lock.js';
import {
  KEY_ID_STEPS,
  nextStep,
  readIfPresent,
  type PlannedConfiguration,
  ROTATION_STEPS,
  type RotationState,
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

/** @throws OpsError config-invalid, invalid-option, source-unreadable, state-invalid when another rotation is not at its end */
export function planRotation(options: PlanRotationOptions): Promise<RotationState> {
  const { stateFile, configFile, change, randomBytes } = options;
  return withRotationLock(stateFile, async () => {
    await removeTemporaries(stateFile);
    const present = await readIfPresent(stateFile);
    if (present !== undefined && nextStep(present) !== undefined) {
      throw new OpsError(
        'state-invalid',
        `${stateFile} holds a rotation that is not at its end (next: ${nextStep(present)}): let it run to its end, abandon it, or name another state file`,
      );
    }
    const file = await readConfigurationFile(configFile);
    const state = planFrom(file, configFile, change, randomBytes, options.now());
    return writeRotationState(stateFile, state, present);
  });
}

/** The state of a rotation of which nothing is done. @throws OpsError config-invalid, invalid-option */
export function planFrom(
  file: ConfigurationFile,
  configFile: string,
  change: WantedChange,
  randomBytes: RandomBytes,
  now: Date,
): RotationState {
  if (hashConfiguration(file.text) !== file.hash)
    throw new OpsError('config-invalid', `${configFile} is not UTF-8 text`);
  const current = parseConfiguration(file.text, configFile);
  const wanted = wantedConfiguration(current, change, randomBytes);
  const edited =
    change.kind === 'target' ? { text: change.text, config: wanted } : { text: file.text, config: current };
  const plans = planConfigurations(current, wanted, edited);
  const keyIdOnly = change.kind === 'kms-key-id';
  const planned = (text: string): PlannedConfiguration =>
    keyIdOnly ? { hash: file.hash } : { hash: hashConfiguration(text), text };
  if (!keyIdOnly && renderConfiguration(current) === renderConfiguration(wanted)) {
    throw new OpsError('invalid-option', `${configFile} is as wanted already`);
  }
  const names = ({ resources }: typeof current): readonly string[] =>
    resources.flatMap(({ providers }) => entriesOf(providers).map(nameOfEntry));
  const ends = new Set(names(wanted));
  return {
    format: 1,
    id: rotationId(now),
    writes: 0,
    plannedAt: now.toISOString(),
    configFile,
    change: describeChange(change),
    ...(keyIdOnly ? { kmsKeyId: { name: change.name, keyId: change.keyId } } : {}),
    configurations: {
      original: planned(file.text),
      readers: planned(plans.readers),
      promoted: planned(plans.promoted),
      kept: planned(plans.kept),
      wanted: planned(plans.wanted),
    },
    commentsKept: plans.commentsKept,
    steps: keyIdOnly ? KEY_ID_STEPS : ROTATION_STEPS,
    done: [],
    oldKeys: [...new Set(names(current))].filter((name) => !ends.has(name) && name !== 'identity'),
  };
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
