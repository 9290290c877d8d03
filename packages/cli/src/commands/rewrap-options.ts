/** What `waxseal rewrap` takes, whichever way it goes, and what it says when that does not do. */
import {
  type EncryptionConfiguration,
  EncryptionConfigError,
  parseGroupResource,
  readEncryptionConfig,
  rulesFor,
} from '@waxseal/encryption-config';
import { OpsError, type PatchType } from '@waxseal/ops';
import { CliError, exitCodes, usageError } from '../errors.js';
import type { EtcdOptions } from '../etcd-access.js';
import type { OutputFormat } from '../options.js';

export interface RewrapCommandOptions extends EtcdOptions {
  readonly prefix: string;
  readonly encryptionConfig?: string;
  readonly resources?: readonly string[];
  readonly dryRun: boolean;
  readonly offline: boolean;
  readonly workers?: number;
  readonly rate?: number;
  readonly checkpoint?: string;
  /** True: the server that the kubeconfig names. */
  readonly viaApi?: string | true;
  readonly patchType: PatchType | 'auto';
  readonly kubeconfig?: string;
  readonly output: OutputFormat;
}

/** @throws EncryptionConfigError as the API server refuses the file */
export function parseConfig(text: string, file: string): EncryptionConfiguration {
  const { config, errors, message } = readEncryptionConfig(text, { fileName: file, kmsV1Enabled: true });
  if (config !== undefined) return config;
  throw new EncryptionConfigError('invalid-configuration', message, { fieldErrors: errors });
}

export function coveredBy(config: EncryptionConfiguration): readonly string[] {
  return [...new Set(config.resources.flatMap((entry) => entry.resources))];
}

/**
 * A resource without a rule is written in plaintext, and whoever names one has misspelt it or has the wrong file. Wildcards may name more than is covered.
 *
 * @throws CliError
 */
export function refuseUncovered(
  resources: readonly string[],
  config: EncryptionConfiguration,
  file: string,
): void {
  const rules = new Set(coveredBy(config));
  const uncovered = resources.filter(
    (name) => !name.startsWith('*') && !rulesFor(parseGroupResource(name)).some((rule) => rules.has(rule)),
  );
  if (uncovered.length === 0) return;
  throw usageError(
    `${file} has no rule for ${uncovered.join(', ')}`,
    `It covers ${[...rules].join(', ')}. Names are plural, with their group, as secrets,deployments.apps.`,
  );
}

/** Says how to go on after what ended a run. */
export function goOnLater(error: unknown, checkpoint: string | undefined): unknown {
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
