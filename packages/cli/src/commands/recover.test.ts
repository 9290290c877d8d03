/**
 * Goal: recover as it is typed: data alone on standard output, exit codes, a new snapshot under a KMS, and an escrow key when that KMS is
 * gone. Method: the command in its own process over a snapshot file and a real KMS plugin.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, open, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { createEncryptionAtRest } from '@waxseal/encryption-config';
import { createKeyring } from '@waxseal/kms-plugin';
import { writeBoltFile, type BoltEntry } from '@waxseal/storage';
import { waxseal } from '../testing/command.js';
import { startPluginProcess } from '../testing/plugin-process.js';

/** A pair made for this test. */
const ageIdentity = 'AGE-SECRET-KEY-1QQFWXMQDMTK5R63Y8UGZPXE05RZR2WZWH2F465UXUTQGSKSNLFMQM2MEGV';
const ageRecipient = 'age19lrcf66gr39e8fv76pjf7k90dk0lxc2wwks9je8wu23c6aar8y5s0fv779';
const NAMES = ['a', 'b', 'c'];

let folder = '';
const at = (name: string): string => join(folder, name);
const secretOf = (name: string) => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name, namespace: 'default' },
  data: { password: 'aHVudGVyMg==' },
});

async function config(name: string, provider: string): Promise<string> {
  await writeFile(
    at(name),
    `kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources:\n  - resources: [secrets]\n    providers:\n      - ${provider}\n`,
    { mode: 0o600 },
  );
  return at(name);
}

function field(tag: number, bytes: Buffer): Buffer {
  const length = bytes.length < 128 ? [bytes.length] : [(bytes.length & 0x7f) | 0x80, bytes.length >> 7];
  return Buffer.concat([Buffer.from([tag, ...length]), bytes]);
}

function entry(revision: number, key: string, value: Buffer): BoltEntry {
  const at = Buffer.alloc(17);
  at.writeBigUInt64BE(BigInt(revision), 0);
  at.write('_', 8);
  const numbers = Buffer.from([0x10, revision, 0x18, revision, 0x20, 1]);
  return { key: at, value: Buffer.concat([field(0x0a, Buffer.from(key)), numbers, field(0x2a, value)]) };
}

/** Revisions 2, 3, … in a snapshot as etcd makes them. */
async function writeSnapshot(name: string, values: readonly (readonly [string, Buffer])[]): Promise<void> {
  const file = await open(at(name), 'wx+', 0o600);
  await writeBoltFile(file, [
    { name: 'key', entries: values.map(([key, value], index) => entry(index + 2, key, value)) },
    { name: 'meta', entries: [] },
  ]);
  const { size } = await file.stat();
  const database = Buffer.alloc(size);
  await file.read(database, 0, size, 0);
  await file.write(createHash('sha256').update(database).digest(), 0, 32, size);
  await file.close();
}

const recover = (...args: readonly string[]) =>
  waxseal(['recover', ...args.map((arg) => arg.replace(/^@/, `${folder}/`))]);

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'waxseal-recover-cli-'));
  const secret = Buffer.alloc(32, 5).toString('base64');
  const file = await config('enc.yaml', `secretbox: {keys: [{name: one, secret: ${secret}}]}`);
  const encryption = await createEncryptionAtRest({ file });
  const transformer = encryption.transformerFor({ group: '', resource: 'secrets' });
  const values: [string, Buffer][] = [];
  for (const name of NAMES) {
    const key = `/registry/secrets/default/${name}`;
    const data = Buffer.from(JSON.stringify(secretOf(name)));
    values.push([key, await transformer.transformToStorage(data, Buffer.from(key))]);
  }
  await encryption.close();
  await writeSnapshot('good.db', values);
  await writeSnapshot('bad.db', [
    ...values,
    ['/registry/ranges/serviceips', Buffer.from('{"apiVersion":"v1","kind":"RangeAllocation"}')],
    ['/registry/secrets/default/d', Buffer.from('k8s:enc:aescbc:v1:gone:0123')],
  ]);
});
after(() => rm(folder, { recursive: true }));

