/** `waxseal plugin explain`: tries keys, prints what it found, and answers by the exit code. */
import { randomBytes } from 'node:crypto';
import {
  createConfiguredKeySets,
  explainKeys,
  formatExplanation,
  systemClock,
  type Provider,
} from '@waxseal/kms-plugin';
import { CliError, exitCodes } from '../errors.js';
import type { OutputFormat } from '../options.js';

interface ExplainOptions {
  readonly config?: string;
  /** `encryptedDEKSource` of a stored value. */
  readonly sealed?: Buffer;
  readonly output: OutputFormat;
}

interface NamedKeySet {
  readonly name: string;
  readonly provider: Provider;
}

/** For each step: longer than an API server waits, so that slow is told from dead. */
const stepTimeoutMs = 10_000;

export async function pluginExplain(options: ExplainOptions): Promise<void> {
  if (options.config === undefined) {
    throw new CliError(
      'neither a provider nor --config is given',
      'Name a provider with its options, or the file of `waxseal plugin serve`.',
      exitCodes.usage,
    );
  }
  await explainKeySets(await createConfiguredKeySets(options.config), options);
}

/** Closes the providers in the end. */
export async function explainKeySets(
  keySets: readonly NamedKeySet[],
  options: Omit<ExplainOptions, 'config'>,
): Promise<void> {
  // The clock's timers do not hold the process, and a backend that hangs need not either.
  const awake = setInterval(() => {}, stepTimeoutMs);
  try {
    const explanation = await explainKeys(keySets, {
      clock: systemClock,
      nowMs: Date.now,
      randomBytes,
      timeoutMs: stepTimeoutMs,
      sealed: options.sealed === undefined ? undefined : { ciphertext: options.sealed, annotations: {} },
    });
    console.log(options.output === 'json' ? JSON.stringify(explanation) : formatExplanation(explanation));
    if (!explanation.works) process.exitCode = exitCodes.negative;
  } finally {
    clearInterval(awake);
    await Promise.all(keySets.map(({ provider }) => provider.close()));
  }
}
