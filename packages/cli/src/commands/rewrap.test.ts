// Goal: `waxseal rewrap` answers by exit code and in the fixed form, and goes on after a signal. Method: the real command over the etcd API of a
// real store.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync, existsSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createEncryptionAtRest } from '@waxseal/encryption-config';
import { type EtcdFront, openLmdbStore, startEtcdFront, type Store } from '@waxseal/storage';

const launcher = fileURLToPath(new URL('../../bin/waxseal.js', import.meta.url));
const OBJECTS = 200;
let folder: string;
let store: Store;
let front: EtcdFront;
let oldConfig: string;
let newConfig: string;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cli-rewrap-'));
  oldConfig = configFile('old.yaml', ['aescbc']);
  newConfig = configFile('new.yaml', ['secretbox', 'aescbc']);
  store = await openLmdbStore({ path: join(folder, 'store') });
  front = await startEtcdFront({ store, listen: { host: '127.0.0.1', port: 0 } });
  const encryption = await createEncryptionAtRest({ file: oldConfig });
  const transformer = encryption.transformerFor({ group: '', resource: 'secrets' });
  for (let i = 0; i < OBJECTS; i++) {
    const key = Buffer.from(`/registry/secrets/default/s${i}`);
    await put(key, await transformer.transformToStorage(Buffer.from('{}'), key));
  }
  await encryption.close();
});
after(async () => {
  await front.close();
  await store.close();
  rmSync(folder, { recursive: true });
});

function configFile(name: string, kinds: readonly string[], first: readonly unknown[] = []): string {
  const secret = (kind: string): string => Buffer.alloc(32, kind).toString('base64');
  const keys = kinds.map((kind) => ({ [kind]: { keys: [{ name: 'k', secret: secret(kind) }] } }));
  const providers = [...first, ...keys];
  const config = {
    apiVersion: 'apiserver.config.k8s.io/v1',
    kind: 'EncryptionConfiguration',
    resources: [{ resources: ['secrets'], providers }],
  };
  const path = join(folder, name);
  writeFileSync(path, JSON.stringify(config), { mode: 0o600 });
  return path;
}

const put = (key: Buffer, value: Buffer): Promise<unknown> =>
  store.txn({ compare: [], success: [{ kind: 'put', key, value }], failure: [] });

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** @param onError sees what is written to standard error so far, and may send a signal */
async function rewrap(
  args: readonly string[],
  onError: (text: string, kill: (signal: NodeJS.Signals) => void) => void = () => undefined,
): Promise<Ended> {
  const child = spawn(process.execPath, [launcher, 'rewrap', '--etcd', front.endpoint, ...args]);
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
    onError(stderr, (signal) => child.kill(signal));
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}

test('a dry run counts; Ctrl-C and a kill leave a checkpoint; the next run goes on and proves that nothing is left', async () => {
  const config = ['--encryption-config', newConfig, '--output', 'json'];
  const dry = await rewrap([...config, '--dry-run']);
  assert.equal(dry.code, 0, dry.stderr);
  const counted = JSON.parse(dry.stdout) as Record<string, unknown>;
  assert.deepEqual([counted['listed'], counted['stale'], counted['rewritten']], [OBJECTS, OBJECTS, 0]);

  const checkpoint = join(folder, 'checkpoint.json');
  const slow = ['--checkpoint', checkpoint, '--workers', '2', '--rate', '60'];
  let signals = 0;
  const stopped = await rewrap([...config, ...slow], (text, kill) => {
    if (text.includes('"phase":"rewrap"') && ++signals === 1) kill('SIGINT');
  });
  assert.equal(stopped.code, 130, stopped.stderr);
  assert.match(
    stopped.stderr,
    /interrupted\n {2}What is rewritten stays so\. Start it again with --checkpoint/,
  );
  assert.equal(stopped.stdout, '');

  const killed = await rewrap([...config, ...slow], (text, kill) => {
    if (text.includes('"phase":"rewrap"')) kill('SIGKILL');
  });
  assert.equal(killed.code, null);
  assert.equal(existsSync(checkpoint), true);

  const done = await rewrap([...config, '--checkpoint', checkpoint]);
  assert.equal(done.code, 0, done.stderr);
  const report = JSON.parse(done.stdout) as Record<string, unknown>;
  assert.deepEqual(
    [report['listed'], report['failed'], report['remaining'], report['addsUp']],
    [OBJECTS, 0, 0, true],
  );
  assert.equal(existsSync(checkpoint), false);
});

