/**
 * Where each trail's hash chain stands, kept across restarts in `heads.json` beside the journal.
 */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { KeyServiceError } from '../errors.js';
import { isJsonObject, type JsonObject } from '../http/json-body.js';

export interface ChainHead {
  readonly sequence: number;
  /** SHA-256 of the record's line, hexadecimal. */
  readonly sha256: string;
}

/** By trail name. */
export type ChainHeads = Map<string, ChainHead>;

/** A trail is one account in one region, as CloudTrail's folders are. */
export function trailName(accountId: string, region: string): string {
  return `${accountId}/${region}`;
}

export interface JournalLine {
  readonly record: JsonObject;
  readonly accountId: string;
  readonly region: string;
  readonly trail: string;
  readonly sequence: number;
  /** YYYY-MM-DDTHH:MM:SSZ. */
  readonly eventTime: string;
}

/** Undefined when the text is not a record with its chain. */
export function parseLine(text: string): JournalLine | undefined {
  const record = parseObject(text);
  const chain = record?.['waxsealChain'];
  const accountId = record?.['recipientAccountId'];
  const region = record?.['awsRegion'];
  const eventTime = record?.['eventTime'];
  if (
    record === undefined ||
    !isJsonObject(chain) ||
    typeof chain['sequence'] !== 'number' ||
    typeof accountId !== 'string' ||
    !/^\d{12}$/.test(accountId) ||
    typeof region !== 'string' ||
    !/^[a-z0-9-]{1,64}$/.test(region) ||
    typeof eventTime !== 'string' ||
    !/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$/.test(eventTime)
  ) {
    return undefined;
  }
  return {
    record,
    accountId,
    region,
    trail: trailName(accountId, region),
    sequence: chain['sequence'],
    eventTime,
  };
}

export function readHeads(folder: string): { readonly heads: ChainHeads; readonly nextSegment: number } {
  const path = join(folder, 'heads.json');
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT')
      return { heads: new Map(), nextSegment: 1 };
    throw new KeyServiceError('audit-unwritable', `${path} cannot be read. Check its owner and mode.`, {
      cause: error,
    });
  }
  const parsed = parseObject(text);
  const nextSegment = parsed?.['nextSegment'];
  const stored = parsed?.['heads'];
  if (typeof nextSegment !== 'number' || !isJsonObject(stored)) throw corrupt(path);
  const heads: ChainHeads = new Map();
  for (const [trail, head] of Object.entries(stored)) {
    if (!isJsonObject(head)) throw corrupt(path);
    const { sequence, sha256 } = head;
    if (typeof sequence !== 'number' || typeof sha256 !== 'string') throw corrupt(path);
    heads.set(trail, { sequence, sha256 });
  }
  return { heads, nextSegment };
}

/** Replaces the file in one step: a crash leaves the old one or the new one. */
export function writeHeads(folder: string, heads: ChainHeads, nextSegment: number): void {
  const path = join(folder, 'heads.json');
  const text = JSON.stringify({ nextSegment, heads: Object.fromEntries(heads) });
  const fd = openSync(`${path}.new`, 'w', 0o600);
  try {
    writeSync(fd, text);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(`${path}.new`, path);
}

function corrupt(path: string): KeyServiceError {
  return new KeyServiceError(
    'audit-corrupt',
    `${path} cannot be read. It says where the audit chain stands: restore it from a backup, or move the audit folder away to begin a new chain.`,
  );
}

function parseObject(text: string): JsonObject | undefined {
  try {
    const parsed: unknown = JSON.parse(text);
    return isJsonObject(parsed) ? parsed : undefined;
  } catch {
    return undefined;
  }
}
