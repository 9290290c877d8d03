/** Where commands of operations read stored values from: a live etcd, a snapshot, or a data directory; the names are etcdctl's. */
import { readFileSync } from 'node:fs';
import type { Source } from '@waxseal/ops';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { CliError, exitCodes } from './errors.js';
import { parsePath, parseStorage } from './options.js';

export interface EtcdOptions {
  /** URLs of one cluster. */
  readonly etcd?: readonly string[];
  readonly cacert?: string;
  readonly cert?: string;
  /** The PEM key's file. */
  readonly key?: string;
}

export interface SourceOptions extends EtcdOptions {
  readonly snapshot?: string;
  readonly dataDir?: string;
  readonly prefix: string;
}

export const etcdOption = (): Option =>
  new Option('--etcd <urls>', 'a live etcd, as https://host:2379,https://host:2379').argParser(parseEtcd);

/** TLS as etcdctl has it. @param keyFlag another name where `--key` means a key of the encryption */
export const etcdTlsOptions = (command: Command, keyFlag = '--key'): Command =>
  command
    .option('--cacert <file>', 'PEM authority of the etcd servers', parsePath)
    .option('--cert <file>', 'PEM client certificate for etcd', parsePath)
    .option(`${keyFlag} <file>`, 'PEM key of that certificate', parsePath);

export const prefixOption = (): Option =>
  new Option('--prefix <prefix>', "the API server's --etcd-prefix")
    .argParser(parsePrefix)
    .default('/registry');

/** `--etcd`, `--snapshot`, `--data-dir`, TLS and `--prefix`; `openSource` takes them. */
export const sourceOptions = (command: Command, keyFlag?: string): Command =>
  etcdTlsOptions(
    command
      .addOption(etcdOption())
      .option(
        '--snapshot <file>',
        'a snapshot of etcd, or the file member/snap/db of a stopped member',
        parsePath,
      )
      .option('--data-dir <dir>', 'the data directory of a waxseal up that is stopped', parsePath),
    keyFlag,
  ).addOption(prefixOption());

/** Opens the one source that is named. The caller closes it. */
export async function openSource(options: SourceOptions): Promise<Source> {
  const { etcd, snapshot, dataDir } = options;
  if ([etcd, snapshot, dataDir].filter((given) => given !== undefined).length !== 1) {
    throw new CliError(
      'name one of --etcd, --snapshot and --data-dir',
      'For example: --etcd https://127.0.0.1:2379 --cacert ca.crt --cert client.crt --key client.key',
      exitCodes.usage,
    );
  }
  // Options are made for every command line; what opens a source is loaded by the commands that need one.
  const { openDataDirSource, openEtcdSource, openSnapshotSource } = await import('@waxseal/ops');
  if (etcd !== undefined) return openEtcdSource({ endpoints: etcd, ...readEtcdTls(options) });
  if (options.cacert !== undefined || options.cert !== undefined || options.key !== undefined) {
    throw new CliError(
      '--cacert, --cert and --key are for --etcd',
      'Files need no certificates.',
      exitCodes.usage,
    );
  }
  return snapshot === undefined ? openDataDirSource(dataDir ?? '') : openSnapshotSource(snapshot);
}

/** What `--cacert`, `--cert` and `--key` name, read. */
export function readEtcdTls(options: EtcdOptions): {
  readonly tls?: { readonly ca?: Buffer; readonly cert?: Buffer; readonly key?: Buffer };
} {
  const { cacert, cert, key, etcd = [] } = options;
  if ((cert === undefined) !== (key === undefined)) {
    throw new CliError('--cert and --key belong together', 'Give both or neither.', exitCodes.usage);
  }
  if (!etcd.some((url) => url.startsWith('https://'))) {
    if (cacert === undefined && cert === undefined) return {};
    throw new CliError(
      '--cacert, --cert and --key are for etcd over TLS',
      'Write the servers as --etcd https://host:2379.',
      exitCodes.usage,
    );
  }
  return {
    tls: {
      ...(cacert === undefined ? {} : { ca: readFileSync(cacert) }),
      ...(cert === undefined ? {} : { cert: readFileSync(cert) }),
      ...(key === undefined ? {} : { key: readFileSync(key) }),
    },
  };
}

function parseEtcd(text: string): readonly string[] {
  const storage = parseStorage(text.includes('://') ? text : `http://${text}`);
  if (storage.kind === 'lmdb')
    throw new InvalidArgumentError('Expected https://host:2379,https://host:2379.');
  return storage.endpoints;
}

function parsePrefix(text: string): string {
  if (!text.startsWith('/')) throw new InvalidArgumentError('Expected a prefix of keys, as /registry.');
  return text === '/' ? text : text.replace(/\/+$/, '');
}

/** The prefix as keys begin with it: `/registry/`, so that `/registry2` is left out. */
export function keyPrefix({ prefix }: { readonly prefix: string }): Buffer {
  return Buffer.from(prefix.endsWith('/') ? prefix : `${prefix}/`);
}
