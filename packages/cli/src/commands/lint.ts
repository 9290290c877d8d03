/** `waxseal lint FILE`: findings about an EncryptionConfiguration, and about the change to it. */
import { statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import {
  anyAtLeast,
  type FileStatus,
  type Finding,
  type Inventory,
  inventoryOf,
  lintConfig,
  scan,
  type Severity,
} from '@waxseal/ops';
import { exitCodes } from '../errors.js';
import { isAccessGiven } from '../etcd-access.js';
import { runUntilDone } from '../lifetime.js';
import type { OutputFormat } from '../options.js';
import { openProgress } from '../progress.js';
import { keyPrefix, openSource, type SourceOptions } from '../source-options.js';
import { printable, printableJson } from '../terminal-text.js';

export interface LintCommandOptions extends SourceOptions {
  readonly against?: string;
  readonly oneServer: boolean;
  readonly failOn: Severity;
  readonly output: OutputFormat;
}

export async function lint(file: string, options: LintCommandOptions): Promise<void> {
  const inventory = await storedValues(options);
  const findings = lintConfig(
    { file, text: await readFile(file, 'utf8') },
    {
      severalServers: !options.oneServer,
      lookAt: statusOf,
      ...(inventory === undefined ? {} : { inventory }),
      ...(options.against === undefined
        ? {}
        : { previous: { file: options.against, text: await readFile(options.against, 'utf8') } }),
    },
  );
  if (anyAtLeast(findings, options.failOn)) process.exitCode = exitCodes.negative;
  console.log(options.output === 'json' ? printableJson({ file, findings }) : formatFindings(file, findings));
}

/** Undefined when no source is named. */
async function storedValues(options: LintCommandOptions): Promise<Inventory | undefined> {
  const { etcd, snapshot, dataDir } = options;
  const isNamed = [etcd, snapshot, dataDir].some((given) => given !== undefined);
  if (!isNamed && !isAccessGiven(options)) return undefined;
  return runUntilDone(async (signal) => {
    const source = await openSource(options, { signal });
    const progress = await openProgress(options.output);
    try {
      const onProgress = (done: number, total = done): void =>
        progress.report({ phase: 'scan', done, total });
      return inventoryOf(await scan(source, { prefix: keyPrefix(options), signal, onProgress }));
    } finally {
      progress.end();
      await source.close();
    }
  });
}

/** Undefined also for what may not be looked at: the finding then says that it is not there. */
function statusOf(path: string): FileStatus | undefined {
  try {
    const stat = statSync(path);
    return { mode: stat.mode & 0o7777, isSocket: stat.isSocket() };
  } catch {
    return undefined;
  }
}

function formatFindings(file: string, findings: readonly Finding[]): string {
  if (findings.length === 0) return `${file}: nothing found`;
  const count = (severity: Severity, one: string): string => {
    const number = findings.filter((each) => each.severity === severity).length;
    return `${number} ${one}${number === 1 ? '' : 's'}`;
  };
  return [
    ...findings.map(formatFinding),
    `${file}: ${count('error', 'error')}, ${count('warning', 'warning')}, ${count('info', 'note')}`,
  ].join('\n');
}

function formatFinding({ id, severity, where, why, fix, source, resources, values }: Finding): string {
  const stored = values === undefined ? '' : ` (values stored: ${values})`;
  return [
    printable(`${severity}: ${where === '' ? '' : `${where}: `}${why}${stored} [${id}]`),
    ...(resources === undefined ? [] : [printable(`  concerns ${resources.join(', ')}`)]),
    `  ${fix}`,
    `  ${source}`,
    '',
  ].join('\n');
}
