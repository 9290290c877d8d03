/**
 * Goal: `waxseal verify` and `waxseal explain-error` as they are typed: answers, exit codes, JSON. Method: a store with values sealed
 * under a static key and by a real KMS plugin, some of them spoilt.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createEncryptionAtRest } from '@waxseal/encryption-config';
import { openLmdbStore } from '@waxseal/storage';
import { waxseal } from '../testing/command.js';
import { startPluginProcess } from '../testing/plugin-process.js';

const folder = await mkdtemp(join(tmpdir(), 'waxseal-verify-'));
after(() => rm(folder, { recursive: true }));

const SECRETBOX = `secretbox: { keys: [{ name: one, secret: ${Buffer.alloc(32, 5).toString('base64')} }] }`;
const kms = (socket: string): string =>
  `kms: { apiVersion: v2, name: here, endpoint: "unix://${socket}", timeout: 1s }`;

async function config(name: string, ...providers: readonly string[]): Promise<string> {
  const file = join(folder, name);
  await writeFile(
    file,
    `apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n  - resources: [secrets]\n    providers:\n${providers.map((one) => `      - ${one}\n`).join('')}`,
  );
  return file;
}

const keyOf = (name: string): string => `/registry/secrets/default/${name}`;

/** A store with these secrets, sealed under the first provider of `file`; `spoil` may change what is stored. */
async function storeOf(
  name: string,
  file: string,
  secrets: readonly string[],
  spoil: (values: Map<string, Buffer>) => void,
): Promise<string> {
  const encryption = await createEncryptionAtRest({ file });
  const transformer = encryption.transformerFor({ group: '', resource: 'secrets' });
  const values = new Map<string, Buffer>();
  for (const secret of secrets) {
    const object = {
      kind: 'Secret',
      apiVersion: 'v1',
      metadata: { name: secret, namespace: 'default' },
      data: { a: 'dmFsdWU=' },
    };
    values.set(
      keyOf(secret),
      await transformer.transformToStorage(Buffer.from(JSON.stringify(object)), Buffer.from(keyOf(secret))),
    );
  }
  await encryption.close();
  spoil(values);
  const path = join(folder, name);
  const store = await openLmdbStore({ path });
  for (const [key, value] of values) {
    await store.txn({ compare: [], success: [{ kind: 'put', key: Buffer.from(key), value }], failure: [] });
  }
  await store.close();
  return path;
}

interface Answer {
  readonly checked: number;
  readonly failed: readonly { readonly key: string; readonly cause: string; readonly message: string }[];
}

const causes = (stdout: string): Record<string, string> =>
  Object.fromEntries((JSON.parse(stdout) as Answer).failed.map(({ key, cause }) => [key, cause]));

test('what cannot be read is listed with its cause and advice, exit code 1', async () => {
  const file = await config('static.yaml', SECRETBOX);
  const dataDir = await storeOf('static', file, ['a', 'b', 'c', 'd', 'e', 'f'], (values) => {
    values.set(keyOf('f'), values.get(keyOf('e')) ?? Buffer.alloc(0));
    values.set(keyOf('b'), values.get(keyOf('a')) ?? Buffer.alloc(0));
    values.set(keyOf('c'), (values.get(keyOf('c')) ?? Buffer.alloc(0)).subarray(0, 40));
    values.set(keyOf('d'), Buffer.from('k8s:enc:aescbc:v1:old:xxxxxxxx'));
  });
  const args = ['verify', '--data-dir', dataDir, '--encryption-config', file, '--all'];
  const json = waxseal([...args, '--output', 'json', '--decode']);
  assert.equal(json.status, 1, json.stderr);
  assert.deepEqual(causes(json.stdout), {
    [keyOf('b')]: 'moved',
    [keyOf('c')]: 'truncated',
    [keyOf('d')]: 'provider-missing',
    [keyOf('f')]: 'moved',
  });
  const text = waxseal(args);
  assert.equal(text.status, 1, text.stderr);
  assert.match(text.stdout, /\/registry\/secrets\/default\/b +moved +secretbox +one/);
  assert.match(text.stdout, /k8s:enc:aescbc:v1:old:/);
  assert.match(
    text.stdout,
    /moved \(2\):\n {2}\S+\/b: the object in it is default\/a, .*\n {2}\S+\/f: the object in it is default\/e, /,
  );
  assert.match(text.stdout, /Restore these objects from a backup/);
  assert.match(text.stdout, /6 values, 6 tried, 2 open, 4 do not/);
});

