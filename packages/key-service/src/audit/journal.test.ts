// Goal: a record that was acknowledged is on disk, in order, chained, and delivered exactly once into CloudTrail's layout,
// whatever happened to the process in between.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { appendFile, cp, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { pino } from 'pino';
import { KeyServiceError } from '../errors.js';
import { testSigner } from '../testing/audit-signer.js';
import { GENESIS } from './chain.js';
import { AuditJournal } from './journal.js';

const ACCOUNT = '111122223333';
const logger = pino({ level: 'silent' });

async function makeFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'waxseal-audit-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

const open = (folder: string, now = () => 0): Promise<AuditJournal> =>
  AuditJournal.open({ folder, now, logger, signer: testSigner });

const append = (
  journal: AuditJournal,
  eventID: string,
  region = 'us-east-1',
  eventTime = '2026-01-02T03:04:05Z',
) => journal.append(ACCOUNT, region, { eventID, eventTime, awsRegion: region, recipientAccountId: ACCOUNT });

interface DeliveredRecord {
  readonly eventID: string;
  readonly waxsealChain: { readonly sequence: number; readonly previousSha256: string };
}

async function deliveredFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true });
  return entries.filter((path) => path.endsWith('.json.gz') && path.includes('/CloudTrail/')).toSorted();
}

/** Records of one region in the order of their chain, each checked against the one before. */
async function delivered(folder: string, region = 'us-east-1'): Promise<string[]> {
  const records: DeliveredRecord[] = [];
  for (const path of await deliveredFiles(folder)) {
    if (!path.includes(`/${region}/`)) continue;
    const { Records } = JSON.parse(gunzipSync(await readFile(join(folder, path))).toString()) as {
      Records: DeliveredRecord[];
    };
    records.push(...Records);
  }
  records.sort((a, b) => a.waxsealChain.sequence - b.waxsealChain.sequence);
  let previous = GENESIS;
  records.forEach((record, index) => {
    assert.equal(record.waxsealChain.sequence, index + 1);
    assert.equal(record.waxsealChain.previousSha256, previous, `record ${index + 1}`);
    previous = createHash('sha256').update(JSON.stringify(record)).digest('hex');
  });
  return records.map(({ eventID }) => eventID);
}

test('an acknowledged record is in the journal, for its owner only', async (t) => {
  const folder = await makeFolder(t);
  const journal = await open(folder);
  await append(journal, 'one');
  const path = join(folder, 'journal', '000000000001.jsonl');
  assert.match(await readFile(path, 'utf8'), /^\{"eventID":"one".*\}\n$/);
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  await journal.close();
});

test('records go to CloudTrail folders by account, region and day', async (t) => {
  const folder = await makeFolder(t);
  const journal = await open(folder);
  await append(journal, 'a');
  await append(journal, 'b', 'eu-west-1');
  await append(journal, 'c', 'us-east-1', '2026-01-03T00:00:00Z');
  await journal.close();
  const names = (await deliveredFiles(folder)).map((path) => path.replace(/_S[0-9a-f]{15}\.json\.gz$/, ''));
  const trail = `AWSLogs/${ACCOUNT}/CloudTrail`;
  assert.deepEqual(names, [
    `${trail}/eu-west-1/2026/01/02/${ACCOUNT}_CloudTrail_eu-west-1_20260102T0304Z`,
    `${trail}/us-east-1/2026/01/02/${ACCOUNT}_CloudTrail_us-east-1_20260102T0304Z`,
    `${trail}/us-east-1/2026/01/03/${ACCOUNT}_CloudTrail_us-east-1_20260103T0000Z`,
  ]);
  assert.deepEqual(await readdir(join(folder, 'journal')), ['reserve']);
});

test('the chain goes on over restarts and segments', async (t) => {
  const folder = await makeFolder(t);
  let nowMs = 0;
  for (let run = 0; run < 3; run++) {
    const journal = await open(folder, () => nowMs);
    for (let i = 0; i < 4; i++) {
      await append(journal, `${run}.${i}`);
      nowMs += 200_000;
    }
    await journal.close();
  }
  assert.deepEqual(
    await delivered(folder),
    [0, 1, 2].flatMap((run) => [0, 1, 2, 3].map((i) => `${run}.${i}`)),
  );
});

test('concurrent records are all there, in the order they were given', async (t) => {
  const folder = await makeFolder(t);
  const journal = await open(folder);
  const ids = Array.from({ length: 500 }, (_, i) => `r${i}`);
  await Promise.all(ids.map((id) => append(journal, id)));
  await journal.close();
  assert.deepEqual(await delivered(folder), ids);
});

test('after a crash whole records count and a torn one does not', async (t) => {
  const folder = await makeFolder(t);
  const crashed = await open(folder);
  await append(crashed, 'a');
  await append(crashed, 'b');
  // The folder as a crash would have left it: the journal is there, nothing was delivered.
  const copy = await makeFolder(t);
  await cp(folder, copy, { recursive: true });
  await crashed.close();
  await appendFile(join(copy, 'journal', '000000000001.jsonl'), '{"eventID":"torn","eventTi');

  const journal = await open(copy);
  await append(journal, 'c');
  await journal.close();
  assert.deepEqual(await delivered(copy), ['a', 'b', 'c']);
});

test('a delivery that was cut short is made again without doubles', async (t) => {
  const folder = await makeFolder(t);
  const journal = await open(folder);
  await append(journal, 'a');
  const segment = join(folder, 'journal', '000000000001.jsonl');
  const lines = await readFile(segment);
  await journal.close();
  await writeFile(segment, lines);
  await (await open(folder)).close();
  assert.deepEqual(await delivered(folder), ['a']);
});

test('a line that is no record is evidence, not something to skip', async (t) => {
  const folder = await makeFolder(t);
  const journal = await open(folder);
  await append(journal, 'a');
  await journal.close();
  await writeFile(join(folder, 'journal', '000000000009.jsonl'), 'not json\n');
  await assert.rejects(
    open(folder),
    (error) => error instanceof KeyServiceError && error.code === 'audit-corrupt',
  );
});

test('a closed journal takes nothing', async (t) => {
  const journal = await open(await makeFolder(t));
  await journal.close();
  await assert.rejects(
    append(journal, 'late'),
    (error) => error instanceof KeyServiceError && error.code === 'closed',
  );
});
