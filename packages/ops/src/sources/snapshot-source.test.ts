/**
 * Goal: what etcd holds is what is read from its file, and a damaged file is a clear error. Method: random histories against a model;
 * every truncation and random flips of a small file, with and without checksum.
 */
import assert from 'node:assert/strict';
import { readFileSync, statSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { OpsError } from '../errors.js';
import { inTemporaryFolder, writeEtcdFile, type Change } from '../testing/etcd-file.js';
import { openSnapshotSource } from './snapshot-source.js';

const EVERYTHING = Buffer.alloc(0);
const HASH_SEED = 7;

/** `key@revision=value` of what is live and of what is past. */
async function contentsOf(path: string): Promise<{ readonly live: string[]; readonly past: string[] }> {
  const source = await openSnapshotSource(path, { hashSeed: HASH_SEED });
  try {
    const live: string[] = [];
    const past: string[] = [];
    for await (const { key, modRevision, value } of source.live(EVERYTHING)) {
      live.push(`${key.toString()}@${modRevision}=${value.toString('hex')}`);
    }
    for await (const { key, modRevision, value, supersededBy } of source.past(EVERYTHING)) {
      past.push(`${key.toString()}@${modRevision}=${value.toString('hex')}<${supersededBy}`);
    }
    return { live, past };
  } finally {
    await source.close();
  }
}

function expectedOf(changes: readonly Change[]): { readonly live: string[]; readonly past: string[] } {
  const live: string[] = [];
  const past: string[] = [];
  for (const [index, { key, value }] of changes.entries()) {
    if (value === undefined) continue;
    const next = changes.findIndex((change, other) => other > index && change.key === key);
    const text = `${key}@${index + 2}=${value.toString('hex')}`;
    if (next === -1) live.push(text);
    else past.push(`${text}<${changes[next]?.value === undefined ? undefined : next + 2}`);
  }
  return { live, past };
}

const change = fc.record({
  key: fc.integer({ min: 0, max: 30 }).map((number) => `/registry/secrets/default/s${number}`),
  value: fc.option(
    fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      // Longer than a page: goes over into the next ones.
      fc.integer({ min: 3_000, max: 20_000 }).map((size) => new Uint8Array(size).fill(size % 251)),
    ),
    { nil: undefined },
  ),
});

test('live and past values are those of the history', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(change, { maxLength: 300 }), fc.boolean(), async (random, checksum) => {
      const changes = random.map(({ key, value }) => ({
        key,
        value: value === undefined ? undefined : Buffer.from(value),
      }));
      await inTemporaryFolder(async (folder) => {
        const path = join(folder, 'db');
        await writeEtcdFile(path, changes, { checksum });
        assert.deepEqual(await contentsOf(path), expectedOf(changes));
      });
    }),
    { seed: 1, numRuns: 60 },
  );
});

/** Three levels of pages, an overflow, a deletion. */
const history: readonly Change[] = [
  { key: '/registry/secrets/default/big', value: Buffer.alloc(9_000, 'big') },
  ...Array.from({ length: 400 }, (_, index) => ({
    key: `/registry/secrets/default/s${index % 150}`,
    value: Buffer.alloc(60, `v${index}`),
  })),
  { key: '/registry/secrets/default/s7', value: undefined },
];

test('revision, compaction and the number of live keys are told', async () => {
  await inTemporaryFolder(async (folder) => {
    const path = join(folder, 'snapshot.db');
    await writeEtcdFile(path, history, { checksum: true, compactRevision: 5 });
    const source = await openSnapshotSource(path);
    assert.equal(source.verified, true);
    assert.equal(source.revision, history.length + 1);
    assert.equal(source.compactRevision, 5);
    assert.equal(await source.countLive?.(EVERYTHING), 150);
    await source.close();
  });
});

test('every truncation is an error, or what was cut off held nothing', async () => {
  for (const checksum of [true, false]) {
    await inTemporaryFolder(async (folder) => {
      const path = join(folder, 'db');
      await writeEtcdFile(path, history, { checksum });
      const whole = await contentsOf(path);
      const { size } = statSync(path);
      // Every length near the end, near multiples of pages and of sectors; the rest in steps, as they all fail on their length.
      const lengths = Array.from({ length: size }, (_, length) => length).filter(
        (length) => size - length < 600 || length % 512 === 0 || length % 512 === 32 || length % 997 === 0,
      );
      const outcomes = new Set<string>();
      for (const length of lengths.toReversed()) {
        truncateSync(path, length);
        outcomes.add(await outcome(path, whole));
      }
      assert.deepEqual([...outcomes].toSorted(), checksum ? ['error', 'same'] : ['error']);
    });
  }
});

