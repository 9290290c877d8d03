/**
 * An EncryptionConfiguration's findings: what kube-apiserver would refuse, what is weak, what stored values lack, and what a change to it
 * would make unreadable.
 */
import { dirname } from 'node:path';
import { type EncryptionConfiguration, readEncryptionConfig } from '@waxseal/encryption-config';
import { OpsError } from '../errors.js';
import { compareConfigurations } from './compare.js';
import { checkCoverage } from './coverage-checks.js';
import { checkFile, type LookAtFile } from './file-checks.js';
import { bySeverity, type Finding, finding } from './finding.js';
import type { Inventory } from './inventory.js';
import { checkKeyMaterial, checkKeyNames } from './key-checks.js';
import { checkKms } from './kms-checks.js';
import { checkProviders } from './provider-checks.js';

export interface ConfigText {
  /** Named in findings; looked at through `lookAt` only. */
  readonly file: string;
  readonly text: string;
}

export interface LintOptions {
  /** In force now: what changing from it to the linted file does is told too. */
  readonly previous?: ConfigText;
  /** What is stored. */
  readonly inventory?: Inventory;
  /** True by default: API servers change over one by one. */
  readonly severalServers?: boolean;
  /** Permissions of the file and of sockets; without it they are not looked at. */
  readonly lookAt?: LookAtFile;
}

/**
 * Findings, worst first. Of an invalid file only what is invalid.
 *
 * @throws OpsError config-invalid when `previous` cannot be used
 */
export function lintConfig({ file, text }: ConfigText, options: LintOptions = {}): readonly Finding[] {
  const { config, errors } = readEncryptionConfig(text, { fileName: file, kmsV1Enabled: true });
  if (config === undefined) {
    return errors.map(({ field, message }) => finding('invalid', { where: field, why: message }));
  }
  const { previous, inventory, lookAt, severalServers = true } = options;
  return bySeverity([
    ...(lookAt === undefined ? [] : checkFile(config, file, dirname(file), lookAt)),
    ...checkKeyMaterial(config),
    ...checkKeyNames(config),
    ...checkProviders(config, inventory),
    ...checkCoverage(config, inventory),
    ...checkKms(config, lookAt),
    ...(previous === undefined
      ? []
      : compareConfigurations(readPrevious(previous), config, {
          severalServers,
          ...(inventory === undefined ? {} : { inventory }),
        })),
  ]);
}

function readPrevious({ file, text }: ConfigText): EncryptionConfiguration {
  const { config, message } = readEncryptionConfig(text, { fileName: file, kmsV1Enabled: true });
  if (config === undefined) {
    throw new OpsError('config-invalid', `The previous configuration ${file} cannot be used: ${message}`);
  }
  return config;
}
