/** Goal: a file that cannot be written is named, and the old one stays. Method: real failures of the file system, and a device that is full. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileUnwritable } from './file-unwritable.js';
import { replaceFile } from './replace-file.js';

const folder = mkdtempSync(join(tmpdir(), 'ops-unwritable-'));
after(() => rmSync(folder, { recursive: true }));

function errorOf(action: () => void): unknown {
  try {
    action();
  } catch (error) {
    return error;
  }
  return undefined;
}

test('a full disk is said with the name of the file', () => {
  const full = errorOf(() => writeFileSync('/dev/full', 'x'));
  const error = fileUnwritable('/backups/new.db', full);
  assert.ok(error instanceof Error && 'code' in error);
  assert.equal(error.code, 'file-unwritable');
  assert.match(
    error.message,
    /^\/backups\/new\.db cannot be written: no space is left on its disk \(ENOSPC\); free/,
  );
});

test('what is no error of writing stays as it is', () => {
  const reading = errorOf(() => readFileSync(folder));
  const taken = errorOf(() => writeFileSync(folder, 'x', { flag: 'wx' }));
  const other = new Error('something else');
  for (const error of [reading, taken, other]) assert.equal(fileUnwritable('f', error), error);
});

test('a replacement that fails leaves the old file and nothing beside it', async () => {
  const file = join(folder, 'state');
  await replaceFile(file, 'old');
  const failing = { owner: { uid: -2, gid: -2 } };
  await assert.rejects(replaceFile(file, 'new', failing));
  assert.deepEqual([readFileSync(file, 'utf8'), readdirSync(folder)], ['old', ['state']]);
  await assert.rejects(replaceFile(join(folder, 'absent', 'state'), 'new'), {
    code: 'file-unwritable',
    message: /absent\/state cannot be written: its folder does not exist \(ENOENT\)/,
  });
});