test('a flip in a snapshot is found, wherever it is', async () => {
  await inTemporaryFolder(async (folder) => {
    const path = join(folder, 'snapshot.db');
    await writeEtcdFile(path, history, { checksum: true });
    const whole = await contentsOf(path);
    const bytes = readFileSync(path);
    for (const at of randomPlaces(bytes.length, 500)) {
      writeFlipped(path, bytes, at);
      assert.equal(await outcome(path, whole), 'error', `bit 0 of byte ${at}`);
    }
    // By its length a database with its checksum.
    writeFileSync(path, bytes.subarray(0, -512));
    await assert.rejects(openSnapshotSource(path), /SHA-256 is wrong: it was cut short or altered/);
  });
});

test('a flip in a file without checksum never crashes or hangs', async () => {
  await inTemporaryFolder(async (folder) => {
    const path = join(folder, 'db');
    await writeEtcdFile(path, history);
    const whole = await contentsOf(path);
    const bytes = readFileSync(path);
    const outcomes = new Set<string>();
    const heads = Array.from({ length: bytes.length / 4096 }, (_, page) =>
      Array.from({ length: 40 }, (__, at) => page * 4096 + at),
    );
    for (const at of [...randomPlaces(bytes.length, 500), ...heads.flat()]) {
      writeFlipped(path, bytes, at);
      outcomes.add(await outcome(path, whole));
    }
    // Values have no checksum of their own there: 'other' is a flip inside one.
    assert.deepEqual([...outcomes].toSorted(), ['error', 'other', 'same']);
  });
});

test('a file that is written to or cut while it is read is refused; one that is only removed is not', async () => {
  await inTemporaryFolder(async (folder) => {
    const path = join(folder, 'snapshot.db');
    const many = Array.from({ length: 500 }, (_, i) => ({
      key: `/registry/secrets/default/s${i}`,
      value: Buffer.alloc(1_000, i),
    }));
    await writeEtcdFile(path, many, { checksum: true });
    const bytes = readFileSync(path);
    const readWhile = async (happens: () => void): Promise<number> => {
      const source = await openSnapshotSource(path);
      try {
        let values = 0;
        for await (const { key } of source.live(EVERYTHING)) {
          assert.ok(key.length > 0);
          if (++values === 1) happens();
        }
        return values;
      } finally {
        await source.close();
      }
    };
    const refused = { code: 'source-damaged', message: /snapshot\.db cannot be used: it was changed while/ };
    await assert.rejects(
      readWhile(() => writeFileSync(path, bytes)),
      refused,
    );
    await assert.rejects(
      readWhile(() => truncateSync(path, 4096)),
      refused,
    );
    writeFileSync(path, bytes);
    assert.equal(await readWhile(() => unlinkSync(path)), many.length);
  });
});

test('a file that is something else says so', async () => {
  await inTemporaryFolder(async (folder) => {
    for (const [bytes, message] of [
      [Buffer.alloc(0), /is empty/],
      [Buffer.from('apiVersion: v1\n'), /is something else/],
      [Buffer.alloc(8192, 'x'), /neither of its two first pages is a bbolt meta page/],
    ] as const) {
      const path = join(folder, 'file');
      writeFileSync(path, bytes);
      await assert.rejects(openSnapshotSource(path), { code: 'source-damaged', message });
    }
    await assert.rejects(openSnapshotSource(join(folder, 'absent')), { code: 'source-unreadable' });
    await assert.rejects(openSnapshotSource(folder), { code: 'source-unreadable' });
  });
});

async function outcome(path: string, whole: unknown): Promise<'error' | 'same' | 'other'> {
  try {
    return JSON.stringify(await contentsOf(path)) === JSON.stringify(whole) ? 'same' : 'other';
  } catch (error) {
    if (error instanceof OpsError && error.code === 'source-damaged') return 'error';
    throw error;
  }
}

function randomPlaces(bytes: number, count: number): readonly number[] {
  return fc.sample(fc.integer({ min: 0, max: bytes - 1 }), { seed: 3, numRuns: count });
}

function writeFlipped(path: string, bytes: Buffer, at: number): void {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] as number) ^ (1 << (at % 8));
  writeFileSync(path, copy);
}
