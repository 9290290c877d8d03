// Goal: what the embedded store's file still holds of replaced values is found, as often as it is there, and nothing is invented. Method:
// stores that are written, sealed and compacted; the file is searched for a marker byte for byte, and damaged at seeded places.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { encodeEncryptedObject } from '@waxseal/envelope';
import { openLmdbStore, type Store } from '@waxseal/storage';
import { OpsError } from '../errors.js';
import { inTemporaryFolder } from '../testing/etcd-file.js';
import { Leftovers } from './leftovers.js';
import { parseMarker } from './marker.js';
import { residueOfDataDir, type ResidueReport } from './residue.js';
import { searchStoreFile } from './store-leftovers.js';

const prefix = Buffer.from('/registry/');
const MARKER = 'open-sesame-0123456789';
const keyOf = (resource: string, index: number): string => `/registry/${resource}/default/o${index}`;
/** From a few bytes to several pages: in leaves, and on pages of their own. */
const plainOf = (kind: string, index: number): Buffer =>
  Buffer.from(
    `{"kind":"${kind}","apiVersion":"v1","data":{"p":"${MARKER}${'x'.repeat((index % 7) ** 2 * 300)}"}}`,
  );
const sealedOf = (key: string, index: number): Buffer =>
  Buffer.from(`k8s:enc:secretbox:v1:${key}:${'y'.repeat(20 + (index % 7) ** 2 * 300)}`);

async function withStore(path: string, use: (store: Store) => Promise<void>): Promise<void> {
  const store = await openLmdbStore({ path });
  await use(store);
  await store.close();
}

async function putAll(path: string, values: readonly (readonly [string, Buffer])[]): Promise<void> {
  await withStore(path, async (store) => {
    for (const [key, value] of values) {
      await store.txn({
        compare: [],
        success: [{ kind: 'put', key: Buffer.from(key), value }],
        failure: [],
      });
    }
  });
}

async function compact(path: string): Promise<void> {
  await withStore(path, async (store) => store.compact((await store.status()).revision));
}

async function inStore(use: (path: string, dataFile: string) => Promise<void>): Promise<void> {
  await inTemporaryFolder(async (folder) => {
    const path = join(folder, 'store');
    mkdirSync(path, { mode: 0o700 });
    await use(path, join(path, 'data.mdb'));
  });
}

function occurrences(path: string): number {
  const bytes = readFileSync(path);
  let count = 0;
  for (let at = bytes.indexOf(MARKER); at !== -1; at = bytes.indexOf(MARKER, at + 1)) count++;
  return count;
}

const brief = ({ groups }: ResidueReport): readonly string[] =>
  groups.map(({ place, resource, provider, key }) => `${place} ${resource} ${provider} ${key}`).toSorted();

test('as often as the marker is in the file, plaintext is found, before and after compaction', async () => {
  await inStore(async (path, dataFile) => {
    const indexes = Array.from({ length: 60 }, (_, index) => index);
    await putAll(
      path,
      indexes.map((index) => [keyOf('secrets', index), plainOf('Secret', index)]),
    );
    await putAll(
      path,
      indexes.map((index) => [keyOf('secrets', index), sealedOf('key1', index)]),
    );
    const before = await residueOfDataDir(path, { prefix });
    assert.equal(before.groups.find(({ place }) => place === 'history')?.count, 60);
    assert.equal(before.total, occurrences(dataFile));

    await compact(path);
    const after = await residueOfDataDir(path, { prefix, marker: parseMarker(Buffer.from(MARKER)) });
    assert.ok(occurrences(dataFile) > 0);
    assert.equal(after.total, occurrences(dataFile));
    assert.ok(
      brief(after).every((line) => line.endsWith(' secrets identity ')),
      brief(after).join(),
    );
    assert.equal(after.markers?.[0]?.count, occurrences(dataFile));
    assert.deepEqual(after.notSearched, ['backups']);
    assert.doesNotMatch(JSON.stringify(after), new RegExp(MARKER));
  });
});

test('resources that are not sealed, and copies of what is stored as today, are not reported', async () => {
  await inStore(async (path) => {
    for (let round = 0; round < 3; round++) {
      await putAll(
        path,
        Array.from({ length: 20 }, (_, index) => [
          keyOf(index % 2 === 0 ? 'configmaps' : 'secrets', index),
          index % 2 === 0 ? plainOf('ConfigMap', index) : sealedOf('key1', index),
        ]),
      );
    }
    await compact(path);
    assert.deepEqual(brief(await residueOfDataDir(path, { prefix })), []);
  });
});

test('an old key is found by its name', async () => {
  await inStore(async (path) => {
    for (const key of ['key1', 'key2']) {
      await putAll(
        path,
        Array.from({ length: 20 }, (_, index) => [keyOf('secrets', index), sealedOf(key, index)]),
      );
    }
    await compact(path);
    const found = await residueOfDataDir(path, { prefix });
    assert.ok(found.total > 0);
    assert.ok(found.groups.every(({ provider, key }) => provider === 'secretbox' && key === 'key1'));
  });
});