test('what cannot be read is named, and the exit code is 1', async () => {
  const lost = Buffer.from('/registry/secrets/default/lost');
  await put(lost, Buffer.from('k8s:enc:aesgcm:v1:gone:xxxx'));
  const first = await rewrap(['--encryption-config', newConfig]);
  assert.equal(first.code, 1);
  assert.match(first.stdout, /\/registry\/secrets\/default\/lost: no matching prefix found/);
  assert.match(first.stdout, /Read again at the end: what failed \(1\) is still under an old key/);
  // By its frame as it should be: only opening it tells.
  await put(Buffer.from('/registry/secrets/default/damaged'), Buffer.from('k8s:enc:secretbox:v1:k:xxxx'));
  const second = await rewrap(['--encryption-config', newConfig]);
  assert.match(
    second.stdout,
    /of the 2 that failed, 1 still under an old key, or in plaintext, 1 under the current key/,
  );
  await put(lost, Buffer.from('k8s:enc:secretbox:v1:k:xxxx'));
  const third = await rewrap(['--encryption-config', newConfig]);
  assert.equal(third.code, 1);
  assert.match(
    third.stdout,
    /nothing is left under an old key, or in plaintext\. What failed \(2\) is under the current key/,
  );
});

test('a name or a reason from outside does nothing to a terminal', async () => {
  const key = Buffer.from('/registry/secrets/default/\u001b[2Jhidden\u009b1A\u202e');
  await put(key, Buffer.from('k8s:enc:aesgcm:v1:gone:xxxx'));
  const shown = '/registry/secrets/default/\\u001b[2Jhidden\\u009b1A\\u202e: no matching prefix found';
  for (const [args, expected] of [
    [[], shown],
    [['--output', 'json'], '"key":"/registry/secrets/default/\\u001b[2Jhidden\\u009b1A\\u202e"'],
  ] as const) {
    const { stdout, stderr } = await rewrap(['--encryption-config', newConfig, ...args]);
    assert.ok(stdout.includes(expected), stdout);
    assert.doesNotMatch(stdout + stderr, /[^\n\P{Cc}]|\p{Bidi_Control}/u);
  }
  const { stderr } = await rewrap(['--encryption-config', newConfig, '--prefix', '/x\u009b2J']);
  assert.match(stderr, /nothing lies under \/x\\u009b2J\/ in etcd/);
  await store.txn({ compare: [], success: [{ kind: 'delete', key }], failure: [] });
});

test('Ctrl-C ends a run that dials an etcd from which nothing comes', async () => {
  const silent = createServer();
  await once(silent.listen(0, '127.0.0.1'), 'listening');
  const { port } = silent.address() as AddressInfo;
  const args = ['rewrap', '--etcd', `http://127.0.0.1:${port}`, '--encryption-config', newConfig];
  const child = spawn(process.execPath, [launcher, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  await once(silent, 'connection');
  child.kill('SIGINT');
  const [code] = (await once(child, 'close')) as [number | null];
  silent.close();
  assert.equal(code, 130, stderr);
  assert.match(stderr, /interrupted/);
});

test('what does not go is said in a sentence', async () => {
  const unknown = await rewrap(['--encryption-config', newConfig, '--resources', 'Secrets!']);
  assert.equal(unknown.code, 2);
  const missing = await rewrap(['--encryption-config', join(folder, 'absent.yaml')]);
  assert.equal(missing.code, 3);
  assert.match(missing.stderr, /does not exist/);
  const usage: readonly (readonly [readonly string[], RegExp])[] = [
    [
      ['--encryption-config', newConfig, '--resources', 'secret,pods'],
      /has no rule for secret, pods[\s\S]*covers secrets/,
    ],
    [['--encryption-config', newConfig, '--patch-type', 'merge'], /--patch-type is for --via-api/],
    [
      ['--via-api', '--resources', 'secrets', '--checkpoint', join(folder, 'c')],
      /--checkpoint is for --etcd[\s\S]*needs none/,
    ],
    [['--via-api'], /needs --resources or --encryption-config/],
    [['--via-api', '--encryption-config', newConfig, '--resources', 'pods'], /has no rule for pods/],
  ];
  for (const [args, message] of usage) {
    const { code, stderr } = await rewrap(args);
    assert.equal(code, 2, stderr);
    assert.match(stderr, message);
  }
  const noKms = await rewrap(['--encryption-config', configFile('bad.yaml', ['rot13'])]);
  assert.equal(noKms.code, 3);
  assert.match(noKms.stderr, /rot13/);
});

test('a KMS plugin that gives no key to write with is quoted, and the run can go on later', async () => {
  const checkpoint = join(folder, 'kms.checkpoint');
  const endpoint = `unix://${join(folder, 'absent.sock')}`;
  const kms = { kms: { apiVersion: 'v2', name: 'cloud', endpoint, timeout: '1s' } };
  const config = configFile('kms.yaml', ['secretbox', 'aescbc'], [kms]);
  const { code, stderr } = await rewrap(['--encryption-config', config, '--checkpoint', checkpoint]);
  assert.equal(code, 3);
  assert.match(stderr, /nothing can be written[\s\S]*The plugin's answer: [\s\S]*cloud[\s\S]*absent\.sock/);
  assert.doesNotMatch(stderr, /\.\./);
  assert.match(stderr, /--checkpoint/);
});
