// Goal: each place in a member's folder and in a folder of backups is searched, and compared with what is live now. Method: folders that are
// written here, one old value planted in one place at a time.
import assert from 'node:assert/strict';
import { appendFileSync, copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { encodeKeyValue } from '../etcd-db/encode-key-value.js';
import { openSnapshotSource } from '../sources/snapshot-source.js';
import { inTemporaryFolder, writeEtcdFile } from '../testing/etcd-file.js';
import { loggedPut, walSegment } from '../testing/wal-file.js';
import { residueOfEtcd, residueOfMember, type ResidueReport } from './residue.js';

const prefix = Buffer.from('/registry/');
const SECRET = '/registry/secrets/default/a';
const PLAIN = '{"kind":"Secret","apiVersion":"v1","data":{"p":"b3Blbi1zZXNhbWU="}}';
const SEALED = Buffer.from('k8s:enc:secretbox:v1:key1:sealed');

const brief = ({ groups }: ResidueReport): readonly string[] =>
  groups
    .map(({ place, resource, provider, count }) => `${place} ${resource} ${provider} ${count}`)
    .toSorted();

/** A member whose secret is sealed and was never plaintext. */
async function withMember(
  use: (places: {
    readonly dataDir: string;
    readonly snap: string;
    readonly wal: string;
    readonly look: () => Promise<ResidueReport>;
  }) => Promise<void>,
): Promise<void> {
  await inTemporaryFolder(async (dataDir) => {
    const [snap, wal] = [join(dataDir, 'member/snap'), join(dataDir, 'member/wal')];
    for (const folder of [snap, wal]) mkdirSync(folder, { recursive: true });
    await writeEtcdFile(join(snap, 'db'), [{ key: SECRET, value: SEALED }]);
    const look = (): Promise<ResidueReport> => residueOfMember(dataDir, { prefix });
    assert.deepEqual(brief(await look()), []);
    await use({ dataDir, snap, wal, look });
  });
}

test('page-slack: behind the entries of a page in use', async () => {
  await withMember(async ({ snap, look }) => {
    const path = join(snap, 'db');
    const bytes = readFileSync(path);
    const fragment = encodeKeyValue({
      key: Buffer.from(SECRET),
      value: Buffer.from(PLAIN),
      createRevision: 2,
      modRevision: 3,
      version: 2,
      lease: 0n,
    });
    // At the end of the page that holds the live value.
    const pageBytes = 4096;
    const end = (Math.floor(bytes.indexOf(SEALED) / pageBytes) + 1) * pageBytes;
    assert.ok(bytes.subarray(end - fragment.length, end).every((byte) => byte === 0));
    fragment.copy(bytes, end - fragment.length);
    writeFileSync(path, bytes);
    const found = await look();
    assert.deepEqual(brief(found), ['page-slack secrets identity 1']);
    assert.match(found.groups[0]?.remedy ?? '', /^Defragmentation/);
  });
});

test('wal and wal-slack: in a record, behind the last whole one, and in a file that was never finished', async () => {
  await withMember(async ({ wal, look }) => {
    const path = join(wal, '0000000000000000-0000000000000000.wal');
    const entry = loggedPut(SECRET, PLAIN);
    writeFileSync(path, walSegment([entry], 0, 512));
    assert.deepEqual(brief(await look()), ['wal secrets identity 1']);

    writeFileSync(path, walSegment([loggedPut(SECRET, SEALED.toString())], 0, 512));
    assert.deepEqual(brief(await look()), []);
    appendFileSync(path, entry);
    const behind = await look();
    assert.deepEqual(brief(behind), ['wal-slack secrets identity 1']);
    assert.deepEqual(behind.problems, []);

    writeFileSync(path, walSegment([], 0, 0));
    writeFileSync(join(wal, '0.tmp'), entry);
    assert.deepEqual(brief(await look()), ['wal-slack secrets identity 1']);
  });
});

test('a database that a leader sent, and snapshots of raft', async () => {
  await withMember(async ({ snap, look }) => {
    const sent = join(snap, '0000000000000007.snap.db');
    await writeEtcdFile(sent, [{ key: SECRET, value: Buffer.from(PLAIN) }]);
    writeFileSync(join(snap, '0000000000000002-0000000000000007.snap'), loggedPut(SECRET, PLAIN));
    const found = await look();
    assert.deepEqual(brief(found), ['live secrets identity 1', 'raft-snapshot secrets identity 1']);
    assert.deepEqual(found.groups.find(({ place }) => place === 'live')?.source, `snapshot ${sent}`);

    writeFileSync(sent, readFileSync(sent).subarray(0, 8192));
    const damaged = await look();
    assert.deepEqual(brief(damaged), ['raft-snapshot secrets identity 1']);
    assert.deepEqual(
      damaged.problems.map(({ source }) => source),
      [sent],
    );
  });
});

test('backups are compared with what is live, not with themselves', async () => {
  await withMember(async ({ dataDir, snap }) => {
    const live = await openSnapshotSource(join(snap, 'db'));
    await inTemporaryFolder(async (backups) => {
      const month = join(backups, 'last-month');
      mkdirSync(month);
      const old = join(month, 'old.db');
      const key = (name: string): string => `/registry/secrets/default/${name}`;
      await writeEtcdFile(
        old,
        ['a', 'b', 'c', 'd'].map((name) => ({ key: key(name), value: Buffer.from(PLAIN) })),
        { checksum: true },
      );
      copyFileSync(join(snap, 'db'), join(backups, 'new.db'));
      writeFileSync(join(backups, '.ledger.jsonl'), 'hidden files are left out');
      const found = await residueOfEtcd(live, { prefix, backups });
      assert.deepEqual(
        found.groups.map(({ source, place, resource, count, examples }) => ({
          source,
          place,
          resource,
          count,
          examples,
        })),
        [
          {
            source: `snapshot ${old}`,
            place: 'live',
            resource: 'secrets',
            count: 4,
            examples: [key('a'), key('b'), key('c')],
          },
        ],
      );
      assert.match(found.groups[0]?.remedy ?? '', /delete this file/);
      assert.deepEqual([found.problems, found.backups], [[], { checked: 2 }]);
      assert.ok(found.notSearched.includes(`backups outside ${backups}`));

      // The same beside a member's folder, where the member itself is clean.
      assert.deepEqual(brief(await residueOfMember(dataDir, { prefix, backups })), [
        'live secrets identity 4',
      ]);

      // What is no snapshot is named, each for itself, and the rest is still looked at.
      const cut = join(backups, 'cut.db');
      writeFileSync(cut, readFileSync(old).subarray(0, 5000));
      symlinkSync(join(backups, 'nowhere'), join(backups, 'link.db'));
      const other = join(backups, 'other.db');
      await writeEtcdFile(other, [{ key: '/elsewhere/secrets/a', value: Buffer.from(PLAIN) }]);
      const broken = await residueOfEtcd(live, { prefix, backups });
      assert.deepEqual(brief(broken), ['live secrets identity 4']);
      assert.deepEqual(
        broken.problems.map(({ source }) => source),
        [cut, join(backups, 'link.db'), other],
      );
      assert.match(
        broken.problems.map(({ message }) => message).join(),
        /neither a database.*ENOENT.*--prefix/,
      );
      assert.ok(
        broken.problems.every(({ message }) => message.endsWith('; move away what is not a snapshot')),
      );
    });
    await live.close();
  });
});
