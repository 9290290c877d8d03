/**
 * One configuration in force: read, built, probed, and closed as a whole.
 *
 * Source of the rule: k8s.io/apiserver `server/options/encryptionconfig` (LoadEncryptionConfig).
 */
import { createHash } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { readFile } from 'node:fs/promises';
import { errorMessage } from '@waxseal/envelope';
import type { HealthCheck } from './at-rest.js';
import {
  ONE_HEALTH_CHECK_NAME,
  providerCheckName,
  readEncryptionConfig,
  usesOneHealthCheck,
} from './check.js';
import { EncryptionConfigError, joinMessages } from './errors.js';
import type { KmsProbe } from './health.js';
import { buildTransformers, type BuildOptions, type BuiltTransformers } from './transformers.js';

export interface LoadOptions extends Omit<BuildOptions, 'signal'> {
  readonly file: string;
  readonly kmsV1Enabled: boolean;
  readonly automaticReload: boolean;
}

export interface LoadedConfiguration extends Pick<BuiltTransformers, 'transformerFor'> {
  /** `sha256:` and hex, of the file's bytes. */
  readonly contentHash: string;
  readonly healthChecks: readonly HealthCheck[];
  /** How long calls under way may still take once nothing new begins. */
  readonly closeGraceMs: number;
  /** Ends polling and closes connections; calls under way fail. */
  readonly close: () => void;
}

/** @throws EncryptionConfigError `unreadable-file` */
export async function hashConfigFile(file: string): Promise<string> {
  return hashOf(await readConfigFile(file));
}

/**
 * Resolves once every KMS v2 plugin was asked, healthy or not.
 *
 * @throws EncryptionConfigError `unreadable-file`, `invalid-configuration`
 */
export async function loadConfiguration(options: LoadOptions): Promise<LoadedConfiguration> {
  const bytes = await readConfigFile(options.file);
  const { config, errors, message } = readEncryptionConfig(bytes.toString('utf8'), {
    ...options,
    fileName: options.file,
  });
  if (config === undefined) {
    throw new EncryptionConfigError('invalid-configuration', message, { fieldErrors: errors });
  }
  const abort = new AbortController();
  // Every provider and every call under way listens; their number is no leak.
  setMaxListeners(0, abort.signal);
  const close = (): void => {
    abort.abort(new Error('the encryption configuration is closed'));
  };
  try {
    const built = buildTransformers(config, { ...options, signal: abort.signal });
    await built.primed;
    return {
      transformerFor: built.transformerFor,
      contentHash: hashOf(bytes),
      healthChecks: usesOneHealthCheck(config, options.automaticReload)
        ? [oneHealthCheck(built.probes)]
        : built.probes.map((probe, i) => ({ name: providerCheckName(i), check: probe.check })),
      closeGraceMs: 2 * built.kmsTimeoutSumMs,
      close,
    };
  } catch (error) {
    close();
    throw new EncryptionConfigError(
      'invalid-configuration',
      `error while building transformers: ${errorMessage(error)}`,
      { cause: error },
    );
  }
}

function oneHealthCheck(probes: readonly KmsProbe[]): HealthCheck {
  return {
    name: ONE_HEALTH_CHECK_NAME,
    async check() {
      const problems: string[] = [];
      for (const [i, probe] of probes.entries()) {
        try {
          await probe.check();
        } catch (error) {
          problems.push(`${providerCheckName(i)}: ${errorMessage(error)}`);
        }
      }
      const problem = joinMessages(problems);
      if (problem !== undefined) throw new EncryptionConfigError('kms-unhealthy', problem);
    },
  };
}

async function readConfigFile(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (error) {
    throw new EncryptionConfigError(
      'unreadable-file',
      `error while loading file: error reading encryption provider configuration file ${JSON.stringify(file)}: ${errorMessage(error)}`,
      { cause: error },
    );
  }
}

function hashOf(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}
