/**
 * Delivered log files: their names in CloudTrail's layout, their listing, their records.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';

const decompress = promisify(gunzip);

/** A log file holds at most one journal segment (16 MiB and the record that filled it). Beyond this it is not ours. */
const MAX_LOG_FILE_BYTES = 64 * 1024 * 1024;

/** `/` separated, in the audit folder. */
function trailFolder(kind: 'CloudTrail' | 'CloudTrail-Digest', accountId: string, region: string): string {
  return `AWSLogs/${accountId}/${kind}/${region}`;
}

/** The day in a path of the layout, YYYY-MM-DD; undefined for other paths. */
export function dayOfPath(path: string): string | undefined {
  const match = /^AWSLogs\/\d{12}\/CloudTrail(?:-Digest)?\/[a-z0-9-]+\/(\d{4})\/(\d\d)\/(\d\d)\//.exec(path);
  return match === null ? undefined : `${match[1]}-${match[2]}-${match[3]}`;
}

/** `S`, the number of the last record (11 digits), 4 hexadecimal digits of the content's hash: as long as CloudTrail's. */
export function uniqueName(lastSequence: number, sha256: string): string {
  return `S${lastSequence.toString().padStart(11, '0')}${sha256.slice(0, 4)}`;
}

export interface LogFileName {
  readonly path: string;
  /** Of the last record, to the minute: YYYY-MM-DDTHH:MM. */
  readonly minute: string;
  /** Undefined for names of the first release. */
  readonly lastSequence: number | undefined;
}

/** Every file under `folder`/`under`, `/` separated and relative to `folder`, sorted. Empty when there is no such folder. */
export async function filesUnder(folder: string, under: string): Promise<string[]> {
  try {
    const entries = await readdir(join(folder, under), { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
      .toSorted();
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
}

/** Log files of one trail, oldest first. */
export async function logFilesOf(folder: string, accountId: string, region: string): Promise<LogFileName[]> {
  const paths = await filesUnder(folder, trailFolder('CloudTrail', accountId, region));
  const names = paths.map(parseLogFileName).filter((name) => name !== undefined);
  return names.toSorted(
    (a, b) => (a.lastSequence ?? 0) - (b.lastSequence ?? 0) || (a.path < b.path ? -1 : 1),
  );
}

function parseLogFileName(path: string): LogFileName | undefined {
  const match = /_(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)Z_(?:S(\d{11})[0-9a-f]{4}|[0-9a-f]{16})\.json\.gz$/.exec(
    path,
  );
  if (match === null) return undefined;
  const [, year, month, day, hour, minute, sequence] = match;
  return {
    path,
    minute: `${year}-${month}-${day}T${hour}:${minute}`,
    lastSequence: sequence === undefined ? undefined : Number(sequence),
  };
}

export interface LogFileContent {
  /** As it lies there. */
  readonly compressed: Buffer;
  readonly json: string;
}

/** @returns undefined when the file is not gzip of a bearable size; @throws the file system's error */
export async function readGzip(folder: string, path: string): Promise<LogFileContent | undefined> {
  const compressed = await readFile(join(folder, path));
  try {
    const json = await decompress(compressed, { maxOutputLength: MAX_LOG_FILE_BYTES });
    return { compressed, json: json.toString('utf8') };
  } catch {
    return undefined;
  }
}

const PREFIX = '{"Records":[';
const SUFFIX = ']}';

export function joinRecords(lines: readonly string[]): string {
  return [...joinedPieces(lines, lines.length)].join('');
}

/** What joinRecords gives, in pieces of so many lines. */
export function* joinedPieces(lines: readonly string[], linesAPiece: number): Iterable<string> {
  yield PREFIX;
  for (let at = 0; at < lines.length; at += linesAPiece) {
    yield `${at === 0 ? '' : ','}${lines.slice(at, at + linesAPiece).join(',')}`;
  }
  yield SUFFIX;
}

/**
 * The records of a log file, each exactly as it was hashed. Undefined when the text is not a list of objects in our writing:
 * brackets that do not match, or anything between the records but a comma.
 */
export function splitRecords(json: string): string[] | undefined {
  if (!json.startsWith(PREFIX) || !json.endsWith(SUFFIX)) return undefined;
  const end = json.length - SUFFIX.length;
  const records: string[] = [];
  for (let at = PREFIX.length; at < end;) {
    const stop = endOfObject(json, at, end);
    if (stop === undefined) return undefined;
    records.push(json.slice(at, stop));
    if (stop < end && json[stop] !== ',') return undefined;
    at = stop + 1;
  }
  return records;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN = 0x7b;
const CLOSE = 0x7d;

/** Where the object that begins at `start` ends, exclusive. */
function endOfObject(json: string, start: number, end: number): number | undefined {
  if (json.charCodeAt(start) !== OPEN) return undefined;
  let depth = 0;
  let quoted = false;
  for (let i = start; i < end; i++) {
    const char = json.charCodeAt(i);
    if (quoted) {
      if (char === BACKSLASH) i++;
      else if (char === QUOTE) quoted = false;
    } else if (char === QUOTE) quoted = true;
    else if (char === OPEN) depth++;
    else if (char === CLOSE && --depth === 0) return i + 1;
  }
  return undefined;
}
