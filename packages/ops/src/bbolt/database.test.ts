/**
 * Goal: buckets of every form are read, the right meta page counts, and no pointer leads astray. Method: files of storage's writer, changed in one
 * place that is aimed at.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { writeBoltFile } from '@waxseal/storage';
import { inTemporaryFolder } from '../testing/etcd-file.js';
import { BoltDatabase } from './database.js';
import { openPageFile } from './page-file.js';

const PAGE_BYTES = 4096;
const META_AT = 16;

/** Two buckets: one of three levels, one empty, which lies inside its parent. */
async function withDatabase(
  change: (bytes: Buffer) => void,
  use: (database: () => BoltDatabase) => void,
): Promise<void> {
  await inTemporaryFolder(async (folder) => {
    const path = join(folder, 'db');
    const file = await open(path, 'wx+');
    const entries = Array.from({ length: 20_000 }, (_, index) => ({
      key: Buffer.from(`key-${String(index).padStart(8, '0')}`),
      value: Buffer.alloc(index === 7 ? 9_000 : 30, index),
    }));
    await writeBoltFile(file, [
      { name: 'empty', entries: [] },
      { name: 'full', entries },
    ]);
    await file.close();
    const bytes = readFileSync(path);
    change(bytes);
    writeFileSync(path, bytes);
    const pages = openPageFile(path);
    try {
      use(() => new BoltDatabase(pages));
    } finally {
      pages.close();
    }
  });
}

function countOf(database: BoltDatabase, name: string): number {
  const bucket = database.bucket(name);
  assert.ok(bucket, `there is a bucket ${name}`);
  return [...database.leaves(bucket)].reduce((count, elements) => count + elements.length, 0);
}

/** Page of the root of the bucket `full`, which is a branch. */
function rootOf(database: BoltDatabase): number {
  const bucket = database.bucket('full');
  assert.equal(bucket?.kind, 'pages');
  return bucket.rootPage;
}

test('buckets on pages and inside their parent', async () => {
  await withDatabase(
    () => undefined,
    (database) => {
      assert.equal(countOf(database(), 'full'), 20_000);
      assert.equal(countOf(database(), 'empty'), 0);
      assert.equal(database().bucket('empty')?.kind, 'inline');
      assert.equal(database().bucket('absent'), undefined);
      const used = database().usedPages();
      const { highWaterMark } = database().meta;
      const free = Array.from({ length: highWaterMark }, (_, page) => page).filter((page) => !used.has(page));
      assert.deepEqual(free, []);
      assert.equal(database().rawPage(3).length, PAGE_BYTES);
    },
  );
});

test('either meta page is enough, and without both it says so', async () => {
  for (const page of [0, 1]) {
    await withDatabase(
      (bytes) => bytes.fill(0, page * PAGE_BYTES, page * PAGE_BYTES + 100),
      (database) => {
        assert.equal(countOf(database(), 'full'), 20_000);
        assert.equal(database().meta.transactionId, page === 0 ? 1n : 0n);
      },
    );
  }
  await withDatabase(
    (bytes) => {
      bytes[META_AT + 20] = 1;
      bytes[PAGE_BYTES + META_AT + 20] = 1;
    },
    (database) => assert.throws(database, { code: 'source-damaged', message: /the checksum is wrong/ }),
  );
});

test('no pointer leads astray', async () => {
  let root = 0;
  await withDatabase(
    () => undefined,
    (database) => {
      root = rootOf(database());
    },
  );
  const childAt = root * PAGE_BYTES + 16 + 8;
  for (const [child, message] of [
    [root, /page \d+ is used twice/],
    [0, /points to page 0/],
    [2, /page 2 is neither a branch nor a leaf/],
    [1_000_000, /points to page 1000000, and there are/],
    [2 ** 60, /points to page/],
  ] as const) {
    await withDatabase(
      (bytes) => bytes.writeBigUInt64LE(BigInt(child), childAt),
      (database) => {
        assert.throws(() => countOf(database(), 'full'), { code: 'source-damaged', message });
      },
    );
  }
  for (const [at, value, message] of [
    [8, 0x20, /neither a branch nor a leaf/],
    [10, 0xffff, /which is more than fit/],
    [10, 1, /another number of entries than it says/],
    [10, 0, /without children/],
    [12, 0xffff, /goes on beyond the last page/],
    [0, 0xff, /says it is page/],
  ] as const) {
    await withDatabase(
      (bytes) => bytes.writeUInt16LE(value, root * PAGE_BYTES + at),
      (database) => {
        assert.throws(() => countOf(database(), 'full'), { code: 'source-damaged', message });
      },
    );
  }
});
