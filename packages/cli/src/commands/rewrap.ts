/** `waxseal rewrap`: re-encryption of what is stale in a live etcd, or through an API server. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import {
  createEncryptionAtRest,
  EncryptionConfigError,
  readEncryptionConfig,
} from '@waxseal/encryption-config';
import {
  OpsError,
  openEtcdSource,
  readKubeconfig,
  refuseWrongPrefix,
  rewrap,
  type RewrapReport,
  rewrapViaApi,
  type RewrapViaApiReport,
} from '@waxseal/ops';
import { openEtcdStore } from '@waxseal/storage';
import { CliError, exitCodes } from '../errors.js';
import { holdingClock } from '../holding-clock.js';
import { runUntilDone } from '../lifetime.js';
import type { OutputFormat } from '../options.js';
import { openProgress } from '../progress.js';
import { type EtcdAccess, type EtcdOptions, readEtcdAccess } from '../etcd-access.js';
import { keyPrefix } from '../source-options.js';

export interface RewrapCommandOptions extends EtcdOptions {
  readonly prefix: string;
  readonly encryptionConfig?: string;
  readonly resources?: readonly string[];
  readonly dryRun: boolean;
  readonly workers?: number;
  readonly rate?: number;
  readonly checkpoint?: string;
  /** True: the server that the kubeconfig names. */
  readonly viaApi?: string | true;
  readonly kubeconfig?: string;
  readonly output: OutputFormat;
}

const DIAL_TIMEOUT_MS = 5_000;
/** Longer than a leader election; the run itself is patient beyond it. */
const REQUEST_TIMEOUT_MS = 10_000;

export async function rewrapCommand(options: RewrapCommandOptions): Promise<void> {
  const { etcd, viaApi, encryptionConfig } = options;
  if ((etcd === undefined) === (viaApi === undefined)) {
    throw usage('name one of --etcd and --via-api', 'For example: --etcd https://127.0.0.1:2379');
  }
  if (viaApi !== undefined) return viaApiServer(options, viaApi);
  if (encryptionConfig === undefined) {
    throw usage(
      '--etcd needs --encryption-config',
      'Name the EncryptionConfiguration that the API servers have.',
    );
  }
  return inEtcd(options, encryptionConfig);
}

async function inEtcd(options: RewrapCommandOptions, file: string): Promise<void> {
  const { checkpoint, output, workers } = options;
  const bytes = await readFile(file);
  const access = await readEtcdAccess(options);
  const resources = options.resources ?? coveredBy(bytes.toString('utf8'), file);
  const encryption = await createEncryptionAtRest({ file, kmsV1Enabled: true });
  try {
    const store = await openEtcdStore({
      ...access,
      dialTimeoutMs: DIAL_TIMEOUT_MS,
      requestTimeoutMs: REQUEST_TIMEOUT_MS,
    });
    const progress = await openProgress(output);
    try {
      const report = await runUntilDone((signal) =>
        rewrap({
          store,
          transformerFor: (resource) => encryption.transformerFor(resource),
          resources,
          prefix: options.prefix,
          dryRun: options.dryRun,
          ...(workers === undefined ? {} : { workers }),
          ...(options.rate === undefined ? {} : { ratePerSecond: options.rate }),
          ...(checkpoint === undefined
            ? {}
            : { checkpoint: { path: checkpoint, configHash: hashOf(bytes) } }),
          signal,
          clock: holdingClock,
          onProgress: ({ phase, done, total, etaMs, rewritten, failed }) =>
            progress.report({ phase, done, total, etaMs, counts: { rewritten, failed } }),
        }),
      );
      progress.end();
      if (report.listed === 0) await refuseWrongPrefixOf(options, access);
      print(report, options);
    } catch (error) {
      progress.end();
      throw goOnLater(error, checkpoint);
    } finally {
      await store.close();
    }
  } finally {
    await encryption.close();
  }
}

async function refuseWrongPrefixOf(options: RewrapCommandOptions, access: EtcdAccess): Promise<void> {
  const source = await openEtcdSource(access);
  try {
    await refuseWrongPrefix(source, keyPrefix(options));
  } finally {
    await source.close();
  }
}

