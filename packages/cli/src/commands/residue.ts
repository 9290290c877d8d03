/** `waxseal residue`: what is left behind, where, and what removes it. */
import { readFile } from 'node:fs/promises';
import {
  type EtcdSourceOptions,
  fixResidue,
  openEtcdSource,
  openSnapshotSource,
  residueOfDataDir,
  residueOfEtcd,
  residueOfMember,
  residueOfSnapshot,
  type ResidueOptions,
  type ResidueReport,
  withMarker,
} from '@waxseal/ops';
import { CliError, exitCodes } from '../errors.js';
import { runUntilDone } from '../lifetime.js';
import type { OutputFormat } from '../options.js';
import { openProgress, type ProgressView } from '../progress.js';
import { readEtcdAccess } from '../etcd-access.js';
import { keyPrefix, openSource, type SourceOptions } from '../source-options.js';
import { formatTable } from '../table.js';

const NEWLINE = 0x0a;

export interface ResidueCommandOptions extends SourceOptions {
  readonly dataDirEtcd?: string;
  readonly fix: boolean;
  readonly marker?: string;
  readonly output: OutputFormat;
}

export async function residue(options: ResidueCommandOptions): Promise<void> {
  checkOptions(options);
  const report = await runUntilDone(async (signal) => {
    const progress = await openProgress(options.output);
    try {
      return await look(options, progress, {
        prefix: keyPrefix(options),
        signal,
        onProgress: (done, total) => progress.report({ phase: 'pages', done, total }),
      });
    } finally {
      progress.end();
    }
  });
  const isClean = report.total === 0 && report.problems.length === 0 && (report.markers ?? []).length === 0;
  if (!isClean) process.exitCode = exitCodes.negative;
  console.log(options.output === 'json' ? JSON.stringify(report) : formatResidueReport(report));
}

function checkOptions({ etcd, snapshot, dataDir, dataDirEtcd, fix, marker }: ResidueCommandOptions): void {
  const named = [etcd, snapshot, dataDir, dataDirEtcd].filter((given) => given !== undefined).length;
  if (named !== 1) {
    throw new CliError(
      'name one of --etcd, --snapshot, --data-dir and --data-dir-etcd',
      'For example: --data-dir-etcd /var/lib/etcd',
      exitCodes.usage,
    );
  }
  if (marker !== undefined && (etcd ?? dataDir) !== undefined) {
    throw new CliError(
      '--marker is for --snapshot and --data-dir-etcd',
      'It searches files byte for byte: take a snapshot first.',
      exitCodes.usage,
    );
  }
  if (fix && etcd === undefined) {
    throw new CliError(
      '--fix is for --etcd',
      'Compaction and defragmentation are done by etcd while it runs.',
      exitCodes.usage,
    );
  }
}

async function look(
  options: ResidueCommandOptions,
  progress: ProgressView,
  searching: ResidueOptions,
): Promise<ResidueReport> {
  const { etcd, snapshot, dataDirEtcd } = options;
  if (dataDirEtcd !== undefined) {
    const found = await residueOfMember(dataDirEtcd, searching);
    return marked(found, { dataDirEtcd }, options, searching);
  }
  if (snapshot !== undefined) {
    const found = await lookAt(() => openSnapshotSource(snapshot), residueOfSnapshot, searching);
    return marked(found, { snapshot }, options, searching);
  }
  if (etcd === undefined) return lookAt(() => openSource(options), residueOfDataDir, searching);
  const connection = await readEtcdAccess(options);
  if (options.fix) await fix(connection, progress);
  return lookAt(() => openEtcdSource(connection), residueOfEtcd, searching);
}

async function marked(
  found: ResidueReport,
  path: Parameters<typeof withMarker>[1],
  { marker }: ResidueCommandOptions,
  { signal }: ResidueOptions,
): Promise<ResidueReport> {
  if (marker === undefined) return found;
  const bytes = await readFile(marker);
  return withMarker(found, path, bytes.at(-1) === NEWLINE ? bytes.subarray(0, -1) : bytes, signal);
}

async function fix(connection: EtcdSourceOptions, progress: ProgressView): Promise<void> {
  const source = await openEtcdSource(connection);
  const { revision } = source;
  await source.close();
  const total = connection.endpoints.length;
  let done = 0;
  await fixResidue(connection, revision, () => progress.report({ phase: 'defragment', done: done++, total }));
  progress.report({ phase: 'defragment', done, total });
}

async function lookAt<Opened extends { close(): Promise<void> }>(
  open: () => Promise<Opened>,
  search: (source: Opened, options: ResidueOptions) => Promise<ResidueReport>,
  options: ResidueOptions,
): Promise<ResidueReport> {
  const source = await open();
  try {
    return await search(source, options);
  } finally {
    await source.close();
  }
}

export function formatResidueReport({ groups, problems, markers, notSearched }: ResidueReport): string {
  const lines = [groups.length === 0 ? 'Nothing is left behind.' : 'Left behind:'];
  if (groups.length > 0) {
    lines.push(
      formatTable(
        ['PLACE', 'RESOURCE', 'STORED AS', 'COPIES', 'FIRST', 'SOURCE'],
        groups.map(({ place, resource, provider, key, count, examples, source }) => [
          place,
          resource,
          provider === 'identity' ? 'plaintext' : `${provider}:${key}`,
          String(count),
          examples[0] ?? '-',
          source,
        ]),
      ),
      '',
      'What removes it:',
    );
    const remedies = new Map(groups.map(({ place, remedy }) => [place, remedy]));
    for (const [place, remedy] of remedies) lines.push(`  ${place}: ${remedy}`);
  }
  for (const { source, encoding, count, positions } of markers ?? []) {
    const places = positions.join(', ');
    lines.push(
      `The marker is in ${source}, ${encoding}, ${count} times: at byte ${places}${count > positions.length ? ', …' : ''}.`,
    );
  }
  if (markers?.length === 0) lines.push('The marker is in no file.');
  for (const { source, message } of problems) lines.push(`${source} is not whole: ${message}.`);
  lines.push(`Not searched: ${notSearched.join(', ')}.`);
  return lines.join('\n');
}
