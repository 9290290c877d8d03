/** `waxseal rewrap`: re-encryption of what is stale in a live etcd, or through an API server. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createEncryptionAtRest } from '@waxseal/encryption-config';
import { openEtcdSource, refuseWrongPrefix, rewrap, type RewrapReport } from '@waxseal/ops';
import { openEtcdStore } from '@waxseal/storage';
import { exitCodes } from '../errors.js';
import { type EtcdAccess, readEtcdAccess } from '../etcd-access.js';
import { holdingClock } from '../holding-clock.js';
import { withKmsReason } from '../kms-reason.js';
import { runUntilDone } from '../lifetime.js';
import { openProgress } from '../progress.js';
import { keyPrefix } from '../source-options.js';
import {
  coveredBy,
  goOnLater,
  parseConfig,
  refuseUncovered,
  type RewrapCommandOptions,
  usage,
} from './rewrap-options.js';
import { rewrapViaApiCommand } from './rewrap-via-api.js';

const DIAL_TIMEOUT_MS = 5_000;
/** Longer than a leader election; the run itself is patient beyond it. */
const REQUEST_TIMEOUT_MS = 10_000;

export async function rewrapCommand(options: RewrapCommandOptions): Promise<void> {
  const { etcd, viaApi, encryptionConfig } = options;
  if (viaApi !== undefined) return rewrapViaApiCommand(options, viaApi);
  if (etcd === undefined) {
    throw usage('name one of --etcd and --via-api', 'For example: --etcd https://127.0.0.1:2379');
  }
  if (options.patchType !== 'auto') {
    throw usage('--patch-type is for --via-api', 'With --etcd values are put in place directly.');
  }
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
  const config = parseConfig(bytes.toString('utf8'), file);
  const resources = options.resources ?? coveredBy(config);
  refuseUncovered(resources, config, file);
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
      throw goOnLater(await withKmsReason(error, encryption), checkpoint);
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

function hashOf(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

function print(report: RewrapReport, { output, dryRun, resources }: RewrapCommandOptions): void {
  const undone = report.failed > 0 || !report.addsUp || (!dryRun && report.remaining > 0);
  if (undone) process.exitCode = exitCodes.negative;
  if (output === 'json') {
    console.log(JSON.stringify(report));
    return;
  }
  const { listed, stale, skipped, rewritten, conflicts, gone, failed, late } = report;
  console.log(`${listed} objects: ${stale} stale, ${skipped} as they should be`);
  if (listed === 0 && resources !== undefined) {
    console.log(
      `Nothing lies in etcd of ${resources.join(', ')}. Names are plural, with their group, as deployments.apps.`,
    );
  }
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
  const damaged = 'under the current key, but does not open: waxseal verify says why';
  if (failed === 0 && remaining === 0) return 'Proved by reading again: nothing is left.';
  const found = 'Read again at the end:';
  if (remaining > failed) {
    const both = failed === 0 ? '' : `${failed} of them failed, the others were `;
    return `${found} ${remaining} are still ${old}; ${both}written while this ran. See that every API server has this configuration, and start again.`;
  }
  if (remaining === failed) return `${found} what failed (${failed}) is still ${old}; nothing else is.`;
  if (remaining === 0) return `${found} nothing is left ${old}. What failed (${failed}) is ${damaged}.`;
  return `${found} of the ${failed} that failed, ${remaining} still ${old}, ${failed - remaining} ${damaged}.`;
}
