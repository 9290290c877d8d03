// Goal: on a full audit disk changes fail before anything is changed, what changes nothing is recorded and answered, and all goes
// on by itself when there is space again. Method: a journal whose writes fail like a full disk's.
import assert from 'node:assert/strict';
import { existsSync, writeSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { CreateKeyCommand, DescribeKeyCommand, ListKeysCommand } from '@aws-sdk/client-kms';
import { pino } from 'pino';
import { testSigner } from '../testing/audit-signer.js';
import { startTestService } from '../testing/harness.js';
import { rejectsWith } from '../testing/rejects.js';
import { AuditJournal } from './journal.js';
import { verifyAudit } from './verify.js';

class DiskFull extends Error {
  readonly code = 'ENOSPC';
}

test('the reserve takes the records of a full disk, and comes back with the space', async (t) => {
  const folder = await makeFolder(t);
  const reserve = join(folder, 'journal', 'reserve');
  let nowMs = 0;
  let full = false;
  const journal = await AuditJournal.open({
    folder,
    now: () => nowMs,
    logger: pino({ level: 'silent' }),
    signer: testSigner,
    write: (fd, bytes, offset) => {
      // Half a record, then no more: what a disk that fills up does.
      if (full && existsSync(reserve)) {
        if (offset > 0) throw new DiskFull();
        return writeSync(fd, bytes, 0, Math.floor(bytes.length / 2));
      }
      return writeSync(fd, bytes, offset);
    },
  });
  const append = (eventID: string): Promise<void> =>
    journal.append('111122223333', 'us-east-1', {
      eventID,
      eventTime: '2026-01-02T03:04:05Z',
      awsRegion: 'us-east-1',
      recipientAccountId: '111122223333',
    });
  await append('a');
  full = true;
  await append('b');
  assert.equal(journal.state, 'full');
  assert.equal(existsSync(reserve), false);
  await append('c');
  full = false;
  assert.equal(journal.recover(), 'full');
  nowMs += 5_000;
  assert.equal(journal.recover(), 'open');
  assert.equal(existsSync(reserve), true);
  await append('d');
  const text = await readFile(join(folder, 'journal', '000000000001.jsonl'), 'utf8');
  assert.deepEqual(
    text
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { eventID: string }).eventID),
    ['a', 'b', 'c', 'd'],
  );
  await journal.close();
  assert.deepEqual((await verifyAudit({ folder })).findings, []);
});

test('a journal that cannot write at all refuses, and the chain goes on without the lost records', async (t) => {
  const folder = await makeFolder(t);
  let broken = false;
  const journal = await AuditJournal.open({
    folder,
    now: () => 0,
    logger: pino({ level: 'silent' }),
    signer: testSigner,
    write: (fd, bytes, offset) => {
      if (broken) throw new DiskFull();
      return writeSync(fd, bytes, offset);
    },
  });
  const record = {
    eventTime: '2026-01-02T03:04:05Z',
    awsRegion: 'us-east-1',
    recipientAccountId: '111122223333',
  };
  const append = (): Promise<void> => journal.append('111122223333', 'us-east-1', record);
  await append();
  broken = true;
  await assert.rejects(Promise.all([append(), append()]), { code: 'ENOSPC' });
  assert.equal(journal.state, 'failing');
  broken = false;
  await append();
  await journal.close();
  const { findings, records } = await verifyAudit({ folder });
  assert.deepEqual(findings, []);
  assert.equal(records, 2);
});

test('a change is refused before it happens, reads go on, all of it is recorded', async (t) => {
  let full = false;
  const kms = await startTestService({
    writeAudit: (fd, bytes, offset) => {
      if (full && existsSync(join(kms.dataDir, 'audit', 'journal', 'reserve'))) throw new DiskFull();
      return writeSync(fd, bytes, offset);
    },
  });
  t.after(() => kms.close());
  const client = kms.client();
  const { KeyMetadata } = await client.send(new CreateKeyCommand({}));
  const KeyId = KeyMetadata?.KeyId ?? '';
  full = true;
  await client.send(new DescribeKeyCommand({ KeyId }));
  await assert.rejects(
    client.send(new CreateKeyCommand({})),
    /audit log cannot be written.*nothing was changed/,
  );
  await rejectsWith(client.send(new CreateKeyCommand({})), 'KMSInternalException');
  await client.send(new DescribeKeyCommand({ KeyId }));
  full = false;
  const { Keys } = await client.send(new ListKeysCommand({}));
  assert.deepEqual(
    Keys?.map((key) => key.KeyId),
    [KeyId],
  );
});

async function makeFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'waxseal-full-disk-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}
