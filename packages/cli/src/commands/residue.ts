/** `waxseal residue`: what is left behind, where, and what removes it. */
import { readFile } from 'node:fs/promises';
import {
  fixDataDir,
  fixEtcd,
  openDataDirSource,
  openEtcdSource,
  openSnapshotSource,
  parseMarker,
  refuseWrongPrefix,
  residueOfDataDir,
  residueOfEtcd,
  residueOfMember,
  residueOfSnapshot,
  type ResidueFix,
  type ResidueOptions,
  type ResidueReport,
} from '@waxseal/ops';
import { exitCodes, usageError } from '../errors.js';
import { type EtcdAccess, readEtcdAccess, refuseAccessWithoutEtcd } from '../etcd-access.js';
import { runUntilDone } from '../lifetime.js';
import type { OutputFormat } from '../options.js';
import { openProgress, type ProgressView } from '../progress.js';
import { keyPrefix, type SourceOptions } from '../source-options.js';
import { printableJson } from '../terminal-text.js';
import { formatResidueReport } from './residue-report.js';

const NEWLINE = 0x0a;

export interface ResidueCommandOptions extends SourceOptions {
  readonly dataDirEtcd?: string;
  /** A folder of backups. */
  readonly snapshots?: string;
  readonly fix: boolean;
  readonly disarm: boolean;
  /** The file that holds it. */
  readonly marker?: string;
  readonly output: OutputFormat;
}

export async function residue(options: ResidueCommandOptions): Promise<void> {
  checkOptions(options);
  const marker = options.marker === undefined ? undefined : parseMarker(await readMarker(options.marker));
  const access = await readEtcdAccess(options);
  const report = await runUntilDone(async (signal) => {
    const progress = await openProgress(options.output);
    try {
      const fixed = options.fix ? await fix(options, access, progress) : undefined;
      const found = await look(options, access, {
        prefix: keyPrefix(options),
        backups: options.snapshots,
        marker,
        signal,
        onProgress: (done, total) => progress.report({ phase: 'pages', done, total }),
      });
      return fixed === undefined ? found : { ...found, fix: fixed };
    } finally {
      progress.end();
    }
  });
  if (!isClean(report)) process.exitCode = exitCodes.negative;
  console.log(options.output === 'json' ? printableJson(report) : formatResidueReport(report));
}

function isClean({ total, problems, markers = [] }: ResidueReport): boolean {
  return total === 0 && problems.length === 0 && markers.length === 0;
}

function checkOptions(options: ResidueCommandOptions): void {
  const { etcd, snapshot, dataDir, dataDirEtcd, snapshots, fix: isFix, disarm, marker } = options;
  const named = [etcd, snapshot, dataDir, dataDirEtcd].filter((given) => given !== undefined).length;
  if (named !== 1) {
    throw usageError(
      'name one of --etcd, --snapshot, --data-dir and --data-dir-etcd',
      'For example: --data-dir-etcd /var/lib/etcd',
    );
  }
  refuseAccessWithoutEtcd(options);
  if (snapshots !== undefined && snapshot !== undefined) {
    throw usageError(
      '--snapshots is for --etcd, --data-dir and --data-dir-etcd',
      'Backups are compared with what is live: name the cluster, not one of its snapshots.',
    );
  }
  if (marker !== undefined && etcd !== undefined && snapshots === undefined) {
    throw usageError(
      '--marker is for files: --snapshot, --snapshots, --data-dir and --data-dir-etcd',
      'It searches them byte for byte: take a snapshot first.',
    );
  }
  if (isFix && etcd === undefined && dataDir === undefined) {
    throw usageError(
      '--fix is for --etcd and --data-dir',
      'Start the member, and name its cluster with --etcd: etcd itself compacts and defragments.',
    );
  }
  if (disarm && (!isFix || etcd === undefined)) {
    throw usageError('--disarm belongs to --etcd --fix', 'Give all three.');
  }
}

/** A last newline is the editor's. */
async function readMarker(path: string): Promise<Buffer> {
  const bytes = await readFile(path);
  return bytes.at(-1) === NEWLINE ? bytes.subarray(0, -1) : bytes;
}

async function look(
  { snapshot, dataDir, dataDirEtcd }: ResidueCommandOptions,
  access: EtcdAccess,
  searching: ResidueOptions,
): Promise<ResidueReport> {
  if (dataDirEtcd !== undefined) return residueOfMember(dataDirEtcd, searching);
  if (dataDir !== undefined) return residueOfDataDir(dataDir, searching);
  if (snapshot === undefined) {
    return closing(await openEtcdSource({ ...access, signal: searching.signal }), (source) =>
      residueOfEtcd(source, searching),
    );
  }
  return closing(await openSnapshotSource(snapshot), (source) =>
    residueOfSnapshot(source, snapshot, searching),
  );
}

/** A wrong prefix is known before anything is changed. */
async function fix(
  options: ResidueCommandOptions,
  access: EtcdAccess,
  progress: ProgressView,
): Promise<ResidueFix> {
  const { dataDir, disarm } = options;
  const opening = dataDir === undefined ? openEtcdSource(access) : openDataDirSource(dataDir);
  const revision = await closing(await opening, async (source) => {
    await refuseWrongPrefix(source, keyPrefix(options));
    return source.revision;
  });
  if (dataDir !== undefined) return fixDataDir(dataDir);
  return fixEtcd({ ...access, disarm, onStep: (step) => progress.report(step) }, revision);
}

async function closing<Opened extends { close(): Promise<void> }, T>(
  source: Opened,
  use: (source: Opened) => Promise<T>,
): Promise<T> {
  try {
    return await use(source);
  } finally {
    await source.close();
  }
}
