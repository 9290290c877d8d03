/** Where a rotation stands, for people and programs. Never the configurations themselves: they hold keys. */
import { nextStep, type RotationOutcome, type RotationState } from '@waxseal/ops';
import type { OutputFormat } from '../options.js';
import { formatTable } from '../table.js';
import { formatRetireReport } from './retire.js';

type Answer = RotationOutcome | { readonly kind: 'planned' | 'status' };

export function showRotation(state: RotationState, output: OutputFormat, answer: Answer): void {
  console.log(output === 'json' ? JSON.stringify(asJson(state, answer)) : asText(state, answer));
}

function asJson(state: RotationState, answer: Answer): object {
  const { configurations, kmsKeyId, rewrapped, oldKeys, change, configFile, done, steps } = state;
  const hashes = Object.entries(configurations).map(([name, { hash }]) => [name, hash]);
  const stopped =
    answer.kind === 'stopped'
      ? {
          reason: answer.reason,
          servers: answer.proofs,
          needed: answer.retire?.flatMap(({ needed }) => needed),
          remaining: answer.remaining,
        }
      : {};
  return {
    outcome: answer.kind,
    change,
    configFile,
    next: nextStep(state) ?? null,
    done,
    steps,
    hashes: Object.fromEntries(hashes) as Record<string, string>,
    oldKeys,
    kmsKeyId,
    rewrapped,
    ...stopped,
  };
}

function asText(state: RotationState, answer: Answer): string {
  const next = nextStep(state);
  const rows = state.steps.map((step, index) => [
    state.done[index]?.at ?? (step === next ? 'next' : ''),
    step,
    hashOfStep(state, step),
  ]);
  return [
    `${state.change}, in ${state.configFile}`,
    formatTable(['DONE', 'STEP', 'CONFIGURATION'], rows),
    ...conclusion(state, answer),
  ].join('\n');
}

const CONFIGURATION_OF: Readonly<Record<string, keyof RotationState['configurations']>> = {
  'add-reader': 'readers',
  'prove-reader': 'readers',
  promote: 'promoted',
  'prove-promoted': 'promoted',
  'keep-one': 'kept',
  'prove-kept': 'kept',
  'remove-old': 'wanted',
  'prove-removed': 'wanted',
};

function hashOfStep(state: RotationState, step: string): string {
  const name = CONFIGURATION_OF[step];
  return name === undefined ? '' : state.configurations[name].hash;
}

function conclusion(state: RotationState, answer: Answer): readonly string[] {
  if (answer.kind === 'ready-to-finish') {
    return [
      `The new key is in use, nothing live needs ${state.oldKeys.join(', ') || 'the old one'}; it can still be read.`,
      'When history is compacted and old backups are gone: waxseal rotate finish.',
    ];
  }
  if (answer.kind === 'finished') return ['At its end.'];
  if (answer.kind !== 'stopped') return [];
  const reports = answer.retire?.filter(({ mayDelete }) => !mayDelete).map(formatRetireReport) ?? [];
  const keys = answer.remaining?.keys ?? [];
  return [`Not yet: ${answer.reason}.`, ...reports, ...keys.map((key) => `  ${key}`)];
}
