// Goal: yes is said only when no live value, no older revision and no backup needs the key. Method: given values sealed with several keys
// in each place in turn; backups are files of any content that a function opens, so that what is opened can be counted.
import assert from 'node:assert/strict';
import { appendFile, mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { encodeEncryptedObject } from '@waxseal/envelope';
import { OpsError } from '../errors.js';
import type { Source } from '../sources/source.js';
import { memorySource, type MemoryValue } from '../testing/memory-source.js';
import { refuseUnconfiguredKey } from './configured-key.js';
import { parseKeyReference } from './key-reference.js';
import { mayRetire, type RetireOptions, type RetireReport } from './retire.js';

const arn = 'arn:aws:kms:eu-west-1:111122223333:key/a';
const kmsV2 = Buffer.concat([
  Buffer.from('k8s:enc:kms:v2:cloud:'),
  encodeEncryptedObject({
    encryptedData: Buffer.from('data'),
    keyId: arn,
    encryptedDekSource: Buffer.from('dek'),
    annotations: {},
    encryptedDekSourceType: 1,
  }),
]);
const sealed = {
  cbc1: Buffer.from('k8s:enc:aescbc:v1:key1:…'),
  gcm1: Buffer.from('k8s:enc:aesgcm:v1:key1:…'),
  box2: Buffer.from('k8s:enc:secretbox:v1:key2:…'),
  kmsV1: Buffer.from('k8s:enc:kms:v1:old:\0\x03dek…'),
  kmsV2,
  plain: Buffer.from('k8s\0…'),
  strange: Buffer.from('k8s:enc:kms:v3:cloud:…'),
} as const;

const value = (name: keyof typeof sealed, revision = 5): MemoryValue => ({
  key: `/registry/secrets/default/${name}`,
  value: sealed[name],
  modRevision: revision,
});

const ask = (key: string, source: Source, more: Partial<RetireOptions> = {}): Promise<RetireReport> =>
  mayRetire({ key: parseKeyReference(key), prefix: '/registry/', source, ...more });

async function temporary(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'retire-'));
  t.after(() => rm(directory, { recursive: true }));
  return directory;
}

test('a key that nothing needs may go', async () => {
  const source = memorySource('here', [value('cbc1'), value('plain'), value('kmsV2')]);
  for (const key of ['aescbc:key2', 'aesgcm:key1', 'kms:old', 'key2', 'nobody']) {
    const { seen, didYouMean: _meant, ...answer } = await ask(key, source);
    assert.deepEqual(answer, {
      key,
      mayDelete: true,
      needed: [],
      elsewhere: [],
      backups: { checked: 0, fromLedger: 0 },
      occurs: false,
      lookedAt: {
        source: 'here',
        note: 'only here was looked at, its live values and older revisions; give --snapshots for the backups',
      },
    });
    assert.deepEqual(seen, [
      { provider: 'aescbc', key: 'key1', count: 1 },
      { provider: 'kms-v2', key: arn, kmsName: 'cloud', count: 1 },
    ]);
  }
});

test('identity is no key, so nothing is said about deleting it; a key and a KMS may have the name', async () => {
  const plain = memorySource('here', [value('plain')]);
  for (const key of ['identity', 'identity:'])
    await assert.rejects(ask(key, plain), {
      code: 'invalid-option',
      message: /identity has no key.*waxseal scan/,
    });
  assert.equal((await ask('secretbox:identity', plain)).mayDelete, true);
  const named = { ...value('plain'), value: Buffer.from('k8s:enc:aescbc:v1:identity:sealed') };
  assert.equal((await ask('identity', memorySource('here', [named]))).mayDelete, false);
});

