/**
 * Goal: afterwards the file holds nothing of what was replaced or deleted, and everything else is as it was. Method: small and large values
 * with a marker, replaced and deleted; the folder's files are searched byte for byte before and after.
 */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Store } from '../store.js';
import { openLmdbStore } from './open.js';
import { shrinkLmdbStore } from './shrink.js';
import type { ShrinkOutcome } from './testing/shrink-process.js';
import { temporaryDirectory } from './testing/temporary-directory.js';

const MARKER = 'open-sesame-0123456789';
const PROCESS = fileURLToPath(new URL('testing/shrink-process.js', import.meta.url));

const keyOf = (index: number): Buffer => Buffer.from(`/registry/secrets/a/${index}`);

async function put(store: Store, index: number, value: string): Promise<void> {
  await store.txn({
    compare: [],
    success: [{ kind: 'put', key: keyOf(index), value: Buffer.from(value) }],
    failure: [],
  });
}

/** Forty small and forty large values with the marker, then replaced, a few deleted. */
async function fill(path: string): Promise<void> {
  const store = await openLmdbStore({ path });
  for (const text of [MARKER, 'sealed']) {
    await Promise.all(
      Array.from({ length: 80 }, (_, index) => put(store, index, text.repeat(index < 40 ? 20 : 500))),
    );
  }
  for (const index of [1, 41]) {
    await store.txn({ compare: [], success: [{ kind: 'delete', key: keyOf(index) }], failure: [] });
  }
  await store.close();
}

const hasMarker = (path: string): boolean =>
  readdirSync(path)
    .filter((name) => statSync(join(path, name)).isFile())
    .some((name) => readFileSync(join(path, name)).includes(MARKER));

test('history and free pages are gone, live values, mode and revision stay', async (t) => {
  const path = await temporaryDirectory(t);
  await fill(path);
  assert.ok(hasMarker(path));
  const data = join(path, 'data.mdb');
  chmodSync(data, 0o640);
  const { bytesBefore, bytesAfter, revision } = await shrinkLmdbStore(path);
  assert.ok(!hasMarker(path));
  assert.equal(statSync(data).size, bytesAfter);
  assert.ok(bytesAfter < bytesBefore, `${bytesBefore} to ${bytesAfter}`);
  assert.equal(statSync(data).mode & 0o777, 0o640);
  assert.deepEqual(readdirSync(path), ['data.mdb']);

  const store = await openLmdbStore({ path });
  assert.equal((await store.status()).revision, revision);
  const { kvs } = await store.range({ key: Buffer.from('/'), rangeEnd: Buffer.from('0') });
  assert.equal(kvs.length, 78);
  assert.ok(kvs.every(({ value }) => value.toString().startsWith('sealed')));
  await put(store, 1, 'again');
  assert.equal((await store.get(keyOf(1))).kv?.value.toString(), 'again');
  await store.close();

  // Once more, over what a crash left behind.
  mkdirSync(join(path, 'shrinking'));
  writeFileSync(join(path, 'shrinking', 'data.mdb'), 'half');
  await shrinkLmdbStore(path);
  assert.deepEqual(readdirSync(path), ['data.mdb']);
});

test('a store that is open is refused', async (t) => {
  const path = await temporaryDirectory(t);
  const store = await openLmdbStore({ path });
  await put(store, 1, 'a');
  await assert.rejects(shrinkLmdbStore(path), { code: 'in-use' });
  assert.equal((await store.get(keyOf(1))).kv?.value.toString(), 'a');
  await store.close();
});

async function checkLive(path: string): Promise<void> {
  const store = await openLmdbStore({ path });
  const { kvs } = await store.range({ key: Buffer.from('/'), rangeEnd: Buffer.from('0') });
  await store.close();
  assert.equal(kvs.length, 78);
  assert.ok(kvs.every(({ value }) => value.toString().startsWith('sealed')));
  assert.ok(!readdirSync(path).includes('shrinking'), 'a copy that was cut off is gone');
}

test('kill -9 at any moment: every live value is there', async (t) => {
  const path = await temporaryDirectory(t);
  await fill(path);
  for (let round = 0; round < 8; round++) {
    const child = spawn(process.execPath, [PROCESS, path], { stdio: ['ignore', 'pipe', 'inherit'] });
    const exited = once(child, 'exit');
    await once(child.stdout, 'data');
    await setTimeout(round * 8);
    child.kill('SIGKILL');
    await exited;
    await checkLive(path);
  }
  await shrinkLmdbStore(path);
  await checkLive(path);
  assert.ok(!hasMarker(path));
});

test('no room for the copy: it says so, and the store is as it was', async (t) => {
  const path = await temporaryDirectory(t);
  await fill(path);
  const store = await openLmdbStore({ path });
  await store.compact((await store.status()).revision);
  await store.close();
  const before = readFileSync(join(path, 'data.mdb'));
  // In the shell's blocks of 512 bytes: less than the live values take.
  const command = 'ulimit -S -f 64 && exec "$0" "$1" "$2"';
  const { stdout } = await promisify(execFile)('sh', ['-c', command, process.execPath, PROCESS, path]);
  const outcome: ShrinkOutcome = 'no-space';
  assert.equal(stdout, `begin\n${outcome}\n`);
  assert.ok(before.equals(readFileSync(join(path, 'data.mdb'))));
  await checkLive(path);
});
