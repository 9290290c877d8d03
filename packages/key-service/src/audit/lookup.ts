/**
 * Finds records of one trail, newest first, in the open journal and in delivered files, one page at a time.
 *
 * No index: a page reads at most a handful of files, skips by name those outside the time range, and says where the next
 * one goes on. Memory is bounded by one file, time by the number of files; a page may be empty and still have a next one.
 */
import { readFile } from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';
import type { JsonObject } from '../http/json-body.js';
import { parseLine, trailName } from './chain.js';
import { logFilesOf, readGzip, splitRecords } from './log-files.js';
import { segmentNumbers, segmentPath } from './segment.js';

const MAX_FILES_PER_PAGE = 32;
const LINES_PER_TURN = 256;

export interface AuditQuery {
  readonly accountId: string;
  readonly region: string;
  readonly startMs: number;
  readonly endMs: number;
  /** Only records numbered below this: where an earlier page ended. */
  readonly before?: number | undefined;
  readonly limit: number;
  /** A text every match contains: lines without it are not parsed. */
  readonly needle?: string | undefined;
  matches(record: JsonObject): boolean;
}

export interface FoundRecord {
  /** JSON, as it was recorded, without the chain. */
  readonly record: JsonObject;
  readonly sequence: number;
}

export interface AuditPage {
  /** Highest number first. */
  readonly found: readonly FoundRecord[];
  /** `before` of the next page; absent when there is nothing more. */
  readonly next?: number;
}

/** A source of lines, newest source first. */
interface LineSource {
  /** False for a journal segment; there are one or two of those. */
  readonly delivered: boolean;
  /** Of the newest line of the next older source, as far as its name says. */
  readonly olderSequence: number;
  readonly newestMinute: string;
  readonly olderMinute: string;
  read(): Promise<readonly string[]>;
}

/** @throws the file system's errors */
export async function lookUpRecords(folder: string, query: AuditQuery): Promise<AuditPage> {
  const found: FoundRecord[] = [];
  let before = query.before ?? Number.POSITIVE_INFINITY;
  let files = 0;
  const startMinute = new Date(query.startMs).toISOString().slice(0, 16);
  const endMinute = new Date(query.endMs).toISOString().slice(0, 16);
  for (const source of await sources(folder, query)) {
    // All of it is newer than what is asked for, or was on an earlier page.
    if (source.olderSequence >= before - 1 || source.olderMinute > endMinute) continue;
    if (source.newestMinute < startMinute) return { found };
    if (source.delivered && files++ === MAX_FILES_PER_PAGE) return { found, next: before };
    let turn = 0;
    for (const line of (await source.read()).toReversed()) {
      // Calls are being answered meanwhile: no long turns of the event loop.
      if (++turn % LINES_PER_TURN === 0) await setImmediate();
      const hit = match(line, before, query);
      if (hit === undefined) continue;
      if (found.length === query.limit) return { found, next: before };
      found.push(hit);
      before = hit.sequence;
    }
    if (Number.isFinite(source.olderSequence)) before = Math.min(before, source.olderSequence + 1);
  }
  return { found };
}

function match(line: string, before: number, query: AuditQuery): FoundRecord | undefined {
  if (query.needle !== undefined && !line.includes(query.needle)) return undefined;
  const parsed = parseLine(line);
  if (parsed === undefined || parsed.trail !== trailName(query.accountId, query.region)) return undefined;
  const { sequence, eventTime } = parsed;
  const timeMs = Date.parse(eventTime);
  if (sequence >= before || timeMs < query.startMs || timeMs > query.endMs) return undefined;
  if (!query.matches(parsed.record)) return undefined;
  const { waxsealChain: _chain, ...record } = parsed.record;
  return { record, sequence };
}

/** The journal is listed first: what is delivered between the two listings is then in one of them at least. */
async function sources(folder: string, { accountId, region }: AuditQuery): Promise<LineSource[]> {
  const journal = segmentNumbers(folder)
    .toReversed()
    .map((number): LineSource => ({
      delivered: false,
      olderSequence: Number.NEGATIVE_INFINITY,
      newestMinute: '9',
      olderMinute: '',
      read: () => readSegment(folder, number),
    }));
  const files = (await logFilesOf(folder, accountId, region)).toReversed();
  const delivered = files.map(({ path, minute }, index): LineSource => {
    const older = files[index + 1];
    return {
      delivered: true,
      olderSequence: older?.lastSequence ?? (older === undefined ? 0 : Number.NEGATIVE_INFINITY),
      newestMinute: minute,
      olderMinute: older?.minute ?? '',
      read: async () => {
        const content = await readGzip(folder, path).catch(() => undefined);
        return (content && splitRecords(content.json)) ?? [];
      },
    };
  });
  return [...journal, ...delivered];
}

async function readSegment(folder: string, number: number): Promise<readonly string[]> {
  // Delivered and gone since it was listed: then the log files have it.
  const text = await readFile(segmentPath(folder, number), 'utf8').catch(() => '');
  return text.slice(0, text.lastIndexOf('\n') + 1).split('\n');
}
