/**
 * Who on the machine may read or write the file that holds the keys.
 */
import type { EncryptionConfiguration } from '@waxseal/encryption-config';
import { finding, type Finding } from './finding.js';
import { isStatic, readersByRule } from './readers.js';

/** What lint needs of `stat`. */
export interface FileStatus {
  /** Permission bits, as `st_mode & 0o7777`. */
  readonly mode: number;
  readonly isSocket: boolean;
}

/** undefined: it is not there, or cannot be looked at. */
export type LookAtFile = (path: string) => FileStatus | undefined;

const OTHERS_READ = 0o004;
const OTHERS_WRITE = 0o002;
const OTHERS_ENTER = 0o001;
const GROUP_READ = 0o040;
const STICKY = 0o1000;

const octal = (mode: number): string => `0${(mode & 0o777).toString(8)}`;

export function checkFile(
  config: EncryptionConfiguration,
  file: string,
  folder: string,
  lookAt: LookAtFile,
): readonly Finding[] {
  const status = lookAt(file);
  const around = lookAt(folder);
  if (status === undefined) return [];
  const findings: Finding[] = [];
  const where = '';
  const holdsKeys = [...readersByRule(config).values()].flat().some(isStatic);
  const reachable = around === undefined || (around.mode & OTHERS_ENTER) !== 0;
  if (holdsKeys && (status.mode & OTHERS_READ) !== 0) {
    const why = reachable
      ? `${file} holds keys and has mode ${octal(status.mode)}: every user of the machine reads them.`
      : `${file} holds keys and has mode ${octal(status.mode)}; only its folder keeps other users out.`;
    findings.push(finding('file-readable-by-others', { where, why, severity: reachable ? 'error' : 'info' }));
  } else if (holdsKeys && (status.mode & GROUP_READ) !== 0) {
    const why = `${file} holds keys and has mode ${octal(status.mode)}: its group reads them.`;
    findings.push(finding('file-readable-by-others', { where, why, severity: 'warning' }));
  }
  if ((status.mode & OTHERS_WRITE) !== 0 && reachable) {
    const why = `${file} has mode ${octal(status.mode)}: every user of the machine may change it.`;
    findings.push(finding('file-writable-by-others', { where, why }));
  }
  // In a sticky folder only the owner may replace the file.
  if (around !== undefined && (around.mode & OTHERS_WRITE) !== 0 && (around.mode & STICKY) === 0) {
    const why = `${folder} has mode ${octal(around.mode)}: every user of the machine may put another file there.`;
    findings.push(finding('file-writable-by-others', { where, why }));
  }
  return findings;
}
