/** Opening: who may, what is found, what is refused, and that everything is there again. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, copyFile, mkdir, open, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { errorCode, plain } from '../contract/harness.js';
import { StoreError, type Store } from '../store.js';
import { openLmdbStore } from './open.js';
import { FakeClock } from './testing/fake-clock.js';
import { temporaryDirectory } from './testing/temporary-directory.js';

const WRITER = fileURLToPath(new URL('testing/writer-process.js', import.meta.url));

const put = (store: Store, key: string, value: string | Buffer, lease = 0n) =>
  store.txn({
    compare: [],
    success: [{ kind: 'put', key: Buffer.from(key), value: Buffer.from(value), lease }],
    failure: [],
  });

const EVERYTHING = { key: Buffer.from([0]), rangeEnd: Buffer.from([0]) };

test('a new directory is private, and so are the files', async (t) => {
  const path = join(await temporaryDirectory(t), 'a', 'b');
  const store = await openLmdbStore({ path });
  const mode = async (name: string): Promise<number> => (await stat(join(path, name))).mode & 0o777;
  assert.equal(await mode('.'), 0o700);
  assert.equal(await mode('data.mdb'), 0o600);
  assert.equal(await mode('lock.mdb'), 0o600);
  assert.equal((await store.status()).revision, 1);
  await store.close();
});

test('a directory that others may enter is refused', async (t) => {
  const path = join(await temporaryDirectory(t), 'open');
  await mkdir(path);
  await chmod(path, 0o750);
  await assert.rejects(openLmdbStore({ path }), (error) => {
    assert.ok(error instanceof StoreError);
    assert.equal(error.code, 'invalid-argument');
    assert.match(error.message, /mode 750.*chmod 700/);
    return true;
  });
});

test('a store opened again has its state, history, compaction and leases', async (t) => {
  const path = await temporaryDirectory(t);
  const clock = new FakeClock();
  let store = await openLmdbStore({ path, clock });
  await put(store, 'a', '1');
  const { id } = await store.leaseGrant(60);
  const compacted = (await put(store, 'a', '2')).revision;
  await put(store, 'a', '3', id);
  const last = (await put(store, 'b', '1')).revision;
  await store.compact(compacted);
  const before = (await store.range(EVERYTHING)).kvs.map(plain);
  await store.close();

  store = await openLmdbStore({ path, clock });
  const status = await store.status();
  assert.equal(status.revision, last);
  assert.equal(status.compactRevision, compacted);
  assert.deepEqual((await store.range(EVERYTHING)).kvs.map(plain), before);
  assert.equal((await store.get(Buffer.from('a'), compacted)).kv?.value.toString(), '2');
  await assert.rejects(store.get(Buffer.from('a'), compacted - 1), errorCode('compacted'));
  assert.deepEqual(
    (await store.leaseTimeToLive(id, true)).keys.map((key) => key.toString()),
    ['a'],
  );
  assert.equal((await put(store, 'c', '1')).revision, last + 1);
  await store.close();
});

test('a directory in use is refused and the holder named; killed, it leaves no lock behind', async (t) => {
  const path = await temporaryDirectory(t);
  const child = spawn(process.execPath, [WRITER, path, '1', '0'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  // The first line says that the store is open, the second that a write is acknowledged.
  let output = '';
  while (output.split('\n').length < 3) {
    const [chunk] = (await once(child.stdout, 'data')) as [Buffer];
    output += chunk.toString();
  }
  child.stdout.resume();
  await assert.rejects(openLmdbStore({ path }), (error) => {
    assert.ok(error instanceof StoreError);
    assert.equal(error.code, 'in-use');
    assert.match(error.message, new RegExp(`in use by process ${child.pid}; stop it`));
    return true;
  });
  child.kill('SIGKILL');
  await ended;
  const store = await openLmdbStore({ path });
  assert.ok((await store.status()).revision > 1);
  await assert.rejects(openLmdbStore({ path }), errorCode('in-use'), 'nor twice in one process');
  await store.close();
  await (await openLmdbStore({ path })).close();
});

test('a file that is no store is refused as corrupt', async (t) => {
  for (const [name, content] of Object.entries({
    text: Buffer.from('not a database, but long enough to be looked at. '.repeat(500)),
    zeros: Buffer.alloc(16384),
    stub: Buffer.from([1, 2, 3]),
  })) {
    const path = join(await temporaryDirectory(t), name);
    await mkdir(path, { mode: 0o700 });
    await writeFile(join(path, 'data.mdb'), content, { mode: 0o600 });
    await assert.rejects(openLmdbStore({ path }), errorCode('corrupt'), name);
  }
});

test('a truncated file never gives wrong data and never ends the process', async (t) => {
  const path = await temporaryDirectory(t);
  const store = await openLmdbStore({ path });
  for (let i = 0; i < 40; i++) await put(store, `k${i}`, Buffer.alloc(700, i));
  for (let i = 0; i < 40; i++) await put(store, `k${i}`, Buffer.alloc(700, i + 1));
  const whole = (await store.range(EVERYTHING)).kvs.map(plain);
  const { revision } = await store.status();
  await store.close();
  const { size } = await stat(join(path, 'data.mdb'));
  const outcomes = { corrupt: 0, whole: 0 };
  for (let length = size - 1; length > 0; length -= 5 * 4096 + 1) {
    const copy = await temporaryDirectory(t);
    await copyFile(join(path, 'data.mdb'), join(copy, 'data.mdb'));
    await truncate(join(copy, 'data.mdb'), length);
    outcomes[await openTruncated(copy, whole, revision)]++;
  }
  assert.ok(outcomes.corrupt > 3, JSON.stringify(outcomes));
});

async function openTruncated(path: string, whole: unknown, revision: number): Promise<'corrupt' | 'whole'> {
  let store: Store;
  try {
    store = await openLmdbStore({ path });
  } catch (error) {
    assert.ok(errorCode('corrupt')(error), String(error));
    return 'corrupt';
  }
  // Only pages that hold nothing were cut off.
  assert.deepEqual((await store.range(EVERYTHING)).kvs.map(plain), whole);
  assert.equal((await store.status()).revision, revision);
  await store.close();
  return 'whole';
}

test('a damaged value is refused as corrupt, the others stay readable', async (t) => {
  const path = await temporaryDirectory(t);
  let store = await openLmdbStore({ path });
  await put(store, 'damaged', 'MARKER-THAT-WILL-BE-DAMAGED');
  await put(store, 'fine', 'value');
  await store.close();
  const file = join(path, 'data.mdb');
  const content = await readFile(file);
  const handle = await open(file, 'r+');
  for (let at = content.indexOf('MARKER'); at >= 0; at = content.indexOf('MARKER', at + 1)) {
    await handle.write(Buffer.from('m'), 0, 1, at);
  }
  await handle.close();
  store = await openLmdbStore({ path });
  await assert.rejects(store.get(Buffer.from('damaged')), errorCode('corrupt'));
  await assert.rejects(store.range(EVERYTHING), errorCode('corrupt'));
  await assert.rejects(
    store.txn({
      compare: [{ key: Buffer.from('damaged'), target: 'version', result: 'equal', number: 1 }],
      success: [],
      failure: [],
    }),
    errorCode('corrupt'),
  );
  assert.equal((await store.get(Buffer.from('fine'))).kv?.value.toString(), 'value');
  assert.equal((await put(store, 'damaged2', 'new')).revision, 4);
  await store.close();
});

test('the file outgrows the address space first reserved for it', async (t) => {
  const path = await temporaryDirectory(t);
  const store = await openLmdbStore({ path, mapBytes: 1024 * 1024 });
  await put(store, 'first', 'here');
  const value = Buffer.alloc(256 * 1024, 'x');
  const held = await store.range(EVERYTHING);
  for (let i = 0; i < 8; i++) {
    await Promise.all(Array.from({ length: 8 }, (_, writer) => put(store, `k${i}-${writer}`, value)));
    assert.equal((await store.get(Buffer.from('first'))).kv?.value.toString(), 'here');
  }
  assert.equal(held.kvs[0]?.value.toString(), 'here');
  assert.equal((await store.range({ ...EVERYTHING, keysOnly: true })).count, 65);
  assert.ok((await store.status()).sizeBytes > 16 * 1024 * 1024);
  await store.close();
});

test('compaction gives the space of old versions back to new ones', async (t) => {
  const store = await openLmdbStore({ path: await temporaryDirectory(t) });
  const value = Buffer.alloc(3000, 'x');
  const write = async (): Promise<void> => {
    for (let i = 0; i < 20; i++) {
      await Promise.all(Array.from({ length: 20 }, (_, key) => put(store, `k${key}`, value)));
    }
  };
  await write();
  const full = await store.status();
  await store.compact(full.revision);
  const compacted = await store.status();
  assert.ok(compacted.sizeInUseBytes < full.sizeInUseBytes / 5);
  await write();
  assert.ok((await store.status()).sizeBytes < full.sizeBytes * 1.2, 'freed pages are used again');
  await store.close();
});
