/** Where commands of operations read stored values from: a live etcd, a snapshot, or a data directory; the names are etcdctl's. */
import type { Source, StoreSourceOptions } from '@waxseal/ops';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { usageError } from './errors.js';
import {
  etcdAccessOptions,
  type EtcdAccessFlags,
  etcdOption,
  type EtcdOptions,
  readEtcdAccess,
  refuseAccessWithoutEtcd,
} from './etcd-access.js';
import { parsePath } from './options.js';

export interface SourceOptions extends EtcdOptions {
  readonly snapshot?: string;
  readonly dataDir?: string;
  readonly prefix: string;
}

export const prefixOption = (): Option =>
  new Option('--prefix <prefix>', "the API server's --etcd-prefix")
    .argParser(parsePrefix)
    .default('/registry');

/** `--etcd`, `--snapshot`, `--data-dir`, access to etcd and `--prefix`; `openSource` takes them. */
export const sourceOptions = (command: Command, flags?: EtcdAccessFlags): Command =>
  etcdAccessOptions(
    command
      .addOption(etcdOption())
      .option(
        '--snapshot <file>',
        'a snapshot of etcd, or the file member/snap/db of a stopped member',
        parsePath,
      )
      .option('--data-dir <dir>', 'the data directory of a waxseal up that is stopped', parsePath),
    flags,
  ).addOption(prefixOption());

/** Opens the one source that is named. The caller closes it. */
export async function openSource(options: SourceOptions, reading?: StoreSourceOptions): Promise<Source> {
  return (await sourceOpener(options))(reading);
}

/** What opens the one source that is named, as often as it is needed: certificates are read, and a password is asked for, once. */
export async function sourceOpener(
  options: SourceOptions,
): Promise<(reading?: StoreSourceOptions) => Promise<Source>> {
  const { etcd, snapshot, dataDir } = options;
  if ([etcd, snapshot, dataDir].filter((given) => given !== undefined).length !== 1) {
    throw usageError(
      'name one of --etcd, --snapshot and --data-dir',
      'For example: --etcd https://127.0.0.1:2379 --cacert ca.crt --cert client.crt --key client.key',
    );
  }
  // Options are made for every command line; what opens a source is loaded by the commands that need one.
  const { openDataDirSource, openEtcdSource, openSnapshotSource } = await import('@waxseal/ops');
  if (etcd !== undefined) {
    const access = await readEtcdAccess(options);
    return (reading) => openEtcdSource({ ...access, ...reading });
  }
  refuseAccessWithoutEtcd(options);
  return snapshot === undefined ? () => openDataDirSource(dataDir ?? '') : () => openSnapshotSource(snapshot);
}

function parsePrefix(text: string): string {
  if (!text.startsWith('/')) throw new InvalidArgumentError('Expected a prefix of keys, as /registry.');
  return text === '/' ? text : text.replace(/\/+$/, '');
}

/** The prefix as keys begin with it: `/registry/`, so that `/registry2` is left out. */
export function keyPrefix({ prefix }: { readonly prefix: string }): Buffer {
  return Buffer.from(prefix.endsWith('/') ? prefix : `${prefix}/`);
}
