/** A full disk refuses writes with `no-space`; reads go on, and writes too once there is room. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { openLmdbStore } from './open.js';
import type { FullDiskOutcome } from './testing/full-disk-process.js';
import { temporaryDirectory } from './testing/temporary-directory.js';

const PROCESS = fileURLToPath(new URL('testing/full-disk-process.js', import.meta.url));
/** In the shell's blocks of 512 bytes: 1 MiB. */
const LIMIT_BLOCKS = 2048;

test('no space: the write is refused, nothing is lost, reads go on, writing resumes', async (t) => {
  const path = await temporaryDirectory(t);
  const command = `ulimit -S -f ${LIMIT_BLOCKS} && exec "$0" "$1" "$2"`;
  const { stdout } = await promisify(execFile)('sh', ['-c', command, process.execPath, PROCESS, path]);
  const outcome = JSON.parse(stdout) as FullDiskOutcome;
  assert.equal(outcome.code, 'no-space');
  assert.match(outcome.message, /no space left .*free space/s);
  assert.equal(outcome.lifted, 0, 'prlimit is missing; run: apt-get install util-linux');
  const { acknowledged, acknowledgedTogether, revision } = outcome;
  assert.ok(acknowledged > 50);
  assert.ok(outcome.rejectedTogether > 0);
  assert.equal(outcome.readable, acknowledged);
  assert.equal(outcome.firstBytes, 4000);
  assert.equal(revision, 1 + acknowledged + acknowledgedTogether, 'refused writes took no revision');
  assert.equal(outcome.next, revision + 1);
  const store = await openLmdbStore({ path });
  assert.equal(
    (await store.range({ key: Buffer.from('k'), rangeEnd: Buffer.from('l') })).count,
    acknowledged,
  );
  assert.equal((await store.get(Buffer.from('after'))).kv?.modRevision, outcome.next);
  await store.close();
});