const base = ['--snapshot', '@good.db', '--encryption-config', '@enc.yaml'] as const;

test('standard output holds the objects and nothing else', () => {
  const { status, stdout, stderr } = recover(...base, '--output', 'jsonl');
  assert.equal(status, 0, stderr);
  const objects = stdout
    .trim()
    .split('\n')
    .map((line): unknown => JSON.parse(line));
  assert.deepEqual(objects, NAMES.map(secretOf));
  assert.deepEqual(JSON.parse(stderr), {
    source: `snapshot ${at('good.db')}`,
    objects: 3,
    unrecovered: 0,
    causes: {},
    leftOut: 0,
  });
  const yaml = recover(...base, '--name', 'b', '--resources', 'secrets,configmaps');
  assert.match(yaml.stdout, /^---\napiVersion: v1\nkind: Secret\nmetadata:\n {2}name: b\n/);
});

test('one List as JSON, also of nothing; a selection that chooses nothing is told', () => {
  const base = ['--snapshot', '@good.db', '--encryption-config', '@enc.yaml'];
  const itemsOf = (stdout: string): unknown => {
    const { kind, apiVersion, items } = JSON.parse(stdout) as Record<string, unknown>;
    assert.deepEqual([kind, apiVersion], ['List', 'v1']);
    return items;
  };
  const all = recover(...base, '--output', 'json');
  assert.equal(all.status, 0, all.stderr);
  assert.deepEqual(itemsOf(all.stdout), NAMES.map(secretOf));
  assert.deepEqual(itemsOf(recover(...base, '--output', 'json', '--name', 'z').stdout), []);
  assert.match(recover(...base, '--resources', 'secret').stderr, /0 objects.*plural/);
});

test('for another cluster, and counted', () => {
  const all = [
    '--snapshot',
    '@bad.db',
    '--encryption-config',
    '@enc.yaml',
    '--for-apply',
    '--output',
    'jsonl',
  ];
  const { status, stdout, stderr } = recover(...all);
  assert.equal(status, 1);
  assert.equal(stdout.trim().split('\n').length, NAMES.length + 1);
  assert.deepEqual(JSON.parse(stderr), {
    source: `snapshot ${at('bad.db')}`,
    objects: 3,
    unrecovered: 1,
    causes: { 'no-matching-prefix': 1 },
    leftOut: 1,
  });
  const text = recover(...all.slice(0, -2));
  assert.match(
    text.stderr,
    /3 objects, 1 that could not be recovered \(1 no-matching-prefix\), 1 left out that a cluster makes itself\n/,
  );
});

test('what cannot be opened is there with its reason, exit code 1', () => {
  const { status, stdout } = recover(
    '--snapshot',
    '@bad.db',
    '--encryption-config',
    '@enc.yaml',
    '--output',
    'jsonl',
  );
  assert.equal(status, 1);
  const last = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Readonly<Record<string, string>>;
  assert.equal(last['kind'], 'Unrecovered');
  assert.equal(Buffer.from(last['base64'] ?? '', 'base64').toString(), 'k8s:enc:aescbc:v1:gone:0123');
});

test('a folder of private files, once', async () => {
  const args = [...base, '--out-dir', '@objects'] as const;
  const { status, stdout, stderr } = recover(...args);
  assert.equal(status, 0, stderr);
  assert.equal(stdout, '');
  assert.deepEqual((await readdir(at('objects/secrets/default'))).toSorted(), ['a.yaml', 'b.yaml', 'c.yaml']);
  assert.equal((await stat(at('objects/secrets/default/a.yaml'))).mode & 0o777, 0o600);
  assert.equal(recover(...args).status, 2);
});

