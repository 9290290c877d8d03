/**
 * KMS providers: version, names, times, and the socket they are reached at.
 */
import {
  type EncryptionConfiguration,
  formatDuration,
  type KmsConfiguration,
  parseKmsEndpoint,
} from '@waxseal/encryption-config';
import { finding, type Finding } from './finding.js';
import type { FileStatus, LookAtFile } from './file-checks.js';

const TIMEOUT_MIN_MS = 1000;
const TIMEOUT_MAX_MS = 10_000;
const CACHE_DEFAULT_VALUES = 1000;

const OTHERS_WRITE = 0o002;
const OTHERS_ENTER = 0o001;

export function checkKms(
  config: EncryptionConfiguration,
  lookAt: LookAtFile | undefined,
): readonly Finding[] {
  const places = config.resources.flatMap(({ providers }, i) =>
    providers.flatMap(({ kms }, j) =>
      kms === undefined ? [] : [{ kms, path: `resources[${i}].providers[${j}].kms` }],
    ),
  );
  return places.flatMap(({ kms, path }, i) => [
    ...checkSettings(kms, path),
    ...checkName(kms, path, places.slice(0, i)),
    ...(lookAt === undefined ? [] : checkSocket(kms, path, lookAt)),
  ]);
}

function checkSettings(kms: KmsConfiguration, path: string): readonly Finding[] {
  const name = JSON.stringify(kms.name);
  const findings: Finding[] = [];
  if (kms.apiVersion === 'v1') {
    const why = `KMS provider ${name} speaks v1: one call for every write, and for every first read.`;
    findings.push(finding('kms-v1', { where: `${path}.apiVersion`, why }));
  }
  const where = `${path}.timeout`;
  const why = `KMS provider ${name} has ${formatDuration(kms.timeoutMs)} for a call.`;
  if (kms.timeoutMs < TIMEOUT_MIN_MS) findings.push(finding('kms-timeout-short', { where, why }));
  if (kms.timeoutMs > TIMEOUT_MAX_MS) findings.push(finding('kms-timeout-long', { where, why }));
  if (kms.cacheSize !== undefined && kms.cacheSize < CACHE_DEFAULT_VALUES) {
    const kept = kms.cacheSize < 0 ? 'no DEK' : `${kms.cacheSize} DEKs`;
    findings.push(
      finding('kms-cache-small', {
        where: `${path}.cachesize`,
        why: `KMS provider ${name} keeps ${kept} in memory, and every object has its own.`,
      }),
    );
  }
  return findings;
}

interface Place {
  readonly kms: KmsConfiguration;
  readonly path: string;
}

/** Only v1 may repeat a name, or share one with v2. */
function checkName(kms: KmsConfiguration, path: string, earlier: readonly Place[]): readonly Finding[] {
  const twin = earlier.find((place) => place.kms.name === kms.name);
  if (twin === undefined) return [];
  const same = twin.kms.endpoint === kms.endpoint && twin.kms.apiVersion === kms.apiVersion;
  const why = same
    ? `${JSON.stringify(kms.name)} is also the name at ${twin.path}; with automatic reload the file is refused.`
    : `${JSON.stringify(kms.name)} at ${twin.path} is another plugin or version.`;
  return [finding('kms-name-reused', { where: `${path}.name`, why, severity: same ? 'warning' : 'error' })];
}

function checkSocket(kms: KmsConfiguration, path: string, lookAt: LookAtFile): readonly Finding[] {
  const parsed = parseKmsEndpoint(kms.endpoint);
  if (parsed.problem !== undefined) return [];
  const where = `${path}.endpoint`;
  const found = (
    id: 'kms-socket-abstract' | 'kms-socket-missing' | 'kms-socket-open',
    why: string,
  ): readonly Finding[] => [finding(id, { where, why })];
  if (parsed.path.startsWith('/@')) {
    return found(
      'kms-socket-abstract',
      `${kms.endpoint} is an abstract socket: every user of the machine may connect.`,
    );
  }
  const folder = lookAt(folderOf(parsed.path));
  const socket = lookAt(parsed.path);
  if (folder !== undefined && mayReplaceIn(folder)) {
    return found('kms-socket-open', `Other users may write to the folder of ${parsed.path}.`);
  }
  if (folder !== undefined && socket !== undefined && mayConnect(folder, socket)) {
    return found('kms-socket-open', `Other users may connect to ${parsed.path}.`);
  }
  if (socket === undefined) return found('kms-socket-missing', `There is no ${parsed.path} on this machine.`);
  if (!socket.isSocket) return found('kms-socket-missing', `${parsed.path} is no socket.`);
  return [];
}

/** In a sticky folder (`/tmp`) others may still take the name while the plugin is down. */
function mayReplaceIn(folder: FileStatus): boolean {
  return (folder.mode & OTHERS_WRITE) !== 0;
}

function mayConnect(folder: FileStatus, socket: FileStatus): boolean {
  return (folder.mode & OTHERS_ENTER) !== 0 && (socket.mode & OTHERS_WRITE) !== 0;
}

function folderOf(path: string): string {
  return path.slice(0, Math.max(path.lastIndexOf('/'), 1));
}
