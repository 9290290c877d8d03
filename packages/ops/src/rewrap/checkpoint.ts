/**
 * How far a run has come, in a file: whoever starts again with it goes on there. It names what it belongs to, and is refused for anything
 * else.
 */
import { readFileSync, rmSync, statSync } from 'node:fs';
import { errorMessage } from '@waxseal/envelope';
import { OpsError } from '../errors.js';
import { replaceFile } from '../replace-file.js';
import { countNames, noCounts, type RewrapCounts } from './counts.js';

/** What a checkpoint is for. All of it must be the same. */
export interface RunIdentity {
  /** Of the EncryptionConfiguration's bytes, `sha256:…`. */
  readonly configHash: string;
  /** Of the etcd cluster; empty where there is none. */
  readonly clusterId: string;
  readonly prefix: string;
  /** Sorted. */
  readonly resources: readonly string[];
}

export interface Progress {
  /** Which keyspace; as many as there are when all are done. */
  readonly keyspace: number;
  /** Everything up to this key is done; undefined: nothing of the keyspace. */
  readonly lastKey: Buffer | undefined;
  /** Keys passed, also those no rule covers. */
  readonly seen: number;
  readonly counts: RewrapCounts;
}

const VERSION = 1;
const MAX_BYTES = 1 << 20;

/** @throws OpsError state-invalid when the file is damaged or another run's; undefined when there is none */
export function readCheckpoint(path: string, identity: RunIdentity): Progress | undefined {
  let text: string;
  try {
    if (statSync(path).size > MAX_BYTES) throw damaged(path, 'it is too large');
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof OpsError) throw error;
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw new OpsError('state-invalid', `the checkpoint cannot be read: ${errorMessage(error)}`, error);
  }
  const fields = parseFields(path, text);
  if (fields['version'] !== VERSION) throw damaged(path, 'its version is not known');
  for (const [name, mine] of Object.entries(identity)) {
    if (JSON.stringify(fields[name]) === JSON.stringify(mine)) continue;
    throw new OpsError(
      'state-invalid',
      `the checkpoint ${path} is of another run: its ${WORDS[name as keyof RunIdentity]} differs. Remove the file to begin again, or name another one.`,
    );
  }
  return progressOf(path, fields);
}

const WORDS: Readonly<Record<keyof RunIdentity, string>> = {
  configHash: 'encryption configuration',
  clusterId: 'etcd cluster',
  prefix: 'key prefix',
  resources: 'list of resources',
};

/** Replaces the file in one step; mode 0600. @throws OpsError state-invalid */
export async function writeCheckpoint(
  path: string,
  identity: RunIdentity,
  progress: Progress,
): Promise<void> {
  const { keyspace, lastKey, seen, counts } = progress;
  const content = {
    version: VERSION,
    ...identity,
    keyspace,
    lastKey: lastKey?.toString('base64'),
    seen,
    counts,
  };
  try {
    await replaceFile(path, `${JSON.stringify(content)}\n`);
  } catch (error) {
    throw new OpsError(
      'state-invalid',
      `the checkpoint ${errorMessage(error)}. What is rewritten stays so; an older checkpoint is as it was.`,
      error,
    );
  }
}

/** The run is over. */
export function removeCheckpoint(path: string): void {
  rmSync(path, { force: true });
}

function parseFields(path: string, text: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw damaged(path, 'it is not JSON');
  }
  if (typeof value !== 'object' || value === null) throw damaged(path, 'it is not a JSON object');
  return value as Readonly<Record<string, unknown>>;
}

function progressOf(path: string, fields: Readonly<Record<string, unknown>>): Progress {
  const number = (value: unknown, name: string): number => {
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
    throw damaged(path, `its ${name} is not a number`);
  };
  const given = fields['counts'];
  if (typeof given !== 'object' || given === null) throw damaged(path, 'it has no counts');
  const counts = noCounts();
  for (const name of countNames) counts[name] = number((given as Record<string, unknown>)[name], name);
  const lastKey = fields['lastKey'];
  if (lastKey !== undefined && typeof lastKey !== 'string') throw damaged(path, 'its last key is not base64');
  return {
    keyspace: number(fields['keyspace'], 'keyspace'),
    lastKey: lastKey === undefined ? undefined : Buffer.from(lastKey, 'base64'),
    seen: number(fields['seen'], 'seen'),
    counts,
  };
}

function damaged(path: string, why: string): OpsError {
  return new OpsError(
    'state-invalid',
    `the checkpoint ${path} is damaged: ${why}. Remove it to begin again.`,
  );
}
