// Goal: `waxseal retire` answers by exit code and in the fixed form. Method: the real command over snapshots that a real store wrote.
import assert from 'node:assert/strict';
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openLmdbStore } from '@waxseal/storage';
import type { RetireReport } from '@waxseal/ops';
import { loadPki } from '../up/pki.js';
import { waxseal } from '../testing/command.js';

let folder = '';
let dataDir = '';
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cli-retire-'));
  dataDir = join(folder, 'data');
  await mkdir(join(dataDir, 'api'), { recursive: true, mode: 0o700 });
  const store = await openLmdbStore({ path: join(dataDir, 'api') });
  const put = (name: string, value: string): Promise<unknown> =>
    store.txn({
      compare: [],
      success: [
        {
          kind: 'put',
          key: Buffer.from(`/registry/secrets/default/${name}`),
          value: Buffer.from(value),
        },
      ],
      failure: [],
    });
  await put('a', 'k8s:enc:aescbc:v1:key1:old');
  await put('a', 'k8s:enc:secretbox:v1:key2:new');
  await put('b', 'k8s:enc:aesgcm:v1:key3:live');
  await store.close();
});
after(() => rm(folder, { recursive: true }));

const retire = (
  ...args: readonly string[]
): { readonly code: number | null; readonly report: RetireReport } => {
  const { status, stdout } = waxseal(['retire', '--data-dir', dataDir, '--output', 'json', ...args]);
  return { code: status, report: JSON.parse(stdout) as RetireReport };
};
const where = ({ needed }: RetireReport): readonly unknown[] =>
  needed.map(({ place, count, keys }) => ({ place, count, keys }));

test('yes is 0, no is 1 and says where', () => {
  assert.deepEqual(retire('--key', 'aescbc:other'), {
    code: 0,
    report: {
      key: 'aescbc:other',
      mayDelete: true,
      needed: [],
      elsewhere: [],
      backups: { checked: 0, fromLedger: 0 },
      occurs: false,
      seen: [
        { provider: 'aescbc', key: 'key1', count: 1 },
        { provider: 'aesgcm', key: 'key3', count: 1 },
        { provider: 'secretbox', key: 'key2', count: 1 },
      ],
      didYouMean: [],
      lookedAt: {
        source: `data directory ${dataDir}`,
        note: `only data directory ${dataDir} was looked at, its live values and older revisions; give --snapshots for the backups`,
      },
    },
  });
  const { code, report } = retire('--key', 'aesgcm:key3');
  assert.equal(code, 1);
  assert.deepEqual(where(report), [{ place: 'live', count: 1, keys: ['/registry/secrets/default/b'] }]);
  const old = retire('--key', 'aescbc:key1');
  assert.equal(old.code, 1);
  assert.deepEqual(where(old.report), [
    { place: 'history', count: 1, keys: ['/registry/secrets/default/a'] },
  ]);
});

test('a file among the backups that is no snapshot stands in the way', async () => {
  const backups = join(folder, 'backups');
  await mkdir(backups);
  await copyFile(join(dataDir, 'api', 'data.mdb'), join(backups, 'no-etcd.db'));
  const { code, report } = retire('--key', 'aescbc:other', '--snapshots', backups);
  assert.equal(code, 1);
  assert.deepEqual(
    report.needed.map(({ source, place }) => [source, place]),
    [[join(backups, 'no-etcd.db'), 'unreadable']],
  );
});

test('what is missing is said in a sentence', () => {
  const none = waxseal(['retire', '--key', 'aescbc:key1']);
  assert.equal(none.status, 2);
  assert.match(none.stderr, /--etcd, --snapshot and --data-dir/);
  const nameless = waxseal(['retire', '--key', 'aescbc:', '--data-dir', dataDir]);
  assert.equal(nameless.status, 2, nameless.stderr);
  const text = waxseal(['retire', '--key', 'key3', '--data-dir', dataDir]);
  assert.equal(text.status, 1);
  assert.match(text.stdout, /key3 may not be deleted:\nWHERE/);
});

