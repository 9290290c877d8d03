/**
 * Goal: of a damaged database without checksum, what is read is right or refused: never a wrong object, a crash, a hang or memory that the
 * file does not account for. Method: the database of a real etcd with churn, deletions, compaction and values longer than a page; seeded
 * flips, swapped and zeroed pages, cuts; everything recovered from it under an authenticating provider, compared with all that was written.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { createEncryptionAtRest, type EncryptionAtRest } from '@waxseal/encryption-config';
import { openEtcdStore } from '@waxseal/storage';
import * as fc from 'fast-check';
import { OpsError } from '../errors.js';
import { recoverObjects } from '../recover/recover.js';
import { reencryptSnapshot } from '../recover/reencrypt.js';
import { startEtcd } from '../testing/etcd.js';
import { openSnapshotSource, type SnapshotSource } from './snapshot-source.js';

const SEED = 20;
const PAGE_BYTES = 4096;
const NAMES = 60;
const WRITES = 240;
const HASH_SEED = 7;

let folder = '';
let encryption: EncryptionAtRest;
let whole: Buffer;
/** Every object that ever lay under a key, as JSON. */
const written = new Map<string, Set<string>>();
let liveCount = 0;

const at = (name: string): string => join(folder, name);

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'waxseal-damage-'));
  await writeFile(
    at('config.yaml'),
    `kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources: [{resources: [secrets], providers: [{aesgcm: {keys: [{name: k, secret: ${Buffer.alloc(32, 3).toString('base64')}}]}}]}]\n`,
  );
  encryption = await createEncryptionAtRest({ file: at('config.yaml') });
  const transformer = encryption.transformerFor({ group: '', resource: 'secrets' });
  const etcd = await startEtcd();
  try {
    const store = await openEtcdStore({
      endpoints: [etcd.endpoint],
      dialTimeoutMs: 60_000,
      requestTimeoutMs: 60_000,
    });
    const sizes = fc.sample(
      fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ max: 12_000, min: 3_000 })),
      {
        seed: SEED,
        numRuns: WRITES,
      },
    );
    const put = async (index: number, size: number): Promise<void> => {
      const name = `s${index % NAMES}`;
      const key = `/registry/secrets/default/${name}`;
      const data = { n: String(index), fill: 'x'.repeat(size) };
      const object = { apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace: 'default' }, data };
      const text = JSON.stringify(object);
      const value = await transformer.transformToStorage(Buffer.from(text), Buffer.from(key));
      await store.txn({ compare: [], success: [{ kind: 'put', key: Buffer.from(key), value }], failure: [] });
      written.set(key, (written.get(key) ?? new Set()).add(text));
    };
    // Every name once in each round, so that no two writes of a round meet.
    for (let start = 0; start < WRITES; start += NAMES) {
      await Promise.all(sizes.slice(start, start + NAMES).map((size, index) => put(start + index, size)));
    }
    for (let index = 0; index < NAMES; index += 10) {
      const key = Buffer.from(`/registry/secrets/default/s${index}`);
      await store.txn({ compare: [], success: [{ kind: 'delete', key }], failure: [] });
    }
    const { revision } = await store.status();
    await etcd.compact(revision - 70);
    liveCount = (await store.range({ key: Buffer.from([0]), rangeEnd: Buffer.from([0]), countOnly: true }))
      .count;
    await store.close();
    await etcd.saveSnapshot(at('snapshot.db'));
  } finally {
    await etcd.stop();
  }
  const snapshot = readFileSync(at('snapshot.db'));
  whole = snapshot.subarray(0, snapshot.length - 32);
});
after(async () => {
  await encryption.close();
  await rm(folder, { recursive: true });
});

type Outcome = 'refused' | 'objects lost to a reason' | 'whole';

