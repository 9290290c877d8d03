/** The store the API server's objects lie in: LMDB in the data directory, or an etcd cluster. */
import { readFileSync } from 'node:fs';
import { openEtcdStore, openLmdbStore, type Store } from '@waxseal/storage';
import { CliError, exitCodes } from '../errors.js';
import type { StorageOption } from '../options.js';

/** A cluster that does not answer at start is reported after this long. */
const dialTimeoutMs = 5_000;
/** kube-apiserver gives etcd as long as the request has; ours end after 60 s, and a leader election takes less than this. */
const requestTimeoutMs = 10_000;

/** The options `--storage…` of every command that opens a store; the files are PEM. */
export interface StorageOptions {
  readonly storage: StorageOption;
  readonly storageCafile?: string;
  readonly storageCertfile?: string;
  readonly storageKeyfile?: string;
}

/** @param folder of the LMDB environment */
export async function openStore(options: StorageOptions, folder: string): Promise<Store> {
  const { storage, storageCafile: caFile, storageCertfile: certFile, storageKeyfile: keyFile } = options;
  const tls =
    storage.kind === 'etcd' && storage.endpoints.every((endpoint) => endpoint.startsWith('https://'));
  if (!tls && (caFile ?? certFile ?? keyFile) !== undefined) {
    throw new CliError(
      '--storage-cafile, --storage-certfile and --storage-keyfile are for etcd over TLS',
      'Write the servers as --storage etcds://host:2379, or leave the options out.',
      exitCodes.usage,
    );
  }
  if (storage.kind === 'lmdb') return openLmdbStore({ path: folder });
  const read = (file: string | undefined) => (file === undefined ? undefined : readFileSync(file));
  const [ca, cert, key] = [read(caFile), read(certFile), read(keyFile)];
  return openEtcdStore({
    endpoints: [...storage.endpoints],
    dialTimeoutMs,
    requestTimeoutMs,
    ...(tls ? { tls: { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) } } : {}),
  });
}
