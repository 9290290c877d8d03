/**
 * Goal: `waxseal scan` says what lies in a snapshot, a data directory and a live etcd front, in every form, and its exit code is the policy's answer.
 * Method: the real command over a store that is written here, and over damaged files.
 */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { encodeEncryptedObject } from '@waxseal/envelope';
import { openLmdbStore, startEtcdFront, writeBoltFile } from '@waxseal/storage';
import { spawnWaxseal, waxseal } from '../testing/command.js';

let folder: string;
const at = (name: string): string => join(folder, name);
before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'waxseal-scan-'));
  await writeDataDir();
});
after(() => {
  rmSync(folder, { recursive: true, force: true });
});

function sealed(keyId: string): Buffer {
  const body = encodeEncryptedObject({
    encryptedData: Buffer.from('ciphertext'),
    keyId,
    encryptedDekSource: Buffer.from('source'),
    encryptedDekSourceType: 1,
    annotations: {},
  });
  return Buffer.concat([Buffer.from('k8s:enc:kms:v2:waxseal:'), body]);
}

async function writeDataDir(): Promise<void> {
  mkdirSync(at('data'), { mode: 0o700 });
  const store = await openLmdbStore({ path: at('data/api') });
  const put = (key: string, value: Buffer): Promise<unknown> =>
    store.txn({ compare: [], success: [{ kind: 'put', key: Buffer.from(key), value }], failure: [] });
  await put('/registry/secrets/a/1', sealed('key-1'));
  await put('/registry/secrets/a/2', sealed('<script>alert(1)</script>'));
  await put('/registry/secrets/a/3', sealed('=1+1,"x"'));
  await put('/registry/configmaps/a/1', Buffer.from('{"kind":"ConfigMap"}'));
  await store.close();
  await writeHostileDataDir();
}

/** Names that a terminal would act on, that are no UTF-8, and that are long. */
async function writeHostileDataDir(): Promise<void> {
  mkdirSync(at('hostile'), { mode: 0o700 });
  const store = await openLmdbStore({ path: at('hostile/api') });
  const put = (key: Buffer, value: Buffer): Promise<unknown> =>
    store.txn({ compare: [], success: [{ kind: 'put', key, value }], failure: [] });
  const key = (resource: string): Buffer => Buffer.from(`/registry/${resource}/a/1`, 'latin1');
  await put(key('\u001b[2J\u0007'), sealed('\u001b]0;title\u0007'));
  await put(key('\xff\xfe'), sealed('k'.repeat(1024)));
  await put(key('r'.repeat(200)), Buffer.from('k8s:enc:aescbc:v1:\u009b31m\r\n:x'));
  await put(key('secrets'), sealed('k'.repeat(65_536).slice(0, 1024)));
  await store.close();
}

const scanned = (...args: readonly string[]) => waxseal(['scan', '--data-dir', at('data'), ...args]);

test('json has the fixed shape', () => {
  const { stdout, stderr, status } = scanned('--output', 'json');
  assert.equal(status, 0, stderr);
  const report = JSON.parse(stdout) as {
    groups: Record<string, unknown>[];
    plaintext: number;
    total: number;
  };
  assert.equal(report.plaintext, 1);
  assert.equal(report.total, 4);
  const shape = report.groups.map(({ resource, provider, key, count }) => [resource, provider, key, count]);
  assert.deepEqual(shape, [
    ['configmaps', 'identity', '', 1],
    ['secrets', 'kms-v2', '<script>alert(1)</script>', 1],
    ['secrets', 'kms-v2', '=1+1,"x"', 1],
    ['secrets', 'kms-v2', 'key-1', 1],
  ]);
  assert.equal(report.groups[0]?.['bytes'], 20);
});

test('text, and csv that no spreadsheet runs', () => {
  const text = scanned();
  assert.match(text.stdout, /^RESOURCE +PROVIDER +KEY/);
  assert.match(text.stdout, /\nconfigmaps +identity +1 +20 B /);
  assert.match(text.stdout, /\n4 values, .*: 1 in plaintext\.\n$/);
  assert.match(scanned('--dek-sources').stdout, /\n +[0-9a-f]{16} +1 /);
  const [header, ...rows] = scanned('--output', 'csv').stdout.trimEnd().split('\r\n');
  assert.equal(header, 'resource,provider,key,dek_source,count,bytes,oldest_revision,newest_revision');
  assert.equal(rows.length, 4);
  assert.ok(rows.some((row) => row.startsWith(`secrets,kms-v2,"'=1+1,""x""",,1,`)));
});

test('html is one page that loads and runs nothing', () => {
  const { stdout, status } = scanned('--output', 'html', '--require', 'configmaps');
  assert.equal(status, 1);
  assert.match(stdout, /^<!doctype html>/);
  assert.equal(stdout.match(/<svg /g)?.length, 2);
  assert.doesNotMatch(stdout, /<script/);
  assert.doesNotMatch(stdout, /(src|href)=/);
  assert.match(stdout, /&lt;script&gt;alert\(1\)/);
  assert.match(stdout, /<li class="alarm">1 value of configmaps is not encrypted/);
  assert.match(stdout, /3 of 4 values are sealed/);
});

