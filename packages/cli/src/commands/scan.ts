/** `waxseal scan`: reads every stored value once and says what is sealed with which key. */
import { readFile } from 'node:fs/promises';
import {
  againWhenCompacted,
  checkPolicy,
  parsePolicy,
  type PolicyRule,
  refuseWrongPrefix,
  requireSealed,
  resourcesNotStored,
  scan,
  type Source,
} from '@waxseal/ops';
import { exitCodes } from '../errors.js';
import { runUntilDone } from '../lifetime.js';
import { writePrivateFile } from '../private-files.js';
import { openProgress } from '../progress.js';
import type { ScanReport } from '../scan-report/report.js';
import { keyPrefix, sourceOpener, type SourceOptions } from '../source-options.js';

export interface ScanCommandOptions extends SourceOptions {
  readonly output: 'text' | 'json' | 'csv' | 'html';
  readonly dekSources: boolean;
  readonly require?: readonly string[];
  readonly policy?: string;
  readonly openmetrics?: string;
}

/** Who collects metrics is another user. */
const METRICS_MODE = 0o644;

export async function scanCommand(options: ScanCommandOptions): Promise<void> {
  const rules = await readRules(options);
  const open = await sourceOpener(options);
  const report = await runUntilDone((signal) =>
    againWhenCompacted(async () => takeReport(await open({ signal }), options, rules, signal)),
  );
  if (options.openmetrics !== undefined) {
    const { openMetricsReport } = await import('../scan-report/open-metrics.js');
    writePrivateFile(options.openmetrics, await openMetricsReport(report), METRICS_MODE);
  }
  console.log(await render(report, options));
  if (report.violations !== undefined && report.violations.length > 0) process.exitCode = exitCodes.negative;
}

/** Undefined: nothing was asked for. */
async function readRules({
  require,
  policy,
}: ScanCommandOptions): Promise<readonly PolicyRule[] | undefined> {
  if (require === undefined && policy === undefined) return undefined;
  return [
    ...(require === undefined ? [] : [requireSealed(require)]),
    ...(policy === undefined ? [] : parsePolicy(await readFile(policy, 'utf8'), policy)),
  ];
}

/** Closes the source. */
async function takeReport(
  source: Source,
  options: ScanCommandOptions,
  rules: readonly PolicyRule[] | undefined,
  signal: AbortSignal,
): Promise<ScanReport> {
  try {
    const progress = await openProgress(options.output === 'json' ? 'json' : 'text');
    try {
      const result = await scan(source, {
        prefix: keyPrefix(options),
        signal,
        onProgress: (done, total = done) => progress.report({ phase: 'scan', done, total }),
      });
      if (result.total === 0) await refuseWrongPrefix(source, keyPrefix(options));
      return {
        ...result,
        prefix: options.prefix,
        takenAtMs: Date.now(),
        ...(rules === undefined
          ? {}
          : { violations: checkPolicy(result, rules), notStored: resourcesNotStored(result, rules) }),
      };
    } finally {
      progress.end();
    }
  } finally {
    await source.close();
  }
}

async function render(report: ScanReport, { output, dekSources }: ScanCommandOptions): Promise<string> {
  switch (output) {
    case 'json':
      return (await import('../scan-report/json.js')).jsonReport(report);
    case 'csv':
      return (await import('../scan-report/csv.js')).csvReport(report, dekSources);
    case 'html':
      return (await import('../scan-report/html.js')).htmlReport(report);
    default: {
      const color = process.stdout.isTTY && process.stdout.hasColors();
      return (await import('../scan-report/text.js')).textReport(report, dekSources, color);
    }
  }
}
