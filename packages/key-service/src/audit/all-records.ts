/** Every record of an audit folder, trail by trail, oldest first, one file in memory at a time. */
import { readFile } from 'node:fs/promises';
import type { JsonObject } from '../http/json-body.js';
import { parseLine } from './chain.js';
import { filesUnder, readGzip, splitRecords } from './log-files.js';
import { segmentNumbers, segmentPath } from './segment.js';

/** Delivery may go on meanwhile: no record is given twice, one delivered just now may be missed. */
export async function* readAuditRecords(folder: string): AsyncIterable<JsonObject> {
  const lastSequences = new Map<string, number>();
  const paths = await filesUnder(folder, 'AWSLogs');
  const numbers = segmentNumbers(folder);
  for (const path of paths.filter((one) => one.includes('/CloudTrail/') && one.endsWith('.json.gz'))) {
    const content = await readGzip(folder, path).catch(() => undefined);
    for (const line of (content && splitRecords(content.json)) ?? []) {
      const parsed = parseLine(line);
      if (parsed === undefined) continue;
      lastSequences.set(parsed.trail, Math.max(parsed.sequence, lastSequences.get(parsed.trail) ?? 0));
      yield parsed.record;
    }
  }
  for (const number of numbers) {
    const text = await readFile(segmentPath(folder, number), 'utf8').catch(() => '');
    for (const line of text.split('\n')) {
      const parsed = line === '' ? undefined : parseLine(line);
      if (parsed !== undefined && parsed.sequence > (lastSequences.get(parsed.trail) ?? 0))
        yield parsed.record;
    }
  }
}