test('a required resource of which nothing is stored is named: it may be misspelt', () => {
  const text = scanned('--require', 'secret,secrets');
  assert.equal(text.status, 0);
  assert.match(text.stdout, /Nothing is stored of secret: .*plural/);
  const json = scanned('--require', 'secret,secrets', '--output', 'json');
  assert.deepEqual((JSON.parse(json.stdout) as { notStored: unknown }).notStored, ['secret']);
  assert.match(scanned('--require', 'secret', '--output', 'html').stdout, /Nothing is stored of secret\./);
});

test('the exit code is the answer of the policy', () => {
  assert.equal(scanned('--require', 'secrets').status, 0);
  assert.equal(scanned('--require', 'secrets,configmaps').status, 1);
  writeFileSync(at('policy.yaml'), 'rules:\n- resources: [secrets]\n  keys: [key-1]\n');
  const { status, stdout } = scanned('--policy', at('policy.yaml'), '--output', 'json');
  assert.equal(status, 1);
  assert.equal((JSON.parse(stdout) as { violations: unknown[] }).violations.length, 2);
  writeFileSync(at('bad.yaml'), 'rules: 1\n');
  const bad = scanned('--policy', at('bad.yaml'));
  assert.equal(bad.status, 3);
  assert.match(bad.stderr, /bad\.yaml: rules should be a list/);
});

test('metrics are written for others to read, replacing what was there', () => {
  const file = at('waxseal.prom');
  writeFileSync(file, 'before');
  assert.equal(scanned('--openmetrics', file, '--require', 'secrets').status, 0);
  const metrics = readFileSync(file, 'utf8');
  assert.match(metrics, /^waxseal_scan_values\{resource="configmaps",provider="identity",key=""\} 1$/m);
  assert.match(
    metrics,
    /^waxseal_scan_values\{resource="secrets",provider="kms-v2",key="sha256:[0-9a-f]+"\} 1$/m,
  );
  assert.match(metrics, /^waxseal_scan_plaintext_values 1$/m);
  assert.match(metrics, /^waxseal_scan_policy_violations 0$/m);
  assert.match(metrics, /# EOF\n$/);
  assert.equal(statSync(file).mode & 0o400, 0o400);
});

test('a live etcd front', async () => {
  const store = await openLmdbStore({ path: at('data/api') });
  const front = await startEtcdFront({ store, listen: { host: '127.0.0.1', port: 0 } });
  try {
    const { line, stop } = await spawnWaxseal(['scan', '--etcd', front.endpoint, '--output', 'json']);
    await stop();
    assert.equal((JSON.parse(line) as { total: number }).total, 4);
    const busy = scanned();
    assert.equal(busy.status, 3);
    assert.match(busy.stderr, /in use by a server.*--etcd/);
  } finally {
    await front.close();
    await store.close();
  }
});

test('what cannot be scanned says why', async () => {
  const usage = waxseal(['scan']);
  assert.equal(usage.status, 2);
  assert.match(usage.stderr, /name one of --etcd, --snapshot and --data-dir/);
  assert.equal(waxseal(['scan', '--snapshot', 'a', '--data-dir', 'b']).status, 2);
  assert.equal(waxseal(['scan', '--snapshot', 'a', '--cacert', 'b']).status, 2);
  const absent = waxseal(['scan', '--snapshot', at('absent.db')]);
  assert.equal(absent.status, 3);
  assert.match(absent.stderr, /absent\.db does not exist/);
  const file = await open(at('short.db'), 'wx+');
  await writeBoltFile(file, [{ name: 'key', entries: [] }]);
  await file.truncate(8192);
  await file.close();
  const short = waxseal(['scan', '--snapshot', at('short.db')]);
  assert.equal(short.status, 3);
  assert.match(short.stderr, /was cut short/);
});

test('a prefix under which nothing lies is no clean bill', () => {
  const { status, stdout, stderr } = scanned('--prefix', '/kubernetes', '--require', 'secrets');
  assert.equal(status, 2);
  assert.equal(stdout, '');
  assert.match(stderr, /nothing lies under \/kubernetes\/ in .* but a key there is "\/registry\/.*--prefix/);
});

test('what names hold never reaches a terminal as it is, whatever the form', () => {
  for (const output of ['text', 'json', 'csv', 'html']) {
    const { status, stdout, stderr } = waxseal(
      'scan --require *.* --output'.split(' ').concat(output, '--data-dir', at('hostile')),
    );
    assert.equal(status, 0, stderr);
    assert.doesNotMatch(stdout.replaceAll('\r\n', '\n'), /[^\P{Cc}\n]/u, output);
    assert.match(stdout, /\\u001b\]0;title\\u0007/, output);
  }
});

test('a policy with a field that is none of a policy’s is refused, a --require that names no resource is a usage error', () => {
  const refused = (text: string): RegExpMatchArray | null => {
    writeFileSync(at('strict.yaml'), text);
    const { status, stdout, stderr } = scanned('--policy', at('strict.yaml'));
    assert.deepEqual([status, stdout], [3, ''], text);
    return /strict\.yaml.*/.exec(stderr);
  };
  assert.match(
    refused('rules:\n- resources: [secrets]\n  provider: [kms-v2]\n')?.[0] ?? '',
    /rules\[0\]: "provider" is none of/,
  );
  assert.match(
    refused('rules:\n- resources: [secrets]\nrequire: 1\n')?.[0] ?? '',
    /"require" is none of rules/,
  );
  assert.match(refused('')?.[0] ?? '', /should be a mapping/);
  const wrong = scanned('--require', 'Secrets');
  assert.equal(wrong.status, 2);
  assert.match(wrong.stderr, /"Secrets" is no resource/);
});
