/** `waxseal rotate run`, `finish`, `abandon` and `status`. */
import { randomBytes } from 'node:crypto';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  abandonRotation,
  mayRetire,
  nextStep,
  openEtcdSource,
  openSnapshotSource,
  parseKeyReference,
  readRotationState,
  type RotationState,
  type RotationTools,
  runRotation,
} from '@waxseal/ops';
import { CliError, exitCodes } from '../errors.js';
import { type EtcdAccess, type EtcdOptions, readEtcdAccess } from '../etcd-access.js';
import { runUntilDone } from '../lifetime.js';
import type { OutputFormat } from '../options.js';
import { createMetricsReader, type MetricsAccess } from '../parts/server-metrics.js';
import { keyPrefix } from '../source-options.js';
import { printable, printableJson } from '../terminal-text.js';
import { rewrapEtcd } from './rewrap-etcd.js';
import { coveredBy, parseConfig } from './rewrap-options.js';
import { showRotation } from './rotate-report.js';

export interface RotateOptions extends EtcdOptions, MetricsAccess {
  readonly state: string;
  readonly etcd: readonly string[];
  readonly prefix: string;
  readonly servers?: readonly string[];
  readonly confirm?: string;
  readonly waitSeconds: number;
  readonly hook?: string;
  /** Writes a second of the rewrap. */
  readonly rate?: number;
  /** `finish` only. */
  readonly snapshots?: string;
  readonly ledger?: string;
  readonly output: OutputFormat;
}

export async function rotate(options: RotateOptions, finish: boolean): Promise<void> {
  const outcome = await runUntilDone(async (signal) =>
    runRotation(options.state, finish, await toolsFor(options, signal)),
  );
  if (outcome.kind === 'stopped') process.exitCode = exitCodes.negative;
  showRotation(outcome.state, options.output, outcome);
}

export async function rotateStatus({
  state,
  output,
}: Pick<RotateOptions, 'state' | 'output'>): Promise<void> {
  showPlan(await readRotationState(state), output, 'status');
}

export async function rotateAbandon({
  state,
  output,
}: Pick<RotateOptions, 'state' | 'output'>): Promise<void> {
  showPlan(
    await abandonRotation({ stateFile: state, randomBytes, now: () => new Date() }),
    output,
    'planned',
  );
}

/** A rotation that nobody takes forward now. */
function showPlan(state: RotationState, output: OutputFormat, kind: 'planned' | 'status'): void {
  const end = state.abandonedAt === undefined ? 'finished' : 'abandoned';
  showRotation(state, output, nextStep(state) === undefined ? { kind: end, state } : { kind });
}

async function toolsFor(options: RotateOptions, signal: AbortSignal): Promise<RotationTools> {
  const { servers = [], hook, confirm, snapshots, ledger, output } = options;
  const access = await readEtcdAccess(options);
  const steps = (step: string): void => {
    console.error(output === 'json' ? JSON.stringify({ step }) : `${step} …`);
  };
  let waitedFor = '';
  const waiting = (missing: readonly { readonly server: string; readonly detail: string }[]): void => {
    const text =
      output === 'json'
        ? printableJson({ waitingFor: missing.map(({ server, detail }) => ({ server, detail })) })
        : missing.map(({ server, detail }) => printable(`  ${server}: ${detail}`)).join('\n');
    // Servers are asked every few seconds: only what changed is worth a line.
    if (missing.length > 0 && text !== waitedFor) console.error(text);
    waitedFor = text;
  };
  return {
    now: () => new Date(),
    signal,
    prefix: options.prefix,
    servers,
    proofTimeoutMs: options.waitSeconds * 1000,
    fetchMetrics: createMetricsReader(options, signal),
    // Aborted it ends early; the run looks at the signal itself.
    wait: (ms) => sleep(ms, undefined, { signal }).catch(() => undefined),
    openSource: () => openEtcdSource({ ...access, signal }),
    rewrap: (file, checkpoint) => rewrapWith(file, checkpoint, options, access, signal),
    mayRetire: (key, source) =>
      mayRetire({
        key: parseKeyReference(key),
        source,
        signal,
        prefix: keyPrefix(options).toString(),
        ...(snapshots === undefined ? {} : { backups: { directory: snapshots, open: openSnapshotSource } }),
        ...(ledger === undefined ? {} : { ledgerFile: ledger }),
      }),
    ...(hook === undefined ? {} : { distribute: (file, hash) => runHook(hook, file, hash, signal) }),
    ...(confirm === undefined ? {} : { confirmed: confirm }),
    onProofs: (proofs) => waiting(proofs.filter(({ proven }) => !proven)),
    onStep: (step, phase) => {
      if (phase === 'begins') steps(step);
    },
  };
}

async function rewrapWith(
  file: string,
  checkpoint: string,
  options: RotateOptions,
  access: EtcdAccess,
  signal: AbortSignal,
): ReturnType<RotationTools['rewrap']> {
  const { prefix, rate, output } = options;
  const text = await readFile(file, 'utf8');
  const resources = coveredBy(parseConfig(text, file));
  const { listed, stale, rewritten, conflicts, gone, failed, remaining } = await rewrapEtcd({
    access,
    file,
    text,
    resources,
    prefix,
    rate,
    checkpoint,
    output,
    signal,
  });
  // What another server wrote the old way since is left too, and counts as not done.
  return { listed, stale, rewritten, conflicts, gone, failed: Math.max(failed, remaining) };
}

/** What it prints goes to standard error: standard output is the report's. */
async function runHook(command: string, file: string, hash: string, signal: AbortSignal): Promise<void> {
  const child = spawn('/bin/sh', ['-c', command, 'hook', file, hash], { stdio: ['ignore', 2, 2], signal });
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code === 0) return;
  throw new CliError(
    `the command of --hook failed${code === null ? '' : ` with exit code ${code}`}`,
    'The file on this machine is written. Mend the command and run this again.',
    exitCodes.environment,
  );
}