/** Several pages; its keyID stands at the end. */
const kmsValue = (keyId: string): Buffer =>
  Buffer.concat([
    Buffer.from('k8s:enc:kms:v2:cloud:'),
    encodeEncryptedObject({
      encryptedData: Buffer.alloc(5_000, 7),
      keyId,
      encryptedDekSource: Buffer.alloc(60, 9),
      annotations: {},
      encryptedDekSourceType: 1,
    }),
  ]);

test('large values whose keys are lost are told by what they are', async () => {
  await inStore(async (path, dataFile) => {
    const indexes = Array.from({ length: 30 }, (_, index) => index);
    const large = (text: Buffer): Buffer => Buffer.concat([text, Buffer.alloc(5_000, 'z')]);
    for (const resource of ['secrets', 'configmaps']) {
      const kind = resource === 'secrets' ? 'Secret' : 'ConfigMap';
      for (const value of [
        large(plainOf(kind, 0)),
        large(sealedOf('old', 0)),
        kmsValue('key-2024'),
        large(sealedOf('key1', 0)),
      ]) {
        await putAll(
          path,
          indexes.map((index) => [keyOf(resource, index), value]),
        );
      }
    }
    await compact(path);
    // As when the leaves that pointed there were used again.
    const bytes = readFileSync(dataFile);
    for (let at = bytes.indexOf(prefix); at !== -1; at = bytes.indexOf(prefix, at + 1)) bytes[at] = 0;
    const lost = join(path, 'lost.mdb');
    writeFileSync(lost, bytes);
    const leftovers = new Leftovers(prefix.toString());
    const live = { createRevision: 1, modRevision: 1, version: 1, lease: 0n };
    const today = { source: 'live', place: 'live', remedy: '' } as const;
    leftovers.addLive(today, {
      key: Buffer.from(keyOf('secrets', 0)),
      value: sealedOf('key1', 0),
      ...live,
    });
    leftovers.addLive(today, {
      key: Buffer.from(keyOf('configmaps', 0)),
      value: plainOf('ConfigMap', 0),
      ...live,
    });
    await searchStoreFile({ path: lost, prefix, revision: 241, leftovers, remedy: '' });
    const groups = leftovers.groups();
    // Plaintext of configmaps is as they are stored today; of what is sealed nobody can tell whose it was.
    assert.deepEqual(
      groups
        .map(({ place, resource, provider, key, examples }) =>
          [place, resource, provider, key, examples.length].join(' '),
        )
        .toSorted(),
      [
        'free-pages (unknown) kms-v2 key-2024 0',
        'free-pages (unknown) secretbox old 0',
        'free-pages secrets identity  0',
      ],
    );
  });
});

test('a file with a changed byte, or cut short, gives an answer or a clear error', async () => {
  await inStore(async (path, dataFile) => {
    const indexes = Array.from({ length: 30 }, (_, index) => index);
    for (const value of [plainOf.bind(undefined, 'Secret'), sealedOf.bind(undefined, 'key1')]) {
      await putAll(
        path,
        indexes.map((index) => [keyOf('secrets', index), value(index)]),
      );
    }
    await compact(path);
    const bytes = readFileSync(dataFile);
    const changed = `${dataFile}.changed`;
    const outcomes = { found: 0, refused: 0 };
    const look = async (what: string): Promise<void> => {
      const leftovers = new Leftovers(prefix.toString());
      const searched = searchStoreFile({
        path: changed,
        prefix,
        revision: 61,
        leftovers,
        remedy: '',
      });
      await searched.then(
        () => {
          outcomes.found++;
          return undefined;
        },
        (error: unknown) => {
          assert.ok(
            error instanceof OpsError && error.code === 'source-damaged',
            `${what}: ${String(error)}`,
          );
          outcomes.refused++;
        },
      );
    };
    // A fixed sequence: the linear congruential generator of Numerical Recipes.
    let state = 20_251_122;
    const next = (): number => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0);
    for (let run = 0; run < 200; run++) {
      const copy = Buffer.from(bytes);
      // Half of them in the headers of pages, where numbers are.
      const at =
        run % 2 === 0 ? next() % bytes.length : (next() % (bytes.length / 4096)) * 4096 + (next() % 64);
      copy[at] = (copy[at] ?? 0) ^ (1 << (next() >>> 29));
      writeFileSync(changed, copy);
      await look(`byte ${at}`);
    }
    for (let length = 0; length < bytes.length; length += 4096 - 512) {
      writeFileSync(changed, bytes.subarray(0, length));
      await look(`cut at ${length}`);
    }
    assert.ok(outcomes.found > 0 && outcomes.refused > 0, JSON.stringify(outcomes));
  });
});
