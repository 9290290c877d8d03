/** `waxseal recover --reencrypt-with`: a snapshot under another configuration. */
import { createEncryptionAtRest, type EncryptionAtRest } from '@waxseal/encryption-config';
import { openSnapshotSource, reencryptSnapshot, refuseWrongPrefix, type ReencryptResult } from '@waxseal/ops';
import { exitCodes, usageError } from '../errors.js';
import { runUntilDone } from '../lifetime.js';
import { openProgress } from '../progress.js';
import { keyPrefix } from '../source-options.js';
import { printable, printableJson } from '../terminal-text.js';
import type { RecoverCommandOptions } from './recover.js';

interface ReencryptOptions extends RecoverCommandOptions {
  readonly reencryptWith: string;
  readonly outputSnapshot: string;
}

/** As many keys are named; the rest is a number. */
const SHOWN_MAX = 100;
const FAILURES_MAX = 1000;

export async function reencrypt(options: ReencryptOptions, from: EncryptionAtRest): Promise<void> {
  const { snapshot, outputSnapshot, outDir, resources, namespace, name, etcd, dataDir } = options;
  const isText = options.output === 'yaml';
  if (snapshot === undefined || etcd !== undefined || dataDir !== undefined) {
    throw usageError(
      '--reencrypt-with works on a snapshot',
      'Name it with --snapshot; for a live etcd there is `waxseal rewrap`.',
    );
  }
  const isForManifests = options.forApply || options.dropServerFields || options.dropManagedFields;
  if (isForManifests || [outDir, resources, namespace, name].some((given) => given !== undefined)) {
    throw usageError(
      'a new snapshot holds everything',
      'Leave out --out-dir, --resources, --namespace, --name, --for-apply and --drop-….',
    );
  }
  const source = await openSnapshotSource(snapshot);
  try {
    await refuseWrongPrefix(source, keyPrefix(options));
    const to = await createEncryptionAtRest({ file: options.reencryptWith, kmsV1Enabled: true });
    try {
      const progress = await openProgress(isText ? 'text' : 'json');
      try {
        const result = await runUntilDone((signal) =>
          reencryptSnapshot(source.database.bolt, outputSnapshot, {
            prefix: options.prefix,
            from,
            to,
            keepUnreadable: options.keepUnreadable,
            signal,
            beforeKept: () => source.refuseChanged(),
            onProgress: (looked) =>
              progress.report({
                phase: 're-encrypt',
                done: looked,
                total: Math.max(source.database.liveCount, looked),
              }),
          }),
        );
        progress.end();
        if (isText) report(result, outputSnapshot);
        else reportJson(result, outputSnapshot);
      } finally {
        progress.end();
      }
    } finally {
      await to.close();
    }
  } finally {
    await source.close();
  }
}

/** `values` = `rewritten` + `kept`; `snapshot` is null when nothing was written. */
function reportJson(result: ReencryptResult, output: string): void {
  const { looked, tombstones, reencrypted, copied, decrypted, unreadable, unreadablePast, sizeBytes } =
    result;
  if (unreadable.length > 0) process.exitCode = exitCodes.negative;
  console.log(
    printableJson({
      values: looked - tombstones,
      rewritten: reencrypted,
      kept: copied + unreadable.length + unreadablePast,
      unreadable: unreadable.length,
      unreadablePast,
      decrypted,
      tombstones,
      snapshot: sizeBytes === undefined ? null : output,
      sizeBytes: sizeBytes ?? null,
      failures: unreadable.slice(0, FAILURES_MAX),
    }),
  );
}

function report(result: ReencryptResult, output: string): void {
  const { reencrypted, copied, decrypted, unreadable, unreadablePast, sizeBytes } = result;
  for (const { key, reason } of unreadable.slice(0, SHOWN_MAX))
    process.stderr.write(`${printable(`${key}: ${reason}`)}\n`);
  if (unreadable.length > SHOWN_MAX) process.stderr.write(`… and ${unreadable.length - SHOWN_MAX} more\n`);
  if (unreadable.length > 0) process.exitCode = exitCodes.negative;
  if (sizeBytes === undefined) {
    process.stderr.write(
      `${unreadable.length} live values do not open, so no snapshot was written. --keep-unreadable copies them as they are.\n`,
    );
    return;
  }
  const counts = `${reencrypted} values re-encrypted, ${copied} keys of others copied, ${unreadable.length + unreadablePast} unreadable (${unreadablePast} of them history) copied as they were`;
  console.log(`${output}: ${sizeBytes} bytes, ${counts}`);
  if (decrypted > 0) {
    process.stderr.write(
      `${decrypted} values were encrypted and are plaintext now: the new configuration says so.\n`,
    );
  }
}
