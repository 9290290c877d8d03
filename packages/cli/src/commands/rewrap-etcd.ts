/** Rewrapping a live etcd by an EncryptionConfiguration: what `waxseal rewrap --etcd` and `waxseal rotate run` have in common. */
import { createHash } from 'node:crypto';
import { createEncryptionAtRest } from '@waxseal/encryption-config';
import {
  openEtcdSource,
  openUnlessAborted,
  refuseWrongPrefix,
  rewrap,
  type RewrapReport,
} from '@waxseal/ops';
import { openEtcdStore } from '@waxseal/storage';
import type { EtcdAccess } from '../etcd-access.js';
import { holdingClock } from '../holding-clock.js';
import { withKmsReason } from '../kms-reason.js';
import type { OutputFormat } from '../options.js';
import { openProgress } from '../progress.js';
import { keyPrefix } from '../source-options.js';

export interface RewrapEtcdOptions {
  readonly access: EtcdAccess;
  /** The EncryptionConfiguration: where it lies, and what it holds. */
  readonly file: string;
  readonly text: string;
  /** As in `resources` of an EncryptionConfiguration. */
  readonly resources: readonly string[];
  readonly prefix: string;
  readonly dryRun?: boolean;
  /** No API server uses it now. */
  readonly offline?: boolean;
  readonly workers?: number | undefined;
  /** Writes a second at most. */
  readonly rate?: number | undefined;
  /** The file of the checkpoint. */
  readonly checkpoint?: string | undefined;
  /** Of the progress. */
  readonly output: OutputFormat;
  readonly signal: AbortSignal;
}

const DIAL_TIMEOUT_MS = 5_000;
/** Longer than a leader election; the run itself is patient beyond it. */
const REQUEST_TIMEOUT_MS = 10_000;

/** @throws as `rewrap`; OpsError invalid-option for a prefix under which nothing lies: that must not pass for done */
export async function rewrapEtcd(options: RewrapEtcdOptions): Promise<RewrapReport> {
  const { access, file, signal } = options;
  const encryption = await createEncryptionAtRest({ file, kmsV1Enabled: true });
  try {
    const opening = openEtcdStore({
      ...access,
      dialTimeoutMs: DIAL_TIMEOUT_MS,
      requestTimeoutMs: REQUEST_TIMEOUT_MS,
    });
    const store = await openUnlessAborted(opening, signal);
    const progress = await openProgress(options.output);
    const { workers, rate, checkpoint } = options;
    try {
      const report = await rewrap({
        store,
        transformerFor: (resource) => encryption.transformerFor(resource),
        resources: options.resources,
        prefix: options.prefix,
        dryRun: options.dryRun ?? false,
        offline: options.offline ?? false,
        ...(workers === undefined ? {} : { workers }),
        ...(rate === undefined ? {} : { ratePerSecond: rate }),
        ...(checkpoint === undefined
          ? {}
          : { checkpoint: { path: checkpoint, configHash: hashOf(options.text) } }),
        signal,
        clock: holdingClock,
        onProgress: ({ phase, done, total, etaMs, rewritten, failed }) =>
          progress.report({ phase, done, total, etaMs, counts: { rewritten, failed } }),
      });
      if (report.listed === 0) await refuseWrongPrefixOf(options);
      return report;
    } catch (error) {
      throw await withKmsReason(error, encryption);
    } finally {
      progress.end();
      await store.close();
    }
  } finally {
    await encryption.close();
  }
}

async function refuseWrongPrefixOf({ access, prefix }: RewrapEtcdOptions): Promise<void> {
  const source = await openEtcdSource(access);
  try {
    await refuseWrongPrefix(source, keyPrefix({ prefix }));
  } finally {
    await source.close();
  }
}

function hashOf(text: string): string {
  return `sha256:${createHash('sha256').update(text).digest('hex')}`;
}
