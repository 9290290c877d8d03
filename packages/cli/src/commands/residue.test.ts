// Goal: `waxseal residue` answers by exit code, in JSON and in words. Method: the real command over a store that was written, sealed and
// compacted by this test.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
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
  const places = groups.map(({ place, resource, provider, key, count, examples }) =>
    [place, resource, provider, key, count, examples.join()].join(' '),
  );
  assert.ok(places.includes('history secrets identity  1 /registry/secrets/default/a'), places.join('\n'));
  assert.equal(
    total,
    groups.reduce((sum, { count }) => sum + count, 0),
  );
  const text = waxseal(['residue', '--data-dir', dataDir]);
  assert.equal(text.status, 1);
  assert.match(text.stdout, /history +secrets +plaintext +1 +\/registry\/secrets\/default\/a/);
  assert.match(text.stdout, /What removes it:\n {2}history: Compaction of the history/);
  assert.doesNotMatch(json.stdout + text.stdout, /opensesame/);

  await withStore(async (store) => store.compact((await store.status()).revision));
  const compacted = waxseal(['residue', '--data-dir', dataDir]);
  assert.equal(compacted.status, 1, compacted.stderr);
  assert.match(compacted.stdout, /free-pages +secrets +plaintext/);
  assert.match(compacted.stdout, /--data-dir DIR --fix/);
  assert.doesNotMatch(compacted.stdout, /history/);

  const marker = join(folder, 'store-marker');
  await writeFile(marker, 'opensesame');
  const found = waxseal(['residue', '--data-dir', dataDir, '--marker', marker]);
  assert.match(found.stdout, /The marker is in .*data\.mdb, raw/);
  await withStore(() => {
    const used = waxseal(['residue', '--data-dir', dataDir, '--fix']);
    assert.equal(used.status, 3, used.stdout);
    assert.match(used.stderr, /is in use by a server/);
    return Promise.resolve();
  });
  // A wrong prefix is known before anything is changed.
  const elsewhere = waxseal(['residue', '--data-dir', dataDir, '--prefix', '/kubernetes', '--fix']);
  assert.equal(elsewhere.status, 2, elsewhere.stdout);
  assert.ok((await readFile(join(dataDir, 'api', 'data.mdb'))).includes('opensesame'));
  const fixed = waxseal(['residue', '--data-dir', dataDir, '--marker', marker, '--fix']);
  assert.equal(fixed.status, 0, fixed.stderr + fixed.stdout);
  assert.match(
    fixed.stdout,
    /^Written anew: .*data\.mdb, \d+ to \d+ bytes\.\n\nNothing is left behind\.\nThe marker is in no file\./,
  );
  assert.ok(!(await readFile(join(dataDir, 'api', 'data.mdb'))).includes('opensesame'));
  await withStore(async (store) => {
    const { kv } = await store.get(Buffer.from('/registry/secrets/default/a'));
    assert.match(kv?.value.toString() ?? '', /^k8s:enc:secretbox:v1:key2:/);
  });
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
  // Before anything is read: there is no such file.
  const short = waxseal(['residue', '--snapshot', join(folder, 'absent.db'), '--marker', marker]);
  assert.equal(short.status, 2, short.stderr);
  assert.match(short.stderr, /5 bytes/);
});

test('what does not go together is said in a sentence', () => {
  const none = waxseal(['residue']);
  assert.equal(none.status, 2);
  assert.match(none.stderr, /--data-dir-etcd/);
  for (const [args, message] of [
    [['--data-dir-etcd', folder, '--fix'], /--fix is for --etcd and --data-dir/],
    [['--snapshot', folder, '--snapshots', folder], /--snapshots is for/],
    [['--etcd', 'http://127.0.0.1:1', '--marker', folder], /--marker is for files/],
  ] as const) {
    const refused = waxseal(['residue', ...args]);
    assert.equal(refused.status, 2, refused.stdout);
    assert.match(refused.stderr, message);
  }
  const other = waxseal(['residue', '--data-dir-etcd', folder]);
  assert.equal(other.status, 3, other.stderr);
  assert.match(other.stderr, /name the --data-dir of etcd/);
});
