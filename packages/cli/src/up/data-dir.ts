/** Where `waxseal up` keeps everything. One folder (0700); moving it with the servers stopped moves the whole. */
import { createHash } from 'node:crypto';
import { lstatSync, statfsSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join, resolve } from 'node:path';
import { CliError } from '../errors.js';
import { ensurePrivateDirectory } from '../private-files.js';

export interface DataDir {
  readonly path: string;
  /** The API server's objects, sealed; behind the etcd front. */
  readonly apiStore: string;
  /** The key service's own store and audit trail. */
  readonly keyService: string;
  readonly pki: string;
  readonly kubeconfig: string;
  /** AWS shared credentials file: profile `default` is the administrator, `plugin` the KMS plugin. */
  readonly credentials: string;
  readonly principals: string;
  readonly encryptionConfig: string;
  /** Kubernetes static token file: `token,user,uid,"groups"`. */
  readonly tokens: string;
  readonly serviceAccountKey: string;
  /** Shell exports for the clients. */
  readonly environment: string;
  readonly pluginSocket: string;
}

/** Longest path a unix socket can be bound to (sun_path is 108 bytes with its final zero). */
const maxSocketPathBytes = 107;

/** A start needs this much, and LMDB's memory-mapped lock file ends the process by a signal when its disk is full. */
const minFreeBytes = 1 << 20;

export function openDataDir(path: string): DataDir {
  const folder = resolve(path);
  ensurePrivateDirectory(folder);
  ensureFreeSpace(folder);
  const keyService = join(folder, 'key-service');
  ensurePrivateDirectory(keyService);
  const at = (name: string) => join(folder, name);
  return {
    path: folder,
    apiStore: at('api'),
    keyService,
    pki: at('pki'),
    kubeconfig: at('kubeconfig'),
    credentials: at('aws-credentials'),
    principals: at('principals.yaml'),
    encryptionConfig: at('encryption-config.yaml'),
    tokens: at('tokens.csv'),
    serviceAccountKey: join(folder, 'pki', 'service-account.key'),
    environment: at('env'),
    pluginSocket: socketPath(folder),
  };
}

function ensureFreeSpace(folder: string): void {
  const { bavail, bsize } = statfsSync(folder);
  if (bavail * bsize >= minFreeBytes) return;
  throw new CliError(
    `the disk ${folder} lies on is full: ${bavail * bsize} bytes are free, a start needs ${minFreeBytes}`,
    'Free some space and start again; nothing was lost.',
  );
}

/** In the data directory, or, when that path is too long for a socket, in a private folder with a short name. */
function socketPath(folder: string): string {
  const inside = join(folder, 'kms.sock');
  if (Buffer.byteLength(inside) <= maxSocketPathBytes) return inside;
  const name = createHash('sha256').update(folder).digest('hex').slice(0, 16);
  const { uid } = userInfo();
  const short = join(process.env['XDG_RUNTIME_DIR'] ?? '/tmp', `waxseal-${uid}-${name}`);
  ensurePrivateDirectory(short);
  const stat = lstatSync(short);
  if (stat.uid !== uid || (stat.mode & 0o077) !== 0) {
    throw new CliError(
      `${short} does not belong to this user alone`,
      'Remove it, or choose a shorter --data-dir, so that the socket fits into it.',
    );
  }
  return join(short, 'kms.sock');
}
