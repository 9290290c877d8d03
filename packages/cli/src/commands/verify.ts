/** `waxseal verify`: which stored values cannot be read, and why. */
import {
  decodeStoredObject,
  OpsError,
  refuseWrongPrefix,
  type Source,
  verify,
  verifyAdvice,
  type VerifyFailure,
  type VerifyResult,
} from '@waxseal/ops';
import { CliError, exitCodes } from '../errors.js';
import { runUntilDone } from '../lifetime.js';
import type { OutputFormat } from '../options.js';
import { openProgress } from '../progress.js';
import { keyPrefix, sourceOpener, type SourceOptions } from '../source-options.js';
import { formatTable } from '../table.js';
import { printable, printableJson } from '../terminal-text.js';

/** Of each cause; the rest is a number. */
const MESSAGES_MAX = 20;

export interface VerifyCommandOptions extends SourceOptions {
  readonly encryptionConfig: string;
  readonly all: boolean;
  readonly decode: boolean;
  readonly workers: number;
  readonly output: OutputFormat;
}

export async function verifyCommand(options: VerifyCommandOptions): Promise<void> {
  const open = await sourceOpener(options);
  await runUntilDone(async (signal) => {
    // Asking a KMS takes longer than a compaction lets a revision live.
    const source = await open({ signal, whenCompacted: 'go-on' });
    try {
      await verifySource(source, options, signal);
    } finally {
      await source.close();
    }
  });
}

async function verifySource(
  source: Source,
  options: VerifyCommandOptions,
  signal: AbortSignal,
): Promise<void> {
  const progress = await openProgress(options.output);
  try {
    const result = await verify({
      source,
      prefix: options.prefix,
      encryptionConfigFile: options.encryptionConfig,
      all: options.all,
      workers: options.workers,
      signal,
      ...(options.decode ? { decode: decodeStoredObject } : {}),
      onProgress: ({ seen, total, checked, failed }) =>
        progress.report({
          phase: 'verify',
          done: seen,
          total: Math.max(total, seen),
          counts: { checked, failed },
        }),
    });
    progress.end();
    if (result.seen === 0) await refuseWrongPrefix(source, keyPrefix(options));
    if (result.failed.length > 0) process.exitCode = exitCodes.negative;
    console.log(
      options.output === 'json' ? printableJson(result) : formatResult(result, source.name, options),
    );
  } catch (error) {
    progress.end();
    throw error instanceof OpsError && error.code === 'interrupted'
      ? new CliError('interrupted', error.message, 130, { cause: error })
      : error;
  }
}

function formatResult(result: VerifyResult, name: string, { all }: VerifyCommandOptions): string {
  const { checked, seen, failed } = result;
  const opened = checked - failed.length;
  const left =
    all && checked < seen ? `; ${seen - checked} lie under keys that name no object of an API server` : '';
  const counts = `${printable(name)}: ${seen} values, ${checked} tried, ${opened} open, ${failed.length} do not${left}`;
  if (failed.length === 0) {
    return all || checked === seen
      ? counts
      : `${counts}\nOne value per key was tried; --all opens every one.`;
  }
  const rows = failed.map(({ key, cause, provider, keyName }) => [key, cause, provider, keyName]);
  return [
    formatTable(['KEY', 'CAUSE', 'PROVIDER', 'KEY NAME'], rows),
    '',
    ...byCause(failed).flatMap(([cause, failures]) => [
      `${cause} (${failures.length}):`,
      ...messagesOf(failures),
      `  ${verifyAdvice[cause]}`,
    ]),
    counts,
  ].join('\n');
}

/** Each message once, with the first key that it is about: where a moved value came from differs from value to value. */
function messagesOf(failures: readonly VerifyFailure[]): readonly string[] {
  const keys = new Map<string, string[]>();
  for (const { key, message } of failures) {
    const known = keys.get(message);
    if (known === undefined) keys.set(message, [key]);
    else known.push(key);
  }
  const lines = [...keys].map(([message, [first = '', ...others]]) => {
    const more = others.length === 0 ? '' : ` and ${others.length} more`;
    return printable(`  ${first}${more}: ${message}`);
  });
  const left = lines.length - MESSAGES_MAX;
  return left > 0
    ? [...lines.slice(0, MESSAGES_MAX), `  and ${left} other messages; --output json has them all`]
    : lines;
}

function byCause(
  failed: readonly VerifyFailure[],
): readonly (readonly [VerifyFailure['cause'], readonly VerifyFailure[]])[] {
  const causes = new Map<VerifyFailure['cause'], VerifyFailure[]>();
  for (const failure of failed) {
    const known = causes.get(failure.cause);
    if (known === undefined) causes.set(failure.cause, [failure]);
    else known.push(failure);
  }
  return [...causes];
}
