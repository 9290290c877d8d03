/** What each step of a rotation does. Every one may be done twice without harm. */
import { OpsError } from '../errors.js';
import type { RetireReport } from '../retire/retire.js';
import type { Source } from '../sources/source.js';
import { hashConfiguration, readConfigurationFile, replaceConfigurationFile } from './configuration-file.js';
import { fileInForce, prove, proveNewKeyId, stillProven } from './prove-servers.js';
import { countRemaining, type Remaining, type RemainingOptions } from './remaining.js';
import {
  rewrapCheckpointFile,
  type ConfigurationName,
  type RotationState,
  type RotationStep,
} from './rotation-state.js';
import { GO, type RotationTools, type StepResult } from './rotation-tools.js';
import { parseConfiguration } from './wanted-change.js';

type Step = (state: RotationState, tools: RotationTools, stateFile: string) => Promise<StepResult>;

const writes =
  (step: RotationStep, before: ConfigurationName, name: ConfigurationName): Step =>
  (state, tools) =>
    writeConfiguration(state, tools, step, before, name);
const proves =
  (name: ConfigurationName): Step =>
  (state, tools) =>
    prove(state, tools, name);

export const STEPS: Readonly<Record<RotationStep, Step>> = {
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
