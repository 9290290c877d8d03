/**
 * A closed journal segment becomes log files in CloudTrail's layout:
 * `AWSLogs/<account>/CloudTrail/<region>/<yyyy>/<mm>/<dd>/<account>_CloudTrail_<region>_<yyyymmddThhmmZ>_<unique>.json.gz`,
 * each `{"Records":[…]}`, and one signed digest for each trail.
 *
 * Names and contents are made from the records alone, so delivering a segment again after a crash writes the same files.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { parseLine, sha256Hex } from './chain.js';
import { type DigestedLogFile, writeDigest } from './digest.js';
import { writeDurably } from './durable-file.js';
import type { TrailHead } from './heads.js';
import { joinedPieces, logFilesOf, readGzip, splitRecords, uniqueName } from './log-files.js';
import type { AuditSigner } from './signing-key.js';

const compress = promisify(gzip);
const LINES_PER_TURN = 256;
const LINE_FEED = 0x0a;

/** The lines of one trail and day, in their order. */
interface LogFileLines {
  readonly stem: string;
  readonly lines: string[];
  lastSequence: number;
  newestEventTime: string;
  oldestEventTime: string;
}

interface TrailLines {
  readonly accountId: string;
  readonly region: string;
  readonly files: LogFileLines[];
}

/**
 * Writes log files and digests of a segment; the segment stays.
 *
 * @param heads of what was delivered before
 * @returns the heads after this segment
 */
export async function deliverSegment(
  folder: string,
  segmentPath: string,
  heads: ReadonlyMap<string, TrailHead>,
  signer: AuditSigner,
): Promise<Map<string, TrailHead>> {
  const after = new Map(heads);
  const segment = await readFile(segmentPath);
  for (const [name, trail] of await groupByTrail(segment)) {
    const head = heads.get(name);
    const lastFile = trail.files.at(-1);
    const lastLine = lastFile?.lines.at(-1);
    if (lastFile === undefined || lastLine === undefined) continue;
    // Delivered already, and the process ended before it could remove the segment.
    if (head?.digest !== undefined && head.sequence >= lastFile.lastSequence) continue;
    const { accountId, region } = trail;
    const adopted = head?.digest === undefined ? await filesBeforeDigests(folder, accountId, region) : [];
    const written: DigestedLogFile[] = [];
    for (const file of trail.files) written.push(await writeLogFile(folder, file));
    const names = new Set(written.map(({ path }) => path));
    const digest = await writeDigest(
      folder,
      {
        accountId,
        region,
        lastSequence: lastFile.lastSequence,
        logFiles: [...adopted.filter(({ path }) => !names.has(path)), ...written],
        previous: head?.digest,
      },
      signer,
    );
    after.set(name, { sequence: lastFile.lastSequence, sha256: sha256Hex(lastLine), digest });
  }
  return after;
}

async function writeLogFile(folder: string, file: LogFileLines): Promise<DigestedLogFile> {
  const { lines, lastSequence, newestEventTime, oldestEventTime } = file;
  const { json, sha256 } = await joinInTurns(lines);
  const compressed = await compress(json);
  const minute = `${newestEventTime.slice(0, 16).replaceAll(/[-:]/g, '')}Z`;
  const path = `${file.stem}_${minute}_${uniqueName(lastSequence, sha256)}.json.gz`;
  await writeDurably(join(folder, path), compressed);
  return { path, sha256, fileSha256: sha256Hex(compressed), oldestEventTime, newestEventTime };
}

/** Records stay byte for byte as they were hashed. */
async function joinInTurns(
  lines: readonly string[],
): Promise<{ readonly json: Buffer; readonly sha256: string }> {
  const pieces: Buffer[] = [];
  const hash = createHash('sha256');
  for (const text of joinedPieces(lines, LINES_PER_TURN)) {
    const piece = Buffer.from(text);
    hash.update(piece);
    pieces.push(piece);
    await setImmediate();
  }
  return { json: Buffer.concat(pieces), sha256: hash.digest('hex') };
}

/** The whole lines of a segment; behind the last line feed there is nothing. */
function* linesOf(segment: Buffer): Iterable<string> {
  let at = 0;
  for (let end = segment.indexOf(LINE_FEED); end >= 0; end = segment.indexOf(LINE_FEED, at)) {
    yield segment.toString('utf8', at, end);
    at = end + 1;
  }
}

/** Calls are being answered meanwhile: no long turns of the event loop. A file is named after the last minute in it. */
async function groupByTrail(segment: Buffer): Promise<ReadonlyMap<string, TrailLines>> {
  const trails = new Map<string, TrailLines>();
  let count = 0;
  for (const line of linesOf(segment)) {
    if (++count % LINES_PER_TURN === 0) await setImmediate();
    const parsed = parseLine(line);
    if (parsed === undefined) continue;
    const { accountId, region, eventTime, sequence } = parsed;
    let trail = trails.get(parsed.trail);
    if (trail === undefined) trails.set(parsed.trail, (trail = { accountId, region, files: [] }));
    const day = eventTime.slice(0, 10).replaceAll('-', '/');
    const stem = `AWSLogs/${accountId}/CloudTrail/${region}/${day}/${accountId}_CloudTrail_${region}`;
    let file = trail.files.at(-1);
    // Calls are recorded when they end: a day's first records may be followed by one that began the day before.
    if (file === undefined || file.stem < stem) {
      file = {
        stem,
        lines: [],
        lastSequence: 0,
        newestEventTime: eventTime,
        oldestEventTime: eventTime,
      };
      trail.files.push(file);
    }
    file.lines.push(line);
    file.lastSequence = sequence;
    if (eventTime > file.newestEventTime) file.newestEventTime = eventTime;
    if (eventTime < file.oldestEventTime) file.oldestEventTime = eventTime;
  }
  return trails;
}

/** Log files that were delivered before there were digests: the trail's first digest covers them as they are. */
async function filesBeforeDigests(
  folder: string,
  accountId: string,
  region: string,
): Promise<DigestedLogFile[]> {
  const files: DigestedLogFile[] = [];
  for (const { path } of await logFilesOf(folder, accountId, region)) {
    const content = await readGzip(folder, path);
    const times = content && splitRecords(content.json)?.map((line) => parseLine(line)?.eventTime ?? '');
    if (content === undefined || times === undefined) continue;
    const sorted = times.toSorted();
    files.push({
      path,
      sha256: sha256Hex(content.json),
      fileSha256: sha256Hex(content.compressed),
      oldestEventTime: sorted[0] ?? '',
      newestEventTime: sorted.at(-1) ?? '',
    });
  }
  return files;
}
