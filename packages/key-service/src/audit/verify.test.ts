// Goal: whatever is done to a delivered audit folder, verifying says so and names the file. Method: one folder with two trails
// and several deliveries; for every case a fresh copy, one act of tampering, one verification. Seeds of random acts are printed.
import assert from 'node:assert/strict';
import { cp, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { assert as assertProperty, asyncProperty, constantFrom, integer, nat } from 'fast-check';
import { pino } from 'pino';
import { testSigner } from '../testing/audit-signer.js';
import { AuditJournal } from './journal.js';
import { joinRecords, splitRecords } from './log-files.js';
import { verifyAudit } from './verify.js';

const ACCOUNT = '111122223333';
const logger = pino({ level: 'silent' });
const START = Date.parse('2026-01-02T03:00:00Z');

let root = '';
let original = '';

before(async () => {
  root = await mkdtemp(join(tmpdir(), 'waxseal-verify-'));
  original = join(root, 'original');
  let nowMs = START;
  for (let run = 0; run < 3; run++) {
    const journal = await openJournal(original, () => nowMs);
    for (let i = 0; i < 8; i++) {
      await appendAt(journal, nowMs, i % 2 === 0 ? 'us-east-1' : 'eu-west-1', `${run}.${i}`);
      nowMs += 70_000;
    }
    await journal.close();
  }
  // Zeros for a full disk: no evidence of anything.
  await rm(join(original, 'journal', 'reserve'));
});

after(() => rm(root, { recursive: true, force: true }));

function openJournal(folder: string, now: () => number, retentionDays?: number): Promise<AuditJournal> {
  return AuditJournal.open({ folder, now, logger, signer: testSigner, retentionDays });
}

function appendAt(journal: AuditJournal, atMs: number, region: string, eventID: string): Promise<void> {
  const eventTime = `${new Date(atMs).toISOString().slice(0, 19)}Z`;
  const braces = 'text with "}],{" in it';
  return journal.append(ACCOUNT, region, {
    eventID,
    eventTime,
    awsRegion: region,
    recipientAccountId: ACCOUNT,
    braces,
  });
}

let copies = 0;

async function copyFolder(): Promise<string> {
  const folder = join(root, `copy-${++copies}`);
  await cp(original, folder, { recursive: true });
  return folder;
}

async function files(folder: string, part = ''): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .filter((path) => path.includes(part))
    .toSorted();
}

const logFiles = async (folder: string): Promise<string[]> =>
  (await files(folder, '/CloudTrail/us-east-1/')).filter((path) => path.endsWith('.gz'));

async function editRecords(path: string, edit: (lines: string[]) => string[]): Promise<void> {
  const lines = splitRecords(gunzipSync(await readFile(path)).toString()) ?? [];
  await writeFile(path, gzipSync(joinRecords(edit(lines))));
}

test('an untouched folder verifies', async () => {
  const { findings, records, digestFiles, keyFingerprints } = await verifyAudit({ folder: original });
  assert.deepEqual(findings, []);
  assert.equal(records, 24);
  assert.ok(digestFiles >= 6);
  assert.deepEqual(keyFingerprints, [(await testSigner()).fingerprint]);
});

test('an untouched folder verifies with the pinned key, and with no other', async () => {
  const { publicKeyPem } = await testSigner();
  assert.deepEqual((await verifyAudit({ folder: original, publicKeyPem })).findings, []);
  const folder = await copyFolder();
  await rm(join(folder, 'digest-keys'), { recursive: true });
  const unknown = await verifyAudit({ folder });
  assert.match(unknown.findings[0]?.message ?? '', /not among the trusted ones/);
  await assert.rejects(verifyAudit({ folder, publicKeyPem: 'no key' }), { code: 'invalid-option' });
});

for (const { name, edit, expected } of [
  {
    name: 'a record removed from the middle',
    edit: (lines: string[]) => lines.toSpliced(1, 1),
    expected: /records 2 to 2 are missing before record 3/,
  },
  {
    name: 'two records swapped',
    edit: ([a = '', b = '', ...rest]: string[]) => [b, a, ...rest],
    expected: /records 1 to 1 are missing|comes after/,
  },
  {
    name: 'a record changed',
    edit: (lines: string[]) => lines.map((line) => line.replace('"0.2"', '"9.9"')),
    expected: /record 2 is not the one record 3 was written after/,
  },
  {
    name: 'the last record removed',
    edit: (lines: string[]) => lines.slice(0, -1),
    expected: /its hash is another/,
  },
]) {
  test(`${name} is found and named`, async () => {
    const folder = await copyFolder();
    const [path = ''] = await logFiles(folder);
    await editRecords(join(folder, path), edit);
    const { findings } = await verifyAudit({ folder });
    assert.ok(
      findings.some((finding) => finding.path === path && expected.test(finding.message)),
      JSON.stringify(findings),
    );
  });
}

