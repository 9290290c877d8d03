/**
 * A closed journal segment becomes log files in CloudTrail's layout:
 * `AWSLogs/<account>/CloudTrail/<region>/<yyyy>/<mm>/<dd>/<account>_CloudTrail_<region>_<yyyymmddThhmmZ>_<unique>.json.gz`,
 * each `{"Records":[…]}`.
 *
 * The name is made from the content, so delivering a segment again after a crash writes the same files. The segment is
 * removed last.
 */
import { createHash } from 'node:crypto';
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { parseLine } from './chain.js';

const compress = promisify(gzip);
const LINES_PER_TURN = 256;

/** @param beforeRemoval runs when the files are safe and before the segment goes: the chain's heads are kept there */
export async function deliverSegment(
  folder: string,
  segmentPath: string,
  beforeRemoval: () => void,
): Promise<void> {
  const text = await readFile(segmentPath, 'utf8');
  for (const [name, lines] of await groupByLogFile(text)) {
    const unique = createHash('sha256').update(lines.join('\n')).digest('hex').slice(0, 16);
    // Records stay byte for byte as they were hashed.
    const content = await compress(`{"Records":[${lines.join(',')}]}`);
    await writeDurably(join(folder, `${name}_${unique}.json.gz`), content);
  }
  beforeRemoval();
  await rm(segmentPath);
}

/** Lines by the file they belong to, in their order. A file is named after the last minute in it. */
async function groupByLogFile(text: string): Promise<ReadonlyMap<string, readonly string[]>> {
  const groups = new Map<string, { lines: string[]; minute: string; stem: string }>();
  let count = 0;
  for (const line of text.split('\n')) {
    // Calls are being answered meanwhile: no long turns of the event loop.
    if (++count % LINES_PER_TURN === 0) await setImmediate();
    const parsed = line === '' ? undefined : parseLine(line);
    if (parsed === undefined) continue;
    const { accountId, region, eventTime } = parsed;
    const day = eventTime.slice(0, 10).replaceAll('-', '/');
    const stem = `AWSLogs/${accountId}/CloudTrail/${region}/${day}/${accountId}_CloudTrail_${region}`;
    let group = groups.get(stem);
    if (group === undefined) groups.set(stem, (group = { lines: [], minute: '', stem }));
    group.lines.push(line);
    group.minute = `${eventTime.slice(0, 16).replaceAll(/[-:]/g, '')}Z`;
  }
  return new Map([...groups.values()].map(({ lines, minute, stem }) => [`${stem}_${minute}`, lines]));
}

async function writeDurably(path: string, content: Buffer): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const file = await open(`${path}.new`, 'w', 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(`${path}.new`, path);
  const folder = await open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