test('a name that occurs nowhere is told apart from one that is replaced; near names are named', async () => {
  const source = memorySource('here', [value('cbc1'), value('kmsV2'), value('box2')], [value('cbc1', 3)]);
  const { seen } = await ask('nobody', source);
  assert.deepEqual(
    seen.map(({ provider, key, count }) => [provider, key, count]),
    [
      ['aescbc', 'key1', 2],
      ['kms-v2', arn, 1],
      ['secretbox', 'key2', 1],
    ],
  );
  const meant: Readonly<Record<string, readonly string[]>> = {
    'aescbc:key11': ['aescbc:key1'],
    KEY2: ['secretbox:key2', 'aescbc:key1'],
    'secretbox:key1': ['aescbc:key1', 'secretbox:key2'],
    clowd: ['kms-v2:cloud'],
    a: [`kms-v2:${arn}`],
    [arn.replace('west-1', 'west-2')]: [`kms-v2:${arn}`],
    nobody: [],
  };
  for (const [key, names] of Object.entries(meant)) {
    const { mayDelete, occurs, didYouMean } = await ask(key, source);
    assert.deepEqual([mayDelete, occurs, didYouMean], [true, false, names], key);
  }
  const known = await ask('aescbc:key1', source);
  assert.deepEqual([known.occurs, known.didYouMean], [true, []]);
});

test('what backups hold is seen too; without any the answer says that none were looked at', async (t) => {
  const directory = await temporary(t);
  const backups = {
    directory,
    open: (path: string) => Promise.resolve(memorySource(path, [value('kmsV1')])),
  };
  const source = memorySource('here', [value('box2')]);
  const empty = await ask('key1', source, { backups });
  assert.deepEqual(empty.lookedAt, {
    source: 'here',
    snapshots: directory,
    note: `${directory} holds no backups, so only here was looked at`,
  });
  await writeFile(join(directory, 'monday.db'), 'a bare database');
  const { lookedAt, seen } = await ask('key1', source, { backups });
  assert.deepEqual(lookedAt, { source: 'here', snapshots: directory });
  assert.deepEqual(
    seen.map(({ key }) => key),
    ['old', 'key2'],
  );
});

test('a key that the configuration does not have is refused, a keyID of a KMS is not', () => {
  const configuration = (...providers: readonly string[]) => ({
    file: 'enc.yaml',
    text: `apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources: [{resources: [secrets], providers: [${providers.join(', ')}]}]\n`,
  });
  const secret = Buffer.alloc(32, 1).toString('base64');
  const box = `{secretbox: {keys: [{name: key2, secret: ${secret}}]}}`;
  const kms = '{kms: {apiVersion: v2, name: cloud, endpoint: unix:///run/kms.sock}}';
  const refuse = (key: string, ...providers: readonly string[]): void =>
    refuseUnconfiguredKey(parseKeyReference(key), configuration(...providers));
  for (const key of ['key2', 'secretbox:key2']) refuse(key, box);
  for (const key of ['cloud', 'kms:cloud', arn, `kms-v2:${arn}`, 'key2']) refuse(key, kms, box);
  for (const key of ['key1', 'aescbc:key2', arn, 'kms:cloud']) {
    assert.throws(() => refuse(key, box), { code: 'invalid-option' }, key);
  }
  assert.throws(
    () => refuse('secretbox:key1', kms, box),
    /enc\.yaml has no key secretbox:key1\. It has secretbox:key2\./,
  );
  assert.throws(() => refuse('key1', 'rot13'), { code: 'config-invalid' });
});

test('every way to name a key finds what needs it', async () => {
  const names: Readonly<Record<string, keyof typeof sealed>> = {
    'aescbc:key1': 'cbc1',
    'aesgcm:key1': 'gcm1',
    'secretbox:key2': 'box2',
    key2: 'box2',
    'kms:old': 'kmsV1',
    'kms-v1:old': 'kmsV1',
    old: 'kmsV1',
    'kms-v2:cloud': 'kmsV2',
    cloud: 'kmsV2',
    [arn]: 'kmsV2',
    [`kms-v2:${arn}`]: 'kmsV2',
  };
  const source = memorySource(
    'here',
    (['cbc1', 'gcm1', 'box2', 'kmsV1', 'kmsV2'] as const).map((each) => value(each)),
  );
  for (const [name, needs] of Object.entries(names)) {
    const { needed } = await ask(name, source);
    assert.deepEqual(
      needed.map(({ place, count, keys }) => ({ place, count, keys })),
      [{ place: 'live', count: 1, keys: [`/registry/secrets/default/${needs}`] }],
      name,
    );
  }
  assert.equal((await ask('key1', source)).needed.length, 2, 'a bare name is of any provider');
  for (const text of ['', 'aescbc:', 'kms:']) assert.throws(() => parseKeyReference(text), OpsError);
});