test('a removed, renamed or added file is found and named, whichever it is', async () => {
  for (const path of await files(original)) {
    const removed = await copyFolder();
    await rm(join(removed, path));
    const { findings } = await verifyAudit({ folder: removed });
    const named = path.startsWith('digest-keys/') ? 'heads.json' : path;
    assert.ok(
      findings.some((finding) => finding.path === named),
      `${path}: ${JSON.stringify(findings)}`,
    );
  }
  const folder = await copyFolder();
  const [first = ''] = await logFiles(folder);
  const added = first.replace('T03', 'T04');
  await rename(join(folder, first), join(folder, added));
  const { findings } = await verifyAudit({ folder });
  assert.deepEqual(
    findings.filter(({ kind }) => kind === 'missing' || kind === 'unexpected').map(({ path }) => path),
    [first, added],
  );
});

test('the newest log file and digest removed together, heads put back to before them: the signature tells', async () => {
  const folder = await copyFolder();
  const heads = await readFile(join(folder, 'heads.json'), 'utf8');
  const edited = heads.replace(/"sequence":12/g, '"sequence":8');
  assert.notEqual(edited, heads);
  await writeFile(join(folder, 'heads.json'), edited);
  const { findings } = await verifyAudit({ folder });
  assert.ok(findings.some(({ path, message }) => path === 'heads.json' && /signature/.test(message)));
});

test('any flipped bit, truncation or appended byte in any file is found', async () => {
  const seed = Date.now() & 0x7fffffff;
  const all = await files(original);
  await assertProperty(
    asyncProperty(
      constantFrom(...all),
      constantFrom('flip', 'truncate', 'append'),
      nat(),
      integer({ min: 0, max: 7 }),
      async (path, act, position, bit) => {
        const folder = await copyFolder();
        const target = join(folder, path);
        const bytes = await readFile(target);
        const at = position % bytes.length;
        if (act === 'flip') bytes[at] = (bytes[at] as number) ^ (1 << bit);
        const changed =
          act === 'truncate'
            ? bytes.subarray(0, at)
            : act === 'append'
              ? Buffer.concat([bytes, Buffer.from('x')])
              : bytes;
        await writeFile(target, changed);
        const { findings } = await verifyAudit({ folder });
        await rm(folder, { recursive: true });
        return findings.some(
          (finding) => finding.path === path || path.startsWith('digest-keys/') || path === 'heads.json',
        );
      },
    ),
    { seed, numRuns: 150, verbose: 1 },
  );
  console.log(`seed ${seed}`);
});

test('the open journal is chained: a line changed, removed or moved in it is found', async () => {
  const folder = await copyFolder();
  const journal = await openJournal(folder, () => START + 86_400_000);
  for (let i = 0; i < 5; i++) await appendAt(journal, START + 86_400_000, 'us-east-1', `open.${i}`);
  const clean = await verifyAudit({ folder });
  assert.deepEqual(clean.findings, []);
  assert.equal(clean.journalRecords, 5);
  const [path = ''] = await files(folder, '.jsonl');
  const lines = (await readFile(join(folder, path), 'utf8')).trimEnd().split('\n');
  for (const changed of [
    lines.toSpliced(2, 1),
    [lines[1] ?? '', lines[0] ?? '', ...lines.slice(2)],
    lines.map((line) => line.replace('open.1', 'open.x')),
    lines.slice(1),
  ]) {
    await writeFile(join(folder, path), `${changed.join('\n')}\n`);
    const { findings } = await verifyAudit({ folder });
    assert.ok(findings.some((finding) => finding.path === path));
  }
  await rm(join(folder, path));
  const gone = await verifyAudit({ folder });
  assert.deepEqual(gone.findings, [{ kind: 'missing', path, message: 'the open journal segment is gone' }]);
  await writeFile(join(folder, path), `${lines.join('\n')}\n`);
  await journal.close();
  assert.deepEqual((await verifyAudit({ folder })).findings, []);
});

test('retention removes old days, and the rest still verifies', async () => {
  const folder = await copyFolder();
  const laterMs = START + 40 * 86_400_000;
  const journal = await openJournal(folder, () => laterMs, 30);
  await appendAt(journal, laterMs, 'us-east-1', 'late');
  await journal.close();
  const left = await logFiles(folder);
  assert.equal(left.length, 1);
  assert.match(left[0] ?? '', /2026\/02\/11/);
  const { findings, records } = await verifyAudit({ folder });
  assert.deepEqual(findings, []);
  assert.equal(records, 1);
});
