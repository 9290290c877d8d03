/** `waxseal recover`: objects of a source as manifests, or a snapshot under another configuration. Standard output holds data and nothing else. */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import {
  createEncryptionAtRest,
  grpcConnectors,
  type EncryptionAtRest,
  type GroupResource,
} from '@waxseal/encryption-config';
import { parseEscrowIdentity, recoverDekSource } from '@waxseal/kms-plugin';
import {
  escrowConnectors,
  formatRecovered,
  openManifestFolder,
  patientConnectors,
  recoverObjects,
  refuseWrongPrefix,
  type ManifestFormat,
  type Recovered,
} from '@waxseal/ops';
import { CliError, exitCodes } from '../errors.js';
import { runUntilDone } from '../lifetime.js';
import { openProgress } from '../progress.js';
import { keyPrefix, openSource, type SourceOptions } from '../source-options.js';

export interface RecoverCommandOptions extends SourceOptions {
  readonly encryptionConfig: string;
  readonly output: ManifestFormat;
  readonly outDir?: string;
  readonly resources?: readonly GroupResource[];
  readonly namespace?: string;
  readonly name?: string;
  readonly dropManagedFields: boolean;
  readonly escrowIdentity?: string;
  readonly reencryptWith?: string;
  readonly outputSnapshot?: string;
  readonly keepUnreadable: boolean;
}

export async function recover(options: RecoverCommandOptions): Promise<void> {
  const { reencryptWith, outputSnapshot } = options;
  if ((reencryptWith === undefined) !== (outputSnapshot === undefined)) {
    throw new CliError(
      '--reencrypt-with and --output-snapshot belong together',
      'Give the new configuration and the name of the new snapshot.',
      exitCodes.usage,
    );
  }
  const encryption = await openEncryption(options);
  try {
    if (reencryptWith === undefined || outputSnapshot === undefined)
      await recoverManifests(options, encryption);
    else {
      const { reencrypt } = await import('./recover-reencrypt.js');
      await reencrypt({ ...options, reencryptWith, outputSnapshot }, encryption);
    }
  } finally {
    await encryption.close();
  }
}

async function openEncryption({
  encryptionConfig,
  escrowIdentity,
}: RecoverCommandOptions): Promise<EncryptionAtRest> {
  const common = { file: encryptionConfig, kmsV1Enabled: true };
  if (escrowIdentity === undefined)
    return createEncryptionAtRest({ ...common, connectors: patientConnectors(grpcConnectors) });
  const identity = await parseEscrowIdentity(await readFile(escrowIdentity, 'utf8'));
  const connectors = escrowConnectors(
    async (wrapped) => (await recoverDekSource(wrapped, identity)).dekSource,
  );
  return createEncryptionAtRest({ ...common, connectors });
}

async function recoverManifests(options: RecoverCommandOptions, encryption: EncryptionAtRest): Promise<void> {
  const { outDir } = options;
  const source = await openSource(options);
  try {
    const folder = outDir === undefined ? undefined : await openManifestFolder(outDir, options.output);
    const write =
      folder === undefined ? writeOut(options.output) : (recovered: Recovered) => folder.write(recovered);
    // A bar between the documents of a terminal helps nobody.
    const isShown = folder !== undefined || !process.stdout.isTTY;
    const progress = isShown ? await openProgress('text') : undefined;
    const total = (await source.countLive?.(keyPrefix(options))) ?? 0;
    const counts = { objects: 0, unrecovered: 0 };
    try {
      await runUntilDone(async (signal) => {
        const onProgress = (looked: number): void =>
          progress?.report({ phase: 'recover', done: looked, total: Math.max(total, looked) });
        for await (const recovered of recoverObjects(source, {
          ...options,
          encryption,
          signal,
          onProgress,
        })) {
          counts[recovered.kind === 'object' ? 'objects' : 'unrecovered']++;
          await write(recovered);
        }
      });
    } finally {
      progress?.end();
    }
    if (counts.objects + counts.unrecovered === 0) await refuseWrongPrefix(source, keyPrefix(options));
    if (counts.unrecovered > 0) process.exitCode = exitCodes.negative;
    const where = outDir === undefined ? '' : ` in ${outDir}`;
    process.stderr.write(
      `${source.name}: ${counts.objects} objects${where}, ${counts.unrecovered} that could not be recovered\n`,
    );
  } finally {
    await source.close();
  }
}

function writeOut(format: ManifestFormat): (recovered: Recovered) => Promise<void> {
  return async (recovered) => {
    if (!process.stdout.write(formatRecovered(recovered, format))) await once(process.stdout, 'drain');
  };
}
