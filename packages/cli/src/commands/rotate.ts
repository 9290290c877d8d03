/** `waxseal rotate run`, `finish` and `status`. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { createEncryptionAtRest, readEncryptionConfig } from '@waxseal/encryption-config';
import {
  mayRetire,
  nextStep,
  openEtcdSource,
  refuseWrongPrefix,
  openSnapshotSource,
  parseKeyReference,
  readRotationState,
  rewrap,
  type RotationTools,
  runRotation,
} from '@waxseal/ops';
import { openEtcdStore } from '@waxseal/storage';
import { CliError, exitCodes } from '../errors.js';
import { holdingClock } from '../holding-clock.js';
import { runUntilDone } from '../lifetime.js';
import type { OutputFormat } from '../options.js';
import { createMetricsReader, type MetricsAccess } from '../parts/server-metrics.js';
import { openProgress } from '../progress.js';
import { type EtcdOptions, keyPrefix, readEtcdTls } from '../source-options.js';
import { showRotation } from './rotate-report.js';

export interface RotateOptions extends EtcdOptions, MetricsAccess {
  readonly state: string;
  readonly etcd: readonly string[];
  readonly prefix: string;
  readonly servers?: readonly string[];
  readonly confirm?: string;
  readonly waitSeconds: number;
  readonly hook?: string;
  /** `finish` only. */
  readonly snapshots?: string;
  readonly ledger?: string;
  readonly output: OutputFormat;
}

const DIAL_TIMEOUT_MS = 5_000;
/** Longer than a leader election. */
const REQUEST_TIMEOUT_MS = 10_000;

export async function rotate(options: RotateOptions, finish: boolean): Promise<void> {
  const outcome = await runUntilDone((signal) =>
    runRotation(options.state, finish, toolsFor(options, signal)),
  );
  if (outcome.kind === 'stopped') process.exitCode = exitCodes.negative;
  showRotation(outcome.state, options.output, outcome);
}

export async function rotateStatus(options: Pick<RotateOptions, 'state' | 'output'>): Promise<void> {
  const state = await readRotationState(options.state);
  showRotation(
    state,
    options.output,
    nextStep(state) === undefined ? { kind: 'finished', state } : { kind: 'status' },
  );
}

function toolsFor(options: RotateOptions, signal: AbortSignal): RotationTools {
  const { servers = [], hook, confirm, snapshots, ledger, etcd, output } = options;
  const tls = readEtcdTls(options);
  const steps = (step: string): void => {
    console.error(output === 'json' ? JSON.stringify({ step }) : `${step} …`);
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
    openSource: () => openEtcdSource({ endpoints: etcd, ...tls }),
    rewrap: (file) => rewrapWith(file, options, tls, signal),
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
    onStep: (step, phase) => {
      if (phase === 'begins') steps(step);
    },
  };
}

async function rewrapWith(
  file: string,
  options: RotateOptions,
  tls: ReturnType<typeof readEtcdTls>,
  signal: AbortSignal,
): ReturnType<RotationTools['rewrap']> {
  const { config } = readEncryptionConfig(await readFile(file, 'utf8'), {
    fileName: file,
    kmsV1Enabled: true,
  });
  const encryption = await createEncryptionAtRest({ file, kmsV1Enabled: true });
  try {
    const store = await openEtcdStore({
      endpoints: options.etcd,
      ...tls,
      dialTimeoutMs: DIAL_TIMEOUT_MS,
      requestTimeoutMs: REQUEST_TIMEOUT_MS,
    });
    const progress = await openProgress(options.output);
    try {
      const { listed, stale, rewritten, conflicts, gone, failed, remaining } = await rewrap({
        store,
        transformerFor: (resource) => encryption.transformerFor(resource),
        resources: [...new Set(config?.resources.flatMap(({ resources }) => resources))],
        prefix: options.prefix,
        signal,
        clock: holdingClock,
        onProgress: ({ phase, done, total, etaMs }) => progress.report({ phase, done, total, etaMs }),
      });
      if (listed === 0) await refuseWrongPrefixOf(options, tls);
      // What another server wrote the old way since is left too, and counts as not done.
      return { listed, stale, rewritten, conflicts, gone, failed: Math.max(failed, remaining) };
    } finally {
      progress.end();
      await store.close();
    }
  } finally {
    await encryption.close();
  }
}

/** A wrong prefix has nothing to rewrap, and must not pass for done. */
async function refuseWrongPrefixOf(
  options: RotateOptions,
  tls: ReturnType<typeof readEtcdTls>,
): Promise<void> {
  const source = await openEtcdSource({ endpoints: options.etcd, ...tls });
  try {
    await refuseWrongPrefix(source, keyPrefix(options));
  } finally {
    await source.close();
  }
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