test('a snapshot under a KMS, read again with the escrow key when the KMS is gone', async (t) => {
  await createKeyring(at('keyring.json'));
  await writeFile(
    at('plugin.yaml'),
    `keys:\n  - name: here\n    listen: ${at('kms.sock')}\n    provider: {local: {keyringFile: ${at('keyring.json')}}}\n    recipients: [{name: safe, escrow: {publicKey: ${ageRecipient}}}]\n`,
  );
  await config(
    'kms.yaml',
    `kms: {apiVersion: v2, name: here, endpoint: 'unix://${at('kms.sock')}', timeout: 1s}`,
  );
  await writeFile(at('age.txt'), `${ageIdentity}\n`, { mode: 0o600 });
  const plugin = await startPluginProcess(t, [
    'serve',
    '--config',
    at('plugin.yaml'),
    '--log-level',
    'silent',
  ]);
  const made = recover(...base, '--reencrypt-with', '@kms.yaml', '--output-snapshot', '@kms.db');
  assert.equal(made.status, 0, made.stderr);
  assert.match(made.stdout, /3 values re-encrypted/);
  const fromKms = ['--snapshot', '@kms.db', '--encryption-config', '@kms.yaml', '--output', 'jsonl'] as const;
  assert.equal(recover(...fromKms).status, 0);
  await plugin.stop();
  assert.equal(recover(...fromKms).status, 1);
  const escrow = recover(...fromKms, '--escrow-identity', '@age.txt');
  assert.equal(escrow.status, 0, escrow.stderr);
  assert.equal(escrow.stdout.trim().split('\n').length, NAMES.length);
});

test('a new snapshot is not written over unreadable values or another file', async () => {
  const args = [
    '--snapshot',
    '@bad.db',
    '--encryption-config',
    '@enc.yaml',
    '--reencrypt-with',
    '@enc.yaml',
  ] as const;
  const refused = recover(...args, '--output-snapshot', '@never.db');
  assert.equal(refused.status, 1);
  assert.match(
    refused.stderr,
    /\/registry\/secrets\/default\/d: no matching prefix found\n1 live values do not open/,
  );
  assert.ok(!(await readdir(folder)).includes('never.db'));
  const kept = recover(...args, '--output-snapshot', '@kept.db', '--keep-unreadable');
  assert.equal(kept.status, 1);
  assert.ok((await readdir(folder)).includes('kept.db'));
  assert.match(recover(...args, '--output-snapshot', '@kept.db').stderr, /never overwritten/);
  const counted = recover(
    ...args,
    '--output-snapshot',
    '@counted.db',
    '--keep-unreadable',
    '--output',
    'json',
  );
  assert.equal(counted.status, 1);
  assert.deepEqual(JSON.parse(counted.stdout), {
    values: 5,
    rewritten: 3,
    kept: 2,
    unreadable: 1,
    unreadablePast: 0,
    decrypted: 0,
    tombstones: 0,
    snapshot: at('counted.db'),
    sizeBytes: (await stat(at('counted.db'))).size,
    failures: [{ key: '/registry/secrets/default/d', revision: 6, reason: 'no matching prefix found' }],
  });
  const none = recover(...args, '--output-snapshot', '@never.db', '--output', 'jsonl');
  assert.equal((JSON.parse(none.stdout) as Readonly<Record<string, unknown>>)['snapshot'], null);
});

test('options that do not go together', () => {
  assert.equal(recover(...base, '--reencrypt-with', '@enc.yaml').status, 2);
  assert.equal(
    recover(...base, '--reencrypt-with', '@enc.yaml', '--output-snapshot', '@x.db', '--name', 'a').status,
    2,
  );
  assert.equal(
    recover(...base, '--reencrypt-with', '@enc.yaml', '--output-snapshot', '@x.db', '--for-apply').status,
    2,
  );
  assert.equal(recover(...base, '--data-dir', '@x').status, 2);
  assert.equal(recover('--snapshot', '@good.db').status, 2);
});
