/** Where a rotation stands, for people and programs. Never the configurations themselves: they hold keys. */
import { nextStep, type RotationOutcome, type RotationState } from '@waxseal/ops';
import type { OutputFormat } from '../options.js';
import { formatTable } from '../table.js';
import { printable, printableJson } from '../terminal-text.js';
import { formatRetireReport } from './retire.js';

type Answer = RotationOutcome | { readonly kind: 'planned' | 'status' };
type Step = RotationState['steps'][number];

export function showRotation(state: RotationState, output: OutputFormat, answer: Answer): void {
  console.log(output === 'json' ? printableJson(asJson(state, answer)) : asText(state, answer));
}

function asJson(state: RotationState, answer: Answer): object {
  const { configurations, kmsKeyId, rewrapped, oldKeys, change, configFile, steps } = state;
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
    nextAction: whatNext(state),
    done: state.done.map((done) => ({ ...done, durationMs: durationMs(done) })),
    steps,
    hashes: Object.fromEntries(hashes) as Record<string, string>,
    oldKeys,
    kmsKeyId,
    rewrapped,
    plannedAt: state.plannedAt,
    begun: state.begun,
    stopped: state.stopped,
    commentsKept: state.commentsKept,
    abandonedAt: state.abandonedAt,
    undoes: state.undoes,
    ...stopped,
  };
}

function asText(state: RotationState, answer: Answer): string {
  const next = nextStep(state);
  const rows = state.steps.map((step, index) => {
    const done = state.done[index];
    const took = done === undefined ? undefined : durationMs(done);
    return [
      done?.at ?? (step === next ? 'next' : ''),
      step,
      took === undefined ? '' : formatDuration(took),
      hashOfStep(state, step),
    ];
  });
  const { rewrapped } = state;
  return [
    `${state.change}, in ${state.configFile}`,
    formatTable(['DONE', 'STEP', 'TOOK', 'CONFIGURATION'], rows),
    ...(state.commentsKept === false
      ? ['The file has anchors or is JSON: it is written anew, without its comments.']
      : []),
    ...(rewrapped === undefined
      ? []
      : [`Rewrapped: ${rewrapped.listed} objects, ${rewrapped.rewritten} written again.`]),
    ...conclusion(state, answer),
  ].join('\n');
}

/** Of steps noted since their beginning is; a step that was cut off lasts from its first beginning. */
function durationMs({ at, begunAt }: RotationState['done'][number]): number | undefined {
  return begunAt === undefined ? undefined : Math.max(0, Date.parse(at) - Date.parse(begunAt));
}

function formatDuration(ms: number): string {
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  const [minutes, hours] = [Math.floor(seconds / 60), Math.floor(seconds / 3600)];
  if (minutes === 0) return `${seconds} s`;
  return hours === 0 ? `${minutes} min ${seconds % 60} s` : `${hours} h ${minutes % 60} min`;
}

const CONFIGURATION_OF: Readonly<Partial<Record<Step, keyof RotationState['configurations']>>> = {
  'add-reader': 'readers',
  'prove-reader': 'readers',
  promote: 'promoted',
  'prove-promoted': 'promoted',
  'keep-one': 'kept',
  'prove-kept': 'kept',
  'remove-old': 'wanted',
  'prove-removed': 'wanted',
  restore: 'original',
  'prove-restored': 'original',
};

function hashOfStep(state: RotationState, step: Step): string {
  const name = CONFIGURATION_OF[step];
  return name === undefined ? '' : state.configurations[name].hash;
}

const NEXT: Readonly<Record<Step, string>> = {
  'add-reader': 'run writes the configuration in which the new key can be read; the old one goes on writing.',
  'prove-reader': 'run waits until every server can read the new key.',
  promote: 'run puts the new key first.',
  'prove-promoted': 'run waits until every server writes with the new key.',
  'prove-key-id': 'run waits until the KMS of every server has the new keyID.',
  rewrap: 'run writes every stale object again, under the new key.',
  verify: 'run reads everything again and looks for values that are not under the new key.',
  'keep-one': 'run writes the configuration as wanted, with the old key as a reader.',
  'prove-kept': 'run waits until every server has it.',
  retire: 'finish asks whether anything needs the old key: live objects, history, and snapshots.',
  'remove-old': 'finish takes the old key out of the configuration.',
  'prove-removed': 'finish waits until every server has done without the old key.',
  restore: 'run puts the file back as it was before this rotation.',
  'prove-restored': 'run waits until every server has the file as it was.',
};

/** One sentence, or two. */
function whatNext(state: RotationState): string {
  const next = nextStep(state);
  if (next !== undefined)
    return state.undoes === undefined
      ? NEXT[next]
      : `${NEXT[next]} On this way back “new” is the key from before.`;
  if (state.abandonedAt === undefined) return 'Nothing: it is at its end.';
  return state.kmsKeyId === undefined
    ? 'Nothing: it is abandoned, and the file is as it was.'
    : 'Nothing: it is abandoned. What is rewrapped stays so; to go back, let the plugin write with its old key and plan its keyID.';
}

function conclusion(state: RotationState, answer: Answer): readonly string[] {
  const next = `Next: ${whatNext(state)}`;
  if (answer.kind === 'ready-to-finish') {
    return [
      `The new key is in use, nothing live needs ${state.oldKeys.join(', ') || 'the old one'}; it can still be read.`,
      'When history is compacted and old backups are gone: waxseal rotate finish.',
    ];
  }
  if (answer.kind === 'finished') return ['At its end.'];
  if (answer.kind === 'abandoned') return [next];
  if (answer.kind !== 'stopped') {
    const { begun, stopped } = state;
    const since = begun?.step === nextStep(state) ? [`Begun ${begun?.at ?? ''}.`] : [];
    return [
      ...since,
      ...(stopped === undefined ? [] : [printable(`Stopped ${stopped.at}: ${stopped.reason}.`)]),
      next,
    ];
  }
  const reports = answer.retire?.filter(({ mayDelete }) => !mayDelete).map(formatRetireReport) ?? [];
  const keys = answer.remaining?.keys ?? [];
  return [printable(`Not yet: ${answer.reason}.`), ...reports, ...keys.map((key) => `  ${printable(key)}`)];
}
