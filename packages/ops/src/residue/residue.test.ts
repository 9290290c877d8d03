// Goal: what is left behind is found where it is, and not where it is not. Method: a real etcd writes, compacts and defragments; its
// snapshots and its folder are looked at after each step.
import assert from 'node:assert/strict';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openEtcdStore } from '@waxseal/storage';
import { OpsError } from '../errors.js';
import { openEtcdSource } from '../sources/etcd-source.js';
import { openSnapshotSource } from '../sources/snapshot-source.js';
import { startEtcd, type RunningEtcd } from '../testing/etcd.js';
import { inTemporaryFolder, writeEtcdFile } from '../testing/etcd-file.js';
import { fixEtcd } from './fix.js';
import type { ResidueGroup } from './leftovers.js';
import { residueOfMember, residueOfSnapshot, residueOfEtcd, type ResidueReport } from './residue.js';

const prefix = Buffer.from('/registry/');
const SECRET = '/registry/secrets/default/a';
const PLAIN = Buffer.from(`{"kind":"Secret","data":"${'x'.repeat(600)}"}`);
const sealed = (key: string): Buffer =>
  Buffer.from(`k8s:enc:secretbox:v1:${key}:${key.repeat(300).slice(0, 600)}`);

const brief = ({ groups }: ResidueReport): readonly string[] =>
  groups.map(({ place, resource, provider, key }) => `${place} ${resource} ${provider} ${key}`).toSorted();
const plaintext = ({ groups }: ResidueReport): readonly ResidueGroup[] =>
  groups.filter(({ provider }) => provider === 'identity');

async function putAll(etcd: RunningEtcd, values: readonly (readonly [string, Buffer])[]): Promise<void> {
  const store = await openEtcdStore({
    endpoints: [etcd.endpoint],
    dialTimeoutMs: 30_000,
    requestTimeoutMs: 30_000,
  });
  for (const [key, value] of values) {
    await store.txn({
      compare: [],
      success: [{ kind: 'put', key: Buffer.from(key), value }],
      failure: [],
    });
  }
  await store.close();
}

async function lookAtHistory(etcd: RunningEtcd): Promise<ResidueReport> {
  const source = await openEtcdSource({ endpoints: [etcd.endpoint] });
  try {
    return await residueOfEtcd(source, { prefix });
  } finally {
    await source.close();
  }
}

async function lookAtSnapshot(path: string): Promise<ResidueReport> {
  const source = await openSnapshotSource(path);
  try {
    return await residueOfSnapshot(source, path, { prefix });
  } finally {
    await source.close();
  }
}

test('what a rewrap that was stopped left live is no clean store', async () => {
  const etcd = await startEtcd();
  try {
    await putAll(etcd, [
      [`${SECRET}1`, PLAIN],
      [`${SECRET}2`, PLAIN],
      ['/registry/configmaps/default/c', PLAIN],
      [`${SECRET}3`, sealed('key1')],
    ]);
    const { groups, total } = await lookAtHistory(etcd);
    assert.equal(total, 2);
    assert.deepEqual(
      groups.map(({ remedy, source: _source, ...group }) => ({
        ...group,
        rewrap: /waxseal rewrap/.test(remedy),
      })),
      [
        {
          place: 'live',
          resource: 'secrets',
          provider: 'identity',
          key: '',
          count: 2,
          bytes: 2 * PLAIN.length,
          examples: [`${SECRET}1`, `${SECRET}2`],
          rewrap: true,
        },
      ],
    );
    await putAll(
      etcd,
      [1, 2].map((n) => [`${SECRET}${n}`, sealed('key1')] as const),
    );
    assert.deepEqual(brief(await lookAtHistory(etcd)), ['history secrets identity ']);
  } finally {
    await etcd.stop();
  }
});