test('an older revision needs its key until it is compacted', async () => {
  const source = memorySource('here', [value('box2')], [value('cbc1', 3), value('cbc1', 2)]);
  const { mayDelete, needed } = await ask('aescbc:key1', source);
  assert.equal(mayDelete, false);
  assert.deepEqual(
    needed.map(({ place, count, oldestRevision, newestRevision }) => [
      place,
      count,
      oldestRevision,
      newestRevision,
    ]),
    [['history', 2, 2, 3]],
  );
});

test('the first objects are named, all are counted', async () => {
  const many = Array.from({ length: 25 }, (_, i) => ({
    ...value('cbc1'),
    key: `/registry/secrets/default/${String(24 - i).padStart(2, '0')}`,
  }));
  const { needed } = await ask('key1', memorySource('here', many));
  assert.equal(needed[0]?.count, 25);
  assert.deepEqual(
    needed[0]?.keys,
    Array.from({ length: 10 }, (_, i) => `/registry/secrets/default/0${i}`),
  );
});

test('what nobody can tell the key of counts as a need, until it is said not to', async () => {
  const source = memorySource('here', [
    value('strange'),
    { ...value('kmsV2'), value: Buffer.from('k8s:enc:kms:v2:cloud:\xff') },
  ]);
  assert.equal((await ask('aescbc:key1', source)).needed.length, 2);
  assert.equal((await ask('aescbc:key1', source, { ignoreUndecided: true })).mayDelete, true);
});

test('only what lies under the prefix counts', async () => {
  const source = memorySource('here', [{ ...value('cbc1'), key: '/other/secrets/a' }, value('box2')]);
  assert.equal((await ask('key1', source)).mayDelete, true);
  assert.equal((await ask('key1', source, { prefix: '/' })).mayDelete, false);
});

