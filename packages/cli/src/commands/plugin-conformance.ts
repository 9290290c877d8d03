/** `waxseal plugin conformance`: runs the kit, prints its report, and answers by the exit code. */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  conformanceChecks,
  conformanceJson,
  conformanceJunit,
  formatCheckResult,
  formatConformanceSummary,
  KmsPluginError,
  runConformance,
} from '@waxseal/kms-plugin';
import { CliError, exitCodes, usageError } from '../errors.js';
import { formatTable } from '../table.js';

interface PluginConformanceOptions {
  readonly output: 'text' | 'json' | 'junit';
  readonly only?: readonly string[];
  readonly skip?: readonly string[];
  readonly list: boolean;
  readonly inFlight: number;
  readonly loadSeconds: number;
  readonly timeout: number;
  readonly waitSeconds: number;
  readonly restartCommand?: string;
  readonly breakCommand?: string;
  readonly healCommand?: string;
  readonly seed?: string;
}

/** What has not answered after this many of the API server's timeouts hangs. */
const hangFactor = 3;

export async function pluginConformance(
  socket: string | undefined,
  options: PluginConformanceOptions,
): Promise<void> {
  if (options.list) {
    listChecks(options.output);
    return;
  }
  if (socket === undefined) throw usageError('which plugin?', 'Name its socket, as unix:///run/kms.sock.');
  if ((options.breakCommand === undefined) !== (options.healCommand === undefined)) {
    throw usageError('--break-command and --heal-command belong together', 'Give both, or neither.');
  }
  const text = options.output === 'text';
  const report = await runConformance({
    endpoint: socket,
    only: options.only,
    skip: options.skip,
    seed: options.seed ?? randomBytes(8).toString('hex'),
    budgetMs: options.timeout * 1000,
    hangMs: options.timeout * 1000 * hangFactor,
    inFlight: options.inFlight,
    loadMs: options.loadSeconds * 1000,
    waitMs: options.waitSeconds * 1000,
    commands: {
      restart: shell('--restart-command', options.restartCommand),
      breakBackend: shell('--break-command', options.breakCommand),
      healBackend: shell('--heal-command', options.healCommand),
    },
    onResult: text ? (result) => console.log(formatCheckResult(result)) : undefined,
  }).catch((error: unknown) => {
    if (error instanceof KmsPluginError && error.code === 'invalid_options')
      throw usageError(error.message, 'See --list.');
    throw error;
  });
  if (text) console.log(formatConformanceSummary(report));
  else if (options.output === 'json') console.log(JSON.stringify(conformanceJson(report)));
  else console.log(conformanceJunit(report));
  if (!report.conforms) process.exitCode = exitCodes.negative;
}

function listChecks(output: PluginConformanceOptions['output']): void {
  const rows = conformanceChecks.map(({ id, title, rule }) => ({ id, title, rule }));
  console.log(
    output === 'json'
      ? JSON.stringify(rows)
      : formatTable(
          ['ID', 'WHAT HOLDS', 'RULE'],
          rows.map(({ id, title, rule }) => [id, title, rule]),
        ),
  );
}

/** What it prints goes to standard error: standard output is the report's. */
function shell(option: string, command: string | undefined): (() => Promise<void>) | undefined {
  if (command === undefined) return undefined;
  return async () => {
    const child = spawn('/bin/sh', ['-c', command], { stdio: ['ignore', 2, 2] });
    const [code] = (await once(child, 'exit')) as [number | null];
    if (code !== 0) {
      throw new CliError(
        `the command of ${option} failed${code === null ? '' : ` with exit code ${code}`}`,
        'Run it by hand to see why.',
        exitCodes.environment,
      );
    }
  };
}