async function viaApiServer(options: RewrapCommandOptions, server: string | true): Promise<void> {
  const { encryptionConfig: file, workers, rate, output } = options;
  if (options.dryRun || options.checkpoint !== undefined) {
    throw usage(
      '--dry-run and --checkpoint are for --etcd',
      'An API server does not tell what is stale; running --via-api again is harmless.',
    );
  }
  const resources =
    options.resources ?? (file === undefined ? undefined : coveredBy(await readFile(file, 'utf8'), file));
  if (resources === undefined) {
    throw usage('--via-api needs --resources or --encryption-config', 'For example: --resources secrets');
  }
  const kubeconfig = options.kubeconfig ?? process.env['KUBECONFIG'] ?? join(homedir(), '.kube/config');
  const access = readKubeconfig(kubeconfig, server === true ? undefined : server);
  const progress = await openProgress(output);
  try {
    const report = await runUntilDone((signal) =>
      rewrapViaApi({
        access,
        resources,
        ...(workers === undefined ? {} : { workers }),
        ...(rate === undefined ? {} : { ratePerSecond: rate }),
        signal,
        clock: holdingClock,
        onProgress: ({ done, total, rewritten, failed }) =>
          progress.report({ phase: 'rewrap', done, total, counts: { rewritten, failed } }),
      }),
    );
    progress.end();
    printViaApi(report, output);
  } catch (error) {
    progress.end();
    throw goOnLater(error, undefined);
  }
}

function usage(message: string, hint: string): CliError {
  return new CliError(message, hint, exitCodes.usage);
}

/** @throws EncryptionConfigError as the API server refuses the file */
function coveredBy(text: string, file: string): readonly string[] {
  const { config, errors, message } = readEncryptionConfig(text, { fileName: file, kmsV1Enabled: true });
  if (config === undefined) {
    throw new EncryptionConfigError('invalid-configuration', message, { fieldErrors: errors });
  }
  return [...new Set(config.resources.flatMap((entry) => entry.resources))];
}

function hashOf(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

function print(report: RewrapReport, { output, dryRun }: RewrapCommandOptions): void {
  const undone = report.failed > 0 || !report.addsUp || (!dryRun && report.remaining > 0);
  if (undone) process.exitCode = exitCodes.negative;
  if (output === 'json') {
    console.log(JSON.stringify(report));
    return;
  }
  const { listed, stale, skipped, rewritten, conflicts, gone, failed, late } = report;
  console.log(`${listed} objects: ${stale} stale, ${skipped} as they should be`);
  if (!dryRun) {
    console.log(
      `${rewritten} rewritten, ${conflicts} rewritten by others meanwhile, ${gone} deleted meanwhile, ${failed} failed`,
    );
    if (late > 0) console.log(`${late} written the old way during the run, and rewritten too`);
    console.log(whatIsLeft(report));
  }
  for (const { key, message } of report.failures) console.log(`  ${key}: ${message}`);
  if (report.failures.length < failed) console.log(`  and ${failed - report.failures.length} more`);
  if (!report.addsUp) console.log('The counts do not add up. This is a fault in Waxseal: please report it.');
}

/** In words that add up with what failed. */
function whatIsLeft({ failed, remaining }: RewrapReport): string {
  const old = 'under an old key, or in plaintext';
  const unreadable = 'lie under the current key, but do not open: waxseal verify says why';
  if (remaining > failed) {
    const others = `${remaining - failed} were written while this ran: see that every API server has this configuration, and start again`;
    return `Read again at the end: ${remaining} are still ${old}. ${failed === 0 ? '' : `${failed} of them failed; `}${others}.`;
  }
  if (failed === 0) return 'Proved by reading again: nothing is left.';
  if (remaining === failed)
    return `Read again at the end: the ${failed} that failed are still ${old}, nothing else is.`;
  if (remaining === 0)
    return `Read again at the end: nothing is left ${old}. The ${failed} that failed ${unreadable}.`;
  return `Read again at the end: of the ${failed} that failed, ${remaining} are still ${old}, and ${failed - remaining} ${unreadable}.`;
}

function printViaApi(report: RewrapViaApiReport, output: OutputFormat): void {
  if (report.failed > 0 || !report.addsUp) process.exitCode = exitCodes.negative;
  if (output === 'json') {
    console.log(JSON.stringify(report));
    return;
  }
  const { listed, skipped, rewritten, conflicts, gone, failed, failures } = report;
  console.log(
    `${listed} objects: ${rewritten} rewritten, ${skipped} as they should be, ${conflicts} written by others meanwhile, ${gone} deleted meanwhile, ${failed} failed`,
  );
  for (const { key, message } of failures) console.log(`  ${key}: ${message}`);
}

function goOnLater(error: unknown, checkpoint: string | undefined): unknown {
  if (!(error instanceof OpsError)) return error;
  const hint =
    checkpoint === undefined
      ? 'What is rewritten stays so. Start it again to do the rest.'
      : `What is rewritten stays so. Start it again with --checkpoint ${checkpoint} to go on.`;
  switch (error.code) {
    case 'interrupted':
      return new CliError('interrupted', hint, 130, { cause: error });
    case 'source-unreadable':
      return new CliError(error.message, hint, exitCodes.environment, { cause: error });
    default:
      return error;
  }
}