test('a prefix under which nothing lies is no yes, in a backup neither', async (t) => {
  const elsewhere = { ...value('cbc1'), key: '/other/secrets/a' };
  await assert.rejects(ask('key1', memorySource('here', [elsewhere])), { code: 'invalid-option' });
  const directory = await temporary(t);
  await writeFile(join(directory, 'monday.db'), 'a bare database');
  const open = (path: string) => Promise.resolve(memorySource(path, [elsewhere]));
  const report = await ask('key1', memorySource('here', [value('box2')]), { backups: { directory, open } });
  assert.equal(report.mayDelete, false);
  assert.match(report.needed[0]?.reason ?? '', /nothing lies under \/registry\//);
});

test('backups are read once, recognised after a move, and remembered when they are elsewhere', async (t) => {
  const directory = await temporary(t);
  const ledgerFile = join(await temporary(t), 'ledger.jsonl');
  await writeFile(join(directory, 'monday.db'), 'a bare database');
  await writeFile(join(directory, 'tuesday.db'), Buffer.alloc(1024 + 32, 7));
  const contents: Readonly<Record<string, readonly MemoryValue[]>> = {
    'monday.db': [value('cbc1')],
    'tuesday.db': [value('box2')],
  };
  const opened: string[] = [];
  const backups = {
    directory,
    open: (path: string) => {
      const name = path.slice(directory.length + 1);
      opened.push(name);
      return Promise.resolve(memorySource(path, contents[name] ?? []));
    },
  };
  const source = memorySource('here', [value('box2')]);
  const first = await ask('aescbc:key1', source, { backups, ledgerFile });
  assert.deepEqual(opened, ['monday.db', 'tuesday.db']);
  assert.deepEqual(
    first.needed.map(({ source: where, place, count }) => [where, place, count]),
    [[join(directory, 'monday.db'), 'backup', 1]],
  );
  assert.equal((await stat(ledgerFile)).mode & 0o777, 0o600);

  await rename(join(directory, 'monday.db'), join(directory, 'moved.db'));
  const second = await ask('aescbc:key1', source, { backups, ledgerFile });
  assert.deepEqual(opened, ['monday.db', 'tuesday.db'], 'the ledger answers');
  assert.equal(second.needed[0]?.source, join(directory, 'moved.db'));
  assert.deepEqual(second.backups, { checked: 2, fromLedger: 2 });

  await rm(join(directory, 'moved.db'));
  const third = await ask('aescbc:key1', source, { backups, ledgerFile });
  assert.equal(third.mayDelete, true);
  assert.deepEqual(third.elsewhere, [join(directory, 'moved.db')]);

  await appendFile(join(directory, 'tuesday.db'), Buffer.alloc(512, 8));
  await ask('aescbc:key1', source, { backups, ledgerFile });
  assert.deepEqual(opened, ['monday.db', 'tuesday.db', 'tuesday.db'], 'a changed backup is read again');
});

test('a file nobody can read stands in the way', async (t) => {
  const directory = await temporary(t);
  await writeFile(join(directory, 'notes.txt'), 'no snapshot');
  await writeFile(join(directory, '.hidden'), 'no backup');
  const open = (path: string): Promise<Source> =>
    Promise.reject(new OpsError('source-damaged', `${path} is no snapshot.`));
  const report = await ask('key1', memorySource('here', []), { backups: { directory, open } });
  assert.equal(report.mayDelete, false);
  assert.deepEqual(
    report.needed.map(({ source, place }) => [source, place]),
    [[join(directory, 'notes.txt'), 'unreadable']],
  );
  assert.match(report.needed[0]?.reason ?? '', /is no snapshot; move away/);
  const absent = ask('key1', memorySource('here', []), {
    backups: { directory: join(directory, 'none'), open },
  });
  await assert.rejects(absent, { code: 'source-unreadable' });
});

test('a damaged ledger is refused at its line, wherever it was cut', async (t) => {
  const directory = await temporary(t);
  const ledgerFile = join(await temporary(t), 'ledger.jsonl');
  await writeFile(join(directory, 'a.db'), 'a bare database');
  const backups = { directory, open: (path: string) => Promise.resolve(memorySource(path, [value('cbc1')])) };
  const source = memorySource('here', []);
  const run = (): Promise<RetireReport> => ask('key1', source, { backups, ledgerFile });
  await run();
  const good = await readFile(ledgerFile, 'utf8');
  for (let length = 1; length < good.length - 1; length++) {
    await writeFile(ledgerFile, good.slice(0, length));
    await assert.rejects(run(), { code: 'state-invalid', message: /damaged at line 1/ });
  }
  await writeFile(ledgerFile, `${good}{"format":2}\n`);
  await assert.rejects(run(), { code: 'state-invalid', message: /damaged at line 2/ });
});

test('an interruption keeps what is in the ledger', async (t) => {
  const directory = await temporary(t);
  const ledgerFile = join(await temporary(t), 'ledger.jsonl');
  for (const name of ['a.db', 'b.db']) await writeFile(join(directory, name), name);
  const controller = new AbortController();
  const opened: string[] = [];
  const open = (path: string): Promise<Source> => {
    opened.push(path);
    controller.abort();
    return Promise.resolve(memorySource(path, []));
  };
  const options = { backups: { directory, open }, ledgerFile };
  const source = memorySource('here', []);
  await assert.rejects(ask('key1', source, { ...options, signal: controller.signal }), {
    code: 'interrupted',
  });
  assert.equal((await ask('key1', source, options)).mayDelete, true);
  assert.deepEqual(opened, [join(directory, 'a.db'), join(directory, 'b.db')]);
});
