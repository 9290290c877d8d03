/** `waxseal rewrap`: re-encryption of what is stale in a live etcd, or through an API server. */
import { readFile } from 'node:fs/promises';
import type { RewrapReport } from '@waxseal/ops';
import { exitCodes, usageError } from '../errors.js';
import { readEtcdAccess } from '../etcd-access.js';
import { runUntilDone } from '../lifetime.js';
import { printable, printableJson } from '../terminal-text.js';
import { rewrapEtcd } from './rewrap-etcd.js';
import {
  coveredBy,
  goOnLater,
  parseConfig,
  refuseUncovered,
  type RewrapCommandOptions,
} from './rewrap-options.js';
import { rewrapViaApiCommand } from './rewrap-via-api.js';

export async function rewrapCommand(options: RewrapCommandOptions): Promise<void> {
  const { etcd, viaApi, encryptionConfig } = options;
  if (viaApi !== undefined) return rewrapViaApiCommand(options, viaApi);
  if (etcd === undefined) {
    throw usageError('name one of --etcd and --via-api', 'For example: --etcd https://127.0.0.1:2379');
  }
  if (options.patchType !== 'auto') {
    throw usageError('--patch-type is for --via-api', 'With --etcd values are put in place directly.');
  }
  if (encryptionConfig === undefined) {
    throw usageError(
      '--etcd needs --encryption-config',
      'Name the EncryptionConfiguration that the API servers have.',
    );
  }
  return inEtcd(options, encryptionConfig);
}

async function inEtcd(options: RewrapCommandOptions, file: string): Promise<void> {
  const { checkpoint, output } = options;
  const text = await readFile(file, 'utf8');
  const access = await readEtcdAccess(options);
  const config = parseConfig(text, file);
  const resources = options.resources ?? coveredBy(config);
  refuseUncovered(resources, config, file);
  const { prefix, dryRun, offline, workers, rate } = options;
  const from = { access, file, text, resources, prefix };
  try {
    const report = await runUntilDone((signal) =>
      rewrapEtcd({ ...from, dryRun, offline, workers, rate, checkpoint, output, signal }),
    );
    print(report, options);
  } catch (error) {
    throw goOnLater(error, checkpoint);
  }
}

function print(report: RewrapReport, { output, dryRun, resources }: RewrapCommandOptions): void {
  const undone = report.failed > 0 || !report.addsUp || (!dryRun && report.remaining > 0);
  if (undone) process.exitCode = exitCodes.negative;
  if (output === 'json') {
    console.log(printableJson(report));
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
  for (const { key, message } of report.failures) console.log(printable(`  ${key}: ${message}`));
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
