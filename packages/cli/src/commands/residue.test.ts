// Goal: `waxseal residue` answers by exit code, in JSON and in words. Method: the real command over a store that was written, sealed and
// compacted by this test.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openLmdbStore, writeBoltFile, type Store } from '@waxseal/storage';
import type { ResidueReport } from '@waxseal/ops';
import { waxseal } from '../testing/command.js';

let folder = '';
let dataDir = '';
const withStore = async (use: (store: Store) => Promise<unknown>): Promise<void> => {
  const store = await openLmdbStore({ path: join(dataDir, 'api') });
  await use(store);
  await store.close();
};
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cli-residue-'));
  dataDir = join(folder, 'data');
  await mkdir(join(dataDir, 'api'), { recursive: true, mode: 0o700 });
  await withStore(async (store) => {
    for (const value of ['{"kind":"Secret","marker":"opensesame"}', 'k8s:enc:secretbox:v1:key2:new']) {
      await store.txn({
        compare: [],
        success: [
          { kind: 'put', key: Buffer.from('/registry/secrets/default/a'), value: Buffer.from(value) },
        ],
        failure: [],
      });
    }
  });
});
after(() => rm(folder, { recursive: true }));

test('what is found is 1 and says where and what removes it; after compaction it is 0', async () => {
  const json = waxseal(['residue', '--data-dir', dataDir, '--output', 'json']);
  assert.equal(json.status, 1, json.stderr);
  const { groups, total } = JSON.parse(json.stdout) as ResidueReport;
  assert.equal(total, 1);
  assert.deepEqual(
    groups.map(({ place, resource, provider, key, count, examples }) => ({
      place,
      resource,
      provider,
      key,
      count,
      examples,
    })),
    [
      {
        place: 'history',
        resource: 'secrets',
        provider: 'identity',
        key: '',
        count: 1,
        examples: ['/registry/secrets/default/a'],
      },
    ],
  );
  const text = waxseal(['residue', '--data-dir', dataDir]);
  assert.equal(text.status, 1);
  assert.match(text.stdout, /history +secrets +plaintext +1 +\/registry\/secrets\/default\/a/);
  assert.match(text.stdout, /What removes it:\n {2}history: Compaction/);
  assert.doesNotMatch(json.stdout + text.stdout, /opensesame/);

  await withStore(async (store) => store.compact((await store.status()).revision));
  const clean = waxseal(['residue', '--data-dir', dataDir]);
  assert.equal(clean.status, 0, clean.stderr);
  assert.match(clean.stdout, /^Nothing is left behind\.\nNot searched: /);
});

test('a known secret is searched byte for byte', async () => {
  const snapshot = join(folder, 'member.db');
  const file = await open(snapshot, 'wx+', 0o600);
  await writeBoltFile(file, [{ name: 'key', entries: [] }]);
  await file.write(Buffer.from('opensesame'), 0, 10, (await file.stat()).size);
  await file.truncate(Math.ceil((await file.stat()).size / 512) * 512);
  await file.close();
  const marker = join(folder, 'marker');
  await writeFile(marker, 'opensesame\n');
  const found = waxseal(['residue', '--snapshot', snapshot, '--marker', marker, '--output', 'json']);
  assert.equal(found.status, 1, found.stderr);
  const { total, markers = [] } = JSON.parse(found.stdout) as ResidueReport;
  assert.equal(total, 0);
  assert.deepEqual(
    markers.map(({ encoding, count }) => [encoding, count]),
    [['raw', 1]],
  );
  await writeFile(marker, 'not in this file');
  const clean = waxseal(['residue', '--snapshot', snapshot, '--marker', marker]);
  assert.equal(clean.status, 0, clean.stderr);
  assert.match(clean.stdout, /The marker is in no file/);
  await writeFile(marker, 'short');
  const short = waxseal(['residue', '--snapshot', snapshot, '--marker', marker]);
  assert.equal(short.status, 2, short.stderr);
  assert.match(short.stderr, /5 bytes/);
});

test('what does not go together is said in a sentence', () => {
  const none = waxseal(['residue']);
  assert.equal(none.status, 2);
  assert.match(none.stderr, /--data-dir-etcd/);
  const fix = waxseal(['residue', '--data-dir', dataDir, '--fix']);
  assert.equal(fix.status, 2);
  assert.match(fix.stderr, /--fix is for --etcd/);
  const other = waxseal(['residue', '--data-dir-etcd', folder]);
  assert.equal(other.status, 3, other.stderr);
  assert.match(other.stderr, /name the --data-dir of etcd/);
});