/** Everything that works on a file, over these bytes. */
async function outcomeOf(bytes: Buffer, isRewritten = true): Promise<Outcome> {
  writeFileSync(at('db'), bytes);
  let objects = 0;
  try {
    const source = await openSnapshotSource(at('db'), { hashSeed: HASH_SEED });
    try {
      for await (const each of recoverObjects(source, { prefix: '/registry', form: 'stored', encryption })) {
        if (each.kind !== 'object') continue;
        objects++;
        assert.ok(
          written.get(each.key)?.has(JSON.stringify(each.object)),
          `a wrong object under ${each.key}`,
        );
      }
      for await (const past of source.past(Buffer.from('/registry/'))) assert.ok(past.modRevision > 0);
      if (isRewritten) await rewrite(source);
      source.database.bolt.usedPages();
    } finally {
      await source.close();
    }
  } catch (error) {
    assert.ok(error instanceof OpsError, String(error));
    assert.equal(error.code, 'source-damaged', error.message);
    assert.match(error.message, /\w/);
    return 'refused';
  }
  return objects === liveCount ? 'whole' : 'objects lost to a reason';
}

/** Into a new snapshot, and away with it. */
async function rewrite({ database }: SnapshotSource): Promise<void> {
  const options = { prefix: '/registry', from: encryption, to: encryption, keepUnreadable: true };
  await reencryptSnapshot(database.bolt, at('new.db'), options);
  await rm(at('new.db'));
}

const copyWith = (change: (copy: Buffer) => void): Buffer => {
  const copy = Buffer.from(whole);
  change(copy);
  return copy;
};

async function outcomesOf(bytes: readonly Buffer[]): Promise<readonly Outcome[]> {
  const outcomes: Outcome[] = [];
  // A new snapshot is waited for until it is on the disk: some are enough.
  for (const [index, each] of bytes.entries()) outcomes.push(await outcomeOf(each, index % 4 === 0));
  return [...new Set(outcomes)].toSorted();
}

test('untouched it is whole', async () => {
  assert.ok(liveCount > NAMES / 2);
  assert.equal(await outcomeOf(whole), 'whole');
});

test('a flipped bit, anywhere, and in every field of page headers and entries', async () => {
  const anywhere = fc.sample(fc.integer({ min: 0, max: whole.length * 8 - 1 }), { seed: SEED, numRuns: 80 });
  const pages = fc.sample(fc.integer({ min: 0, max: whole.length / PAGE_BYTES - 1 }), {
    seed: SEED,
    numRuns: 40,
  });
  const heads = pages.map((page, index) => (page * PAGE_BYTES + (index % 64)) * 8 + ((index * 5) % 8));
  const flips = [...anywhere, ...heads].map((bit) =>
    copyWith((copy) => {
      copy[bit >> 3] = (copy[bit >> 3] as number) ^ (1 << (bit & 7));
    }),
  );
  assert.deepEqual(await outcomesOf(flips), ['objects lost to a reason', 'refused', 'whole']);
});

test('pages swapped, doubled and zeroed', async () => {
  const count = whole.length / PAGE_BYTES;
  const page = fc.integer({ min: 2, max: count - 1 });
  const pairs = fc.sample(fc.tuple(page, page, fc.integer({ min: 0, max: 2 })), { seed: SEED, numRuns: 30 });
  const damaged = pairs.map(([a, b, kind]) =>
    copyWith((copy) => {
      const [atA, atB] = [a * PAGE_BYTES, b * PAGE_BYTES];
      if (kind === 0) copy.fill(0, atA, atA + PAGE_BYTES);
      else whole.copy(copy, atB, atA, atA + PAGE_BYTES);
      if (kind === 2) whole.copy(copy, atA, atB, atB + PAGE_BYTES);
    }),
  );
  const outcomes = await outcomesOf(damaged);
  assert.ok(outcomes.includes('refused'));
});

test('cut anywhere it is refused', async () => {
  const lengths = fc.sample(fc.integer({ min: 0, max: whole.length - 1 }), { seed: SEED, numRuns: 10 });
  const cuts = [...lengths, ...lengths.map((length) => length - (length % PAGE_BYTES))];
  // Pages behind the last one in use may be missing; nothing of the database is in them.
  const outcomes = await outcomesOf(cuts.map((length) => whole.subarray(0, length)));
  assert.ok(!outcomes.includes('objects lost to a reason'));
  assert.ok(outcomes.includes('refused'));
});