test('what lies under a resource is tried, however deep; what names no object is counted', async () => {
  const file = await config('deep.yaml', SECRETBOX);
  const dataDir = await storeOf('deep', file, ['a'], (values) => {
    const foreign = Buffer.from('k8s:enc:aescbc:v1:old:xxxxxxxx');
    values.set('/registry/secrets/a/b/c', foreign);
    values.set('/registry/odd', foreign);
  });
  const args = ['verify', '--data-dir', dataDir, '--encryption-config', file, '--all'];
  assert.deepEqual(causes(waxseal([...args, '--output', 'json']).stdout), {
    '/registry/secrets/a/b/c': 'provider-missing',
  });
  assert.match(waxseal(args).stdout, /3 values, 2 tried, 1 open, 1 do not; 1 lie under keys that name no/);
});

test('KMS v2 values are opened by the plugin; one that is stopped is told apart', async (t) => {
  const socket = join(folder, 'kms.sock');
  const file = await config('kms.yaml', kms(socket), 'identity: {}');
  const plugin = await startPluginProcess(t, [
    'local',
    '--keyring',
    join(folder, 'keyring.json'),
    '--listen',
    socket,
  ]);
  const dataDir = await storeOf('kms', file, ['a', 'b', 'c'], (values) => {
    values.set(keyOf('b'), values.get(keyOf('a')) ?? Buffer.alloc(0));
  });
  const args = ['verify', '--data-dir', dataDir, '--encryption-config', file, '--output', 'json'];
  const sample = waxseal(args);
  assert.equal(sample.status, 0, sample.stderr);
  assert.deepEqual(JSON.parse(sample.stdout), { checked: 1, seen: 3, failed: [] });
  const all = waxseal([...args, '--all']);
  assert.equal(all.status, 1, all.stderr);
  assert.deepEqual(causes(all.stdout), { [keyOf('b')]: 'moved' });
  await plugin.stop();
  const stopped = waxseal([...args, '--all']);
  assert.equal(stopped.status, 1, stopped.stderr);
  assert.deepEqual([...new Set(Object.values(causes(stopped.stdout)))], ['kms-unreachable']);
});

test('a wrong command line is exit code 2, a missing file 3', async () => {
  const file = await config('any.yaml', SECRETBOX);
  assert.equal(waxseal(['verify', '--encryption-config', file]).status, 2);
  assert.equal(waxseal(['verify', '--data-dir', folder]).status, 2);
  assert.equal(
    waxseal(['verify', '--data-dir', join(folder, 'absent'), '--encryption-config', file]).status,
    3,
  );
  const noConfig = waxseal([
    'verify',
    '--data-dir',
    folder,
    '--encryption-config',
    join(folder, 'absent.yaml'),
  ]);
  assert.equal(noConfig.status, 3);
});

test('a message is explained, from the command line and from standard input', () => {
  const message =
    'Error from server (InternalError): Internal error occurred: unable to transform key "/registry/secrets/a/b": no matching prefix found';
  const text = waxseal(['explain-error', message]);
  assert.equal(text.status, 0, text.stderr);
  assert.match(text.stdout, /\[no-matching-prefix\]/);
  assert.match(text.stdout, /object: \/registry\/secrets\/a\/b/);
  for (const args of [['explain-error'], ['explain-error', '-']]) {
    const json = waxseal([...args, '--output', 'json'], { input: Buffer.from(message) });
    const answer = JSON.parse(json.stdout) as { readonly explanations: readonly { readonly id: string }[] };
    assert.deepEqual(
      answer.explanations.map(({ id }) => id),
      ['no-matching-prefix', 'corrupt-object'],
    );
  }
  const unknown = waxseal(['explain-error', 'it is raining']);
  assert.equal(unknown.status, 1);
  assert.match(unknown.stdout, /not known/);
  assert.equal(waxseal(['explain-error', '-'], { input: Buffer.alloc(0) }).status, 2);
});
