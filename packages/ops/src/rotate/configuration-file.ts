/**
 * The configuration file on this machine: replaced in one step with the mode and owner it had, the version before it kept beside,
 * and never over somebody else's change.
 */
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { OpsError } from '../errors.js';
import { replaceFile } from '../replace-file.js';

export interface ConfigurationFile {
  readonly text: string;
  /** `sha256:` and hex, of the file's bytes: as the API server's metrics show it. */
  readonly hash: string;
  readonly mode: number;
  readonly owner: { readonly uid: number; readonly gid: number };
}

/** Of kube-apiserver's metric `apiserver_encryption_config_controller_last_config_info`. */
export function hashConfiguration(content: string | Buffer): string {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`;
}

const MAX_BYTES = 3 << 20;

/** @throws OpsError source-unreadable */
export async function readConfigurationFile(path: string): Promise<ConfigurationFile> {
  try {
    const file = await open(path, 'r');
    try {
      const { mode, uid, gid, size } = await file.stat();
      if (size > MAX_BYTES) throw new Error(`it is larger than ${MAX_BYTES} bytes`);
      const bytes = await file.readFile();
      return {
        text: bytes.toString('utf8'),
        hash: hashConfiguration(bytes),
        mode: mode & 0o777,
        owner: { uid, gid },
      };
    } finally {
      await file.close();
    }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new OpsError(
      'source-unreadable',
      `the configuration file ${path} cannot be read: ${reason}`,
      error,
    );
  }
}

export interface ReplaceConfiguration {
  readonly path: string;
  /** Hash of the content that may be replaced. */
  readonly expected: string;
  readonly text: string;
  /** Where the present content is kept. */
  readonly backupPath: string;
}

/**
 * Does nothing when the content stands already.
 *
 * @throws OpsError state-invalid when the file is not what was expected
 */
export async function replaceConfigurationFile(options: ReplaceConfiguration): Promise<void> {
  const { path, expected, text, backupPath } = options;
  const current = await readConfigurationFile(path);
  if (current.hash === hashConfiguration(text)) return;
  if (current.hash !== expected) {
    throw new OpsError(
      'state-invalid',
      `${path} was changed by somebody else (${current.hash}): put the version of this rotation back (${expected}), or plan anew`,
    );
  }
  const { mode, owner } = current;
  await replaceFile(backupPath, current.text, { mode, owner });
  await replaceFile(path, text, { mode, owner });
}