test('plaintext is found in history, then in free pages, then in the log alone', async () => {
  const etcd = await startEtcd();
  try {
    await inTemporaryFolder(async (folder) => {
      const names = Array.from({ length: 60 }, (_, index) => `${SECRET}${index}`);
      await putAll(etcd, [
        ...names.map((name) => [name, PLAIN] as const),
        ['/registry/configmaps/default/c', PLAIN],
        ['/registry/configmaps/default/c', Buffer.from('{"kind":"ConfigMap"}')],
      ]);
      // The plaintext must be on disk before it is replaced.
      await etcd.saveSnapshot(join(folder, 'plain.db'));
      assert.deepEqual(plaintext(await lookAtSnapshot(join(folder, 'plain.db'))), []);
      await putAll(
        etcd,
        names.map((name) => [name, sealed('key1')] as const),
      );

      const history = await lookAtHistory(etcd);
      assert.deepEqual(brief(history), ['history secrets identity ']);
      assert.equal(history.total, 60);
      assert.match(history.groups[0]?.remedy ?? '', /^Compaction, then defragmentation/);

      const source = await openEtcdSource({ endpoints: [etcd.endpoint] });
      const { revision } = source;
      await source.close();
      await etcd.compact(revision);
      assert.deepEqual(brief(await lookAtHistory(etcd)), []);
      await etcd.saveSnapshot(join(folder, 'compacted.db'));
      const compacted = brief(await lookAtSnapshot(join(folder, 'compacted.db')));
      assert.ok(compacted.includes('free-pages secrets identity '), compacted.join());
      assert.ok(!compacted.some((line) => line.startsWith('history')), compacted.join());

      const members: string[] = [];
      await fixEtcd(
        {
          endpoints: [etcd.endpoint],
          onStep: ({ phase, endpoint }) => members.push(`${phase} ${endpoint}`),
        },
        revision,
      );
      assert.deepEqual(members, [`compact ${etcd.endpoint}`, `defragment ${etcd.endpoint}`]);
      await etcd.saveSnapshot(join(folder, 'fixed.db'));
      assert.deepEqual(brief(await lookAtSnapshot(join(folder, 'fixed.db'))), []);

      await etcd.halt();
      const member = await residueOfMember(etcd.dataDir, { prefix });
      assert.deepEqual(member.problems, []);
      assert.deepEqual(brief(member), ['wal secrets identity ']);
      assert.equal(member.total, 60);
      assert.match(member.groups[0]?.remedy ?? '', /^WAL rotation/);
      assert.doesNotMatch(JSON.stringify(member), /xxx/);

      // One changed byte in the log is told, and what is behind it is still found, as bytes.
      const wal = join(etcd.dataDir, 'member', 'wal', '0000000000000000-0000000000000000.wal');
      const bytes = readFileSync(wal);
      const at = bytes.indexOf(PLAIN, bytes.indexOf(`${SECRET}30`)) + 20;
      bytes[at] = (bytes[at] ?? 0) ^ 1;
      writeFileSync(wal, bytes);
      const damaged = await residueOfMember(etcd.dataDir, { prefix });
      assert.deepEqual(
        damaged.problems.map(({ source, message }) => [source, message.replace(/\d+$/, 'N')]),
        [[wal, 'the checksum of a record is wrong at byte N']],
      );
      assert.deepEqual(brief(damaged), ['wal secrets identity ', 'wal-slack secrets identity ']);
      assert.equal(damaged.total, 60);

      // What a repair leaves beside the log.
      renameSync(wal, `${wal}.broken`);
      const broken = await residueOfMember(etcd.dataDir, { prefix });
      assert.deepEqual(brief(broken), ['wal-slack secrets identity ']);
      assert.equal(broken.total, 60);
    });
  } finally {
    await etcd.stop();
  }
});

test('the way of the newest live value is today’s; older keys in history are left behind', async () => {
  await inTemporaryFolder(async (folder) => {
    const path = join(folder, 'db');
    await writeEtcdFile(path, [
      { key: SECRET, value: sealed('old') },
      { key: SECRET, value: sealed('new') },
      { key: SECRET, value: sealed('new') },
      { key: '/registry/pods/default/p', value: PLAIN },
      { key: '/registry/pods/default/p', value: PLAIN },
    ]);
    const found = await lookAtSnapshot(path);
    assert.deepEqual(brief(found), ['history secrets secretbox old']);
    assert.deepEqual(found.groups[0]?.examples, [SECRET]);
    assert.match(found.groups[0]?.remedy ?? '', /delete this file/);
  });
});

test('a wrong prefix is refused, not answered with nothing', async () => {
  await inTemporaryFolder(async (folder) => {
    const path = join(folder, 'db');
    await writeEtcdFile(path, [{ key: '/kubernetes/secrets/default/a', value: PLAIN }]);
    await assert.rejects(lookAtSnapshot(path), { code: 'invalid-option', message: /--prefix/ });
  });
});

test('a folder that is no member says so', async () => {
  await inTemporaryFolder(async (folder) => {
    await assert.rejects(residueOfMember(folder, { prefix }), {
      code: 'source-unreadable',
      message: /name the --data-dir of etcd/,
    });
  });
});

test('a database with a changed byte gives an answer or a clear error', async () => {
  await inTemporaryFolder(async (folder) => {
    const path = join(folder, 'db');
    await writeEtcdFile(
      path,
      Array.from({ length: 40 }, (_, index) => ({
        key: `${SECRET}${index % 10}`,
        value: index < 20 ? PLAIN : sealed('key1'),
      })),
    );
    assert.equal((await lookAtSnapshot(path)).total, 20);
    const bytes = readFileSync(path);
    // A fixed sequence: the linear congruential generator of Numerical Recipes.
    let state = 20_251_122;
    const next = (): number => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0);
    const outcomes = { found: 0, refused: 0 };
    for (let run = 0; run < 300; run++) {
      const changed = Buffer.from(bytes);
      const at = next() % bytes.length;
      changed[at] = (changed[at] ?? 0) ^ (1 << (next() >>> 29));
      writeFileSync(path, changed);
      const outcome = await lookAtSnapshot(path).then(
        ({ total }): 'found' | 'refused' => {
          assert.ok(total <= 40, `byte ${at}`);
          return 'found';
        },
        (error: unknown): 'found' | 'refused' => {
          assert.ok(error instanceof OpsError, `byte ${at}: ${String(error)}`);
          return 'refused';
        },
      );
      outcomes[outcome]++;
    }
    assert.ok(outcomes.found > 0 && outcomes.refused > 0, JSON.stringify(outcomes));
  });
});
