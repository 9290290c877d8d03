/**
 * Goal: what `waxseal residue` says of a cluster, its members' files and its backups is what a byte-for-byte search finds, and its fix takes away what it
 * says it takes away. Method: three real members; secrets that are written in the clear and then sealed by `waxseal rewrap`; every file read here too.
 */
import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { startEtcdCluster } from '../support/etcd.js';
import { putSecrets, writeSecretboxConfig } from '../support/operations.js';
import { run, succeed, tool } from '../support/programs.js';
import { launcher, temporaryFolder } from '../support/waxseal.js';

const SECRETS = 40;
const MARKER = 'open-sesame-0123456789';

interface Report {
  readonly groups: readonly {
    readonly source: string;
    readonly place: string;
    readonly resource: string;
    readonly provider: string;
    readonly count: number;
    readonly examples: readonly string[];
    readonly remedy: string;
  }[];
  readonly total: number;
  readonly problems: readonly { readonly source: string }[];
  readonly markers?: readonly { readonly source: string; readonly count: number }[];
  readonly backups?: { readonly checked: number };
  readonly fix?: {
    readonly revision: number;
    readonly members: readonly {
      readonly name: string;
      readonly isLeader: boolean;
      readonly bytesBefore: number;
      readonly bytesAfter: number;
    }[];
    readonly notNamed: readonly string[];
    readonly alarms: readonly unknown[];
  };
  readonly notSearched: readonly string[];
}

async function residue(code: number, ...args: readonly string[]): Promise<Report> {
  const { stdout, stderr, ...ended } = await run(process.execPath, [
    launcher,
    'residue',
    ...args,
    '--output',
    'json',
  ]);
  assert.equal(ended.code, code, stdout + stderr);
  assert.ok(!stdout.includes(MARKER) && !stderr.includes(MARKER));
  return JSON.parse(stdout) as Report;
}

/** Without the copies that a backup has in its free pages: how many there are is chance. */
const brief = ({ groups }: Report): readonly string[] =>
  groups
    .filter(({ place }) => place !== 'free-pages' && place !== 'page-slack')
    .map(({ place, resource, provider, count }) => `${place} ${resource} ${provider} ${count}`)
    .toSorted();

/** How often the marker is in each file below a folder. */
async function grep(folder: string): Promise<ReadonlyMap<string, number>> {
  const found = new Map<string, number>();
  for (const name of await readdir(folder, { recursive: true })) {
    const path = join(folder, name);
    if (!(await stat(path)).isFile()) continue;
    const count = (await readFile(path, 'latin1')).split(MARKER).length - 1;
    if (count > 0) found.set(path, count);
  }
  return found;
}

test('history, members and backups: found, fixed, and gone where it says so', async (t) => {
  const folder = await temporaryFolder(t);
  const cluster = await startEtcdCluster(folder);
  t.after(() => cluster.stop());
  const [first = ''] = cluster.endpoints;
  const etcd = cluster.endpoints.join(',');
  const env = { ETCDCTL_API: '3', ETCDCTL_ENDPOINTS: first };
  await putSecrets(first, SECRETS, (index) => ({
    stringData: { data: `${MARKER}${'x'.repeat(index * 100)}` },
  }));
  const backups = join(folder, 'backups');
  await mkdir(backups);
  const backup = join(backups, 'plain.db');
  await succeed(tool('etcdctl'), ['snapshot', 'save', backup], { env });
  const encryption = writeSecretboxConfig(folder);
  await succeed(process.execPath, [launcher, 'rewrap', '--etcd', etcd, '--encryption-config', encryption]);

  // The backup is consistent in itself; beside what is live now it is not.
  assert.deepEqual(brief(await residue(0, '--snapshot', backup)), []);
  const before = await residue(1, '--etcd', etcd, '--snapshots', backups);
  assert.deepEqual(brief(before), [
    `history secrets identity ${SECRETS}`,
    `live secrets identity ${SECRETS}`,
  ]);
  assert.ok(
    before.groups.every(({ place, source }) => (place === 'history') === (source !== `snapshot ${backup}`)),
  );
  assert.deepEqual(before.backups, { checked: 1 });

  await writeFile(join(backups, 'notes.txt'), 'no snapshot');
  const fixed = await residue(1, '--etcd', etcd, '--snapshots', backups, '--fix');
  assert.deepEqual(brief(fixed), [`live secrets identity ${SECRETS}`]);
  assert.deepEqual(
    fixed.problems.map(({ source }) => source),
    [join(backups, 'notes.txt')],
  );
  const { members = [], notNamed, alarms } = fixed.fix ?? {};
  assert.deepEqual(
    members.map(({ isLeader }) => isLeader),
    [false, false, true],
  );
  assert.deepEqual(members.map(({ name }) => name).toSorted(), ['m0', 'm1', 'm2']);
  assert.ok(members.every(({ bytesBefore, bytesAfter }) => bytesAfter < bytesBefore));
  assert.deepEqual([notNamed, alarms], [[], []]);

  await rm(backup);
  await rm(join(backups, 'notes.txt'));
  assert.deepEqual(brief(await residue(0, '--etcd', etcd, '--snapshots', backups)), []);

  await cluster.stop();
  const marker = join(folder, 'marker');
  await writeFile(marker, MARKER);
  for (const name of ['m0', 'm1', 'm2']) {
    const report = await residue(1, '--data-dir-etcd', join(folder, name), '--marker', marker);
    assert.deepEqual(brief(report), [`wal secrets identity ${SECRETS}`]);
    assert.equal(report.total, SECRETS);
    assert.deepEqual(
      new Map(report.markers?.map(({ source, count }) => [source, count])),
      await grep(join(folder, name)),
    );
    assert.deepEqual(report.problems, []);
  }
});
