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
  type ManifestForm,
  type ManifestFormat,
  type Recovered,
  type Writable,
} from '@waxseal/ops';
import { exitCodes, usageError } from '../errors.js';
import { runUntilDone } from '../lifetime.js';
import { openProgress } from '../progress.js';
import { keyPrefix, openSource, type SourceOptions } from '../source-options.js';

export interface RecoverCommandOptions extends SourceOptions {
  readonly encryptionConfig: string;
  /** `json`: one List of all objects; of a new snapshot, its counts. */
  readonly output: ManifestFormat | 'json';
  readonly outDir?: string;
  readonly resources?: readonly GroupResource[];
  readonly namespace?: string;
  readonly name?: string;
  readonly dropManagedFields: boolean;
  readonly dropServerFields: boolean;
  readonly forApply: boolean;
  readonly escrowIdentity?: string;
  readonly reencryptWith?: string;
  readonly outputSnapshot?: string;
  readonly keepUnreadable: boolean;
}

export async function recover(options: RecoverCommandOptions): Promise<void> {
  const { reencryptWith, outputSnapshot } = options;
  if ((reencryptWith === undefined) !== (outputSnapshot === undefined)) {
    throw usageError(
      '--reencrypt-with and --output-snapshot belong together',
      'Give the new configuration and the name of the new snapshot.',
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
  const { outDir, output } = options;
  const source = await openSource(options);
  try {
    const manifests: Manifests =
      outDir === undefined
        ? standardOutput(output)
        : await openManifestFolder(outDir, output === 'yaml' ? 'yaml' : 'jsonl');
    // A bar between the documents of a terminal helps nobody.
    const isShown = outDir !== undefined || !process.stdout.isTTY;
    const progress = isShown ? await openProgress('text') : undefined;
    const total = (await source.countLive?.(keyPrefix(options))) ?? 0;
    const tally = newTally();
    try {
      await runUntilDone(async (signal) => {
        const onProgress = (looked: number): void =>
          progress?.report({ phase: 'recover', done: looked, total: Math.max(total, looked) });
        const form = formOf(options);
        const recovery = recoverObjects(source, { ...options, form, encryption, signal, onProgress });
        for await (const recovered of recovery) {
          count(tally, recovered);
          if (recovered.kind !== 'left-out') await manifests.write(recovered);
        }
        await manifests.end?.();
      });
    } catch (error) {
      await manifests.discard?.();
      throw error;
    } finally {
      progress?.end();
    }
    if (tally.objects + tally.unrecovered + tally.leftOut === 0)
      await refuseWrongPrefix(source, keyPrefix(options));
    if (tally.unrecovered > 0) process.exitCode = exitCodes.negative;
    const summary =
      output !== 'yaml'
        ? JSON.stringify({ source: source.name, ...tally })
        : `${source.name}: ${summaryOf(tally, options)}`;
    process.stderr.write(`${summary}\n`);
  } finally {
    await source.close();
  }
}

function formOf({ forApply, dropServerFields, dropManagedFields }: RecoverCommandOptions): ManifestForm {
  if (forApply) return 'for-apply';
  if (dropServerFields) return 'no-server-fields';
  return dropManagedFields ? 'no-managed-fields' : 'stored';
}

/** The summary at the end; in JSON as it is. */
interface Tally {
  objects: number;
  unrecovered: number;
  /** Of `unrecovered`, by cause. */
  readonly causes: Record<string, number>;
  /** With --for-apply: what the next cluster makes itself. */
  leftOut: number;
}

const newTally = (): Tally => ({ objects: 0, unrecovered: 0, causes: {}, leftOut: 0 });

function count(tally: Tally, recovered: Recovered): void {
  if (recovered.kind === 'object') tally.objects++;
  else if (recovered.kind === 'left-out') tally.leftOut++;
  else {
    tally.unrecovered++;
    tally.causes[recovered.cause] = (tally.causes[recovered.cause] ?? 0) + 1;
  }
}

function summaryOf(
  { objects, unrecovered, causes, leftOut }: Tally,
  { outDir, resources, namespace, name }: RecoverCommandOptions,
): string {
  const where = outDir === undefined ? '' : ` in ${outDir}`;
  const list = Object.entries(causes).map(([cause, times]) => `${times} ${cause}`);
  const why = list.length === 0 ? '' : ` (${list.join(', ')})`;
  const rest = leftOut === 0 ? '' : `, ${leftOut} left out that a cluster makes itself`;
  const isChosen = resources !== undefined || namespace !== undefined || name !== undefined;
  const hint =
    isChosen && objects + unrecovered + leftOut === 0
      ? '; nothing is what --resources (plural, with its group, as waxseal scan shows it: deployments.apps), --namespace and --name say'
      : '';
  return `${objects} objects${where}, ${unrecovered} that could not be recovered${why}${rest}${hint}`;
}

/** What takes the documents; `end` when all are there, `discard` when not all will be. */
interface Manifests {
  write(recovered: Writable): Promise<void>;
  end?(): Promise<void>;
  discard?(): Promise<void>;
}

function standardOutput(output: ManifestFormat | 'json'): Manifests {
  if (output !== 'json') return { write: (recovered) => print(formatRecovered(recovered, output)) };
  // A List, as kubectl prints and takes it.
  let before = '{"apiVersion":"v1","kind":"List","items":[\n';
  return {
    async write(recovered) {
      await print(before + formatRecovered(recovered, 'jsonl').trimEnd());
      before = ',\n';
    },
    end: () => print(before === ',\n' ? '\n]}\n' : `${before}]}\n`),
  };
}

async function print(text: string): Promise<void> {
  if (!process.stdout.write(text)) await once(process.stdout, 'drain');
}
