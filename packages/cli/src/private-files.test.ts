/** Goal: private files are private from their first moment and never half-written. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import {
  ensurePrivateDirectory,
  readOrCreate,
  writeNewPrivateFile,
  writePrivateFile,
} from './private-files.js';
import { CliError } from './errors.js';

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'waxseal-files-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

test('writePrivateFile writes 0600 under any umask and replaces in one step', (t) => {
  const path = join(folder(t), 'key');
  const before = process.umask(0);
  try {
    writePrivateFile(path, 'one');
    writePrivateFile(path, 'two');
  } finally {
    process.umask(before);
  }
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(readFileSync(path, 'utf8'), 'two');
  assert.deepEqual(readdirSync(join(path, '..')), ['key']);
});

test('writePrivateFile into a missing folder fails and leaves nothing', (t) => {
  const path = folder(t);
  assert.throws(() => writePrivateFile(join(path, 'no', 'key'), 'x'), { code: 'ENOENT' });
  assert.deepEqual(readdirSync(path), []);
});

test('readOrCreate creates once', async (t) => {
  const path = join(folder(t), 'token');
  let made = 0;
  const create = () => `made ${++made}`;
  assert.equal(await readOrCreate(path, create), 'made 1');
  assert.equal(await readOrCreate(path, create), 'made 1');
});

test('readOrCreate keeps the first of two that create at once, and leaves nothing else behind', async (t) => {
  const path = join(folder(t), 'token');
  const [one, other] = await Promise.all([
    readOrCreate(path, () => 'one'),
    readOrCreate(path, () => 'other'),
  ]);
  assert.equal(one, 'one');
  assert.equal(other, 'one');
  assert.deepEqual(readdirSync(join(path, '..')), ['token']);
});

test('ensurePrivateDirectory creates 0700 and refuses a folder others can write to', (t) => {
  const path = folder(t);
  ensurePrivateDirectory(join(path, 'a', 'b'));
  assert.equal(statSync(join(path, 'a', 'b')).mode & 0o777, 0o700);
  mkdirSync(join(path, 'open'));
  chmodSync(join(path, 'open'), 0o777);
  assert.throws(() => ensurePrivateDirectory(join(path, 'open')), /can be written by other users/);
});

test('the command that closes a folder can be pasted whatever its name', (t) => {
  const path = join(folder(t), "somebody's files");
  mkdirSync(path);
  chmodSync(path, 0o777);
  assert.throws(
    () => ensurePrivateDirectory(path),
    (error) => {
      assert.ok(error instanceof CliError);
      execFileSync('sh', ['-c', error.hint.replace(/^[^:]*: /, '')]);
      return true;
    },
  );
  assert.equal(statSync(path).mode & 0o022, 0);
});

test('writeNewPrivateFile has its name when it is whole, takes none that is there, and leaves nothing when it ends early', async (t) => {
  const parent = folder(t);
  const path = join(parent, 'backup');
  const never = new AbortController().signal;
  const seen: string[][] = [];
  async function* pieces(): AsyncGenerator<Buffer, void> {
    for (const piece of ['a', 'b', 'c']) {
      seen.push(readdirSync(parent));
      yield Buffer.from(piece);
    }
  }
  assert.equal(await writeNewPrivateFile(path, pieces(), never), 3);
  assert.ok(seen.flat().every((name) => name !== 'backup'));
  assert.equal(readFileSync(path, 'utf8'), 'abc');
  assert.equal(statSync(path).mode & 0o777, 0o600);
  await assert.rejects(writeNewPrivateFile(path, pieces(), never), { code: 'EEXIST' });
  assert.equal(readFileSync(path, 'utf8'), 'abc');

  const interrupted = new AbortController();
  async function* cut(): AsyncGenerator<Buffer, void> {
    yield* pieces();
    interrupted.abort(new Error('interrupted'));
    yield Buffer.from('d');
  }
  await assert.rejects(writeNewPrivateFile(join(parent, 'other'), cut(), interrupted.signal), /interrupted/);
  assert.deepEqual(readdirSync(parent), ['backup']);
});
