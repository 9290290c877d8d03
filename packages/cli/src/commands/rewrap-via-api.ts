/** `waxseal rewrap --via-api`: the API server itself writes what it finds stale; with `--etcd` a scan proves afterwards that nothing is left. */
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { EncryptionConfiguration } from '@waxseal/encryption-config';
import {
  leftOver,
  openEtcdSource,
  readKubeconfig,
  refuseWrongPrefix,
  rewrapViaApi,
  type RewrapViaApiReport,
  scan,
  type WrittenGroup,
} from '@waxseal/ops';
import { exitCodes, usageError } from '../errors.js';
import { type EtcdAccess, readEtcdAccess } from '../etcd-access.js';
import { holdingClock } from '../holding-clock.js';
import { runUntilDone } from '../lifetime.js';
import { openProgress, type ProgressView } from '../progress.js';
import { keyPrefix } from '../source-options.js';
import { printable, printableJson } from '../terminal-text.js';
import {
  coveredBy,
  goOnLater,
  parseConfig,
  refuseUncovered,
  type RewrapCommandOptions,
} from './rewrap-options.js';

/** What the scan at the end found. */
interface Proof {
  readonly remaining: number;
  readonly written: readonly WrittenGroup[];
}

export async function rewrapViaApiCommand(
  options: RewrapCommandOptions,
  server: string | true,
): Promise<void> {
  const { encryptionConfig: file, output, dryRun } = options;
  if (options.checkpoint !== undefined) {
    throw usageError(
      '--checkpoint is for --etcd',
      'A run through an API server needs none: started again, it reads what is done already and writes only the rest.',
    );
  }
  if (options.offline) {
    throw usageError('--offline is for --etcd', 'Through an API server every object is a write of its own.');
  }
  const config = file === undefined ? undefined : parseConfig(await readFile(file, 'utf8'), file);
  const resources = options.resources ?? (config === undefined ? undefined : coveredBy(config));
  if (resources === undefined) {
    throw usageError(
      '--via-api needs --resources or --encryption-config',
      'For example: --resources secrets',
    );
  }
  if (config !== undefined && file !== undefined) refuseUncovered(resources, config, file);
  // Before anything is patched: files that cannot be read are better known now.
  const etcd = await readEtcdAccess(options);
  const progress = await openProgress(output);
  try {
    const [report, proof] = await runUntilDone(async (signal) => {
      const rewrapped = await throughServer(options, resources, server, progress, signal);
      if (options.etcd === undefined || dryRun) return [rewrapped, undefined] as const;
      return [
        rewrapped,
        await proved(etcd, keyPrefix(options), { resources, config }, progress, signal),
      ] as const;
    });
    progress.end();
    print(report, proof, options);
  } catch (error) {
    progress.end();
    throw goOnLater(error, undefined);
  }
}

function throughServer(
  options: RewrapCommandOptions,
  resources: readonly string[],
  server: string | true,
  progress: ProgressView,
  signal: AbortSignal,
): Promise<RewrapViaApiReport> {
  const { workers, rate, dryRun, patchType } = options;
  const kubeconfig = options.kubeconfig ?? process.env['KUBECONFIG'] ?? join(homedir(), '.kube/config');
  return rewrapViaApi({
    access: readKubeconfig(kubeconfig, server === true ? undefined : server),
    resources,
    dryRun,
    ...(patchType === 'auto' ? {} : { patchType }),
    ...(workers === undefined ? {} : { workers }),
    ...(rate === undefined ? {} : { ratePerSecond: rate }),
    signal,
    clock: holdingClock,
    onProgress: ({ done, total, etaMs, rewritten, failed }) =>
      progress.report({ phase: 'rewrap', done, total, etaMs, counts: { rewritten, failed } }),
  });
}

async function proved(
  etcd: EtcdAccess,
  prefix: Buffer,
  expected: {
    readonly resources: readonly string[];
    readonly config: EncryptionConfiguration | undefined;
  },
  progress: ProgressView,
  signal: AbortSignal,
): Promise<Proof> {
  const source = await openEtcdSource(etcd);
  try {
    const result = await scan(source, {
      prefix,
      signal,
      onProgress: (done, total = done) => progress.report({ phase: 'prove', done, total }),
    });
    if (result.total === 0) await refuseWrongPrefix(source, prefix);
    const written = leftOver(result, expected.resources, expected.config);
    const remaining = written.reduce((sum, { count, left }) => sum + (left ? count : 0), 0);
    return { remaining, written };
  } finally {
    await source.close();
  }
}

function print(
  report: RewrapViaApiReport,
  proof: Proof | undefined,
  { output, dryRun, patchType, encryptionConfig }: RewrapCommandOptions,
): void {
  const { listed, skipped, rewritten, conflicts, gone, failed, failures, patchTypes, unavailable } = report;
  if (failed > 0 || !report.addsUp || (proof?.remaining ?? 0) > 0) process.exitCode = exitCodes.negative;
  if (output === 'json') {
    console.log(printableJson({ ...report, ...proof }));
    return;
  }
  const merged = Object.keys(patchTypes).filter((name) => patchTypes[name] === 'merge');
  if (patchType === 'auto' && merged.length > 0) {
    console.error(
      `The API server takes no server-side apply of ${merged.join(', ')}: empty merge patches did the same.`,
    );
  }
  if (unavailable.length > 0) {
    console.error(
      `Not asked, because its extension API server does not answer: ${unavailable.join(', ')}. The API server itself stores nothing of it.`,
    );
  }
  if (dryRun) {
    console.log(
      `${listed} objects would be patched. Which of them are stale only the API server knows; waxseal scan shows how they lie.`,
    );
    return;
  }
  console.log(
    `${listed} objects: ${rewritten} rewritten, ${skipped} as they should be, ${conflicts} written by others meanwhile, ${gone} deleted meanwhile, ${failed} failed`,
  );
  for (const { key, message } of failures) console.log(printable(`  ${key}: ${message}`));
  if (failures.length < failed) console.log(`  and ${failed - failures.length} more`);
  if (!report.addsUp) console.log('The counts do not add up. This is a fault in Waxseal: please report it.');
  if (proof === undefined) {
    console.log('Nothing is proved without etcd: name --etcd, too, or run waxseal scan.');
    return;
  }
  for (const { resource, provider, key, count, left } of proof.written) {
    const under = provider === 'identity' ? 'in plaintext' : `under ${provider} ${key}`.trim();
    console.log(printable(`  ${resource}: ${count} ${under}${left ? ', left' : ''}`));
  }
  console.log(whatIsLeft(proof, encryptionConfig !== undefined));
}

/** @param judged by a configuration; otherwise all that is known is that the values of a resource lie alike */
function whatIsLeft({ remaining }: Proof, judged: boolean): string {
  if (remaining > 0) {
    return `Read from etcd: ${remaining} are left. Start it again; if some stay, see that every API server has the same configuration.`;
  }
  return judged
    ? 'Proved by reading etcd: nothing is left.'
    : 'Read from etcd: nothing of a resource lies otherwise than its newest value. Name --encryption-config, too, to hold that against what is wanted.';
}