test('--key twice is the key in question and, as for etcdctl, the key file of --cert; never the one for the other', async () => {
  const pki = join(folder, 'pki');
  await loadPki(pki, new Date());
  const pem = join(pki, 'etcd-client.key');
  const tls = ['retire', '--etcd', 'https://127.0.0.1:1', '--cert', join(pki, 'etcd-client.crt')];
  const question = ['--key', 'aesgcm:key3'];
  const file = ['--key', pem];
  for (const both of [
    [...question, ...file],
    [...file, ...question],
  ]) {
    const { status, stderr } = waxseal([...tls, ...both]);
    assert.equal(status, 3, stderr);
    assert.match(stderr, /No etcd endpoint answered/);
  }
  const unclear = [
    [...tls, ...question],
    [...tls, ...question, '--key', `${pem}.misspelt`],
    [...tls, ...file, ...file],
    [...tls, ...question, ...file, '--etcd-key', pem],
    [...tls, ...question, ...file, '--key', 'key2'],
    ['retire', '--data-dir', dataDir, ...question, ...file],
  ];
  for (const args of unclear) {
    const { status, stdout, stderr } = waxseal(args);
    assert.equal(status, 2, stderr);
    assert.equal(stdout, '');
    assert.match(stderr, /by --etcd-key/);
  }
});

test('under a wrong prefix nothing needs a key, and that is no yes', () => {
  const { status, stdout, stderr } = waxseal([
    'retire',
    '--data-dir',
    dataDir,
    '--prefix',
    '/kubernetes',
    '--key',
    'aesgcm:key3',
  ]);
  assert.equal(status, 2);
  assert.equal(stdout, '');
  assert.match(stderr, /nothing lies under \/kubernetes\//);
});

test('a name that occurs nowhere is no reason for a person to delete another key', async () => {
  const { status, stdout } = waxseal(['retire', '--data-dir', dataDir, '--key', 'aesgcm:key4']);
  assert.equal(status, 0);
  assert.match(
    stdout,
    /^No value and no older revision names aesgcm:key4: nothing needs it.*or is misspelt\.$/m,
  );
  assert.match(stdout, /^Did you mean aesgcm:key3 or /m);
  assert.match(stdout, /^PROVIDER +KEY +KMS NAME +VALUES\naescbc +key1 +1$/m);
  assert.match(stdout, /^Note: only .* give --snapshots for the backups\.$/m);
  const file = join(folder, 'enc.yaml');
  const secret = Buffer.alloc(32, 1).toString('base64');
  await writeFile(
    file,
    `apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources: [{resources: [secrets], providers: [{aesgcm: {keys: [{name: key3, secret: ${secret}}]}}]}]\n`,
  );
  const configured = ['retire', '--data-dir', dataDir, '--encryption-config', file, '--key'];
  assert.equal(waxseal([...configured, 'aesgcm:key3']).status, 1);
  const refused = waxseal([...configured, 'aesgcm:key4']);
  assert.equal(refused.status, 2);
  assert.match(refused.stderr, /has no key aesgcm:key4\. It has aesgcm:key3\./);
});

test('what names hold never reaches a terminal as it is: retire, and verify of the same values', async () => {
  const hostile = join(folder, 'hostile');
  await mkdir(join(hostile, 'api'), { recursive: true, mode: 0o700 });
  const store = await openLmdbStore({ path: join(hostile, 'api') });
  const name = '\u001b]0;x\u0007\u009b';
  const key = Buffer.from(`/registry/secrets/default/${name}`);
  const value = Buffer.from(`k8s:enc:aescbc:v1:${name}:x`);
  await store.txn({ compare: [], success: [{ kind: 'put', key, value }], failure: [] });
  await store.close();
  const file = join(folder, 'identity.yaml');
  await writeFile(
    file,
    'apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources: [{resources: [secrets], providers: [{identity: {}}]}]\n',
  );
  for (const output of ['text', 'json']) {
    const source = ['--data-dir', hostile, '--output', output];
    const answers = [
      waxseal(['retire', '--key', name, ...source]),
      waxseal(['retire', '--key', `aesgcm:${name}`, ...source]),
      waxseal(['verify', '--encryption-config', file, ...source]),
    ];
    assert.deepEqual(
      answers.map(({ status }) => status),
      [1, 0, 1],
    );
    for (const { stdout } of answers) assert.doesNotMatch(stdout, /[^\P{Cc}\n]/u);
  }
});
