// Goal: `waxseal rotate` takes a cluster to another key and back to rest, killed at every step by SIGKILL. Method: the real command over the
// etcd API of a real store, two servers that show what the hook brought them.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createEncryptionAtRest } from '@waxseal/encryption-config';
import { type EtcdFront, openLmdbStore, startEtcdFront, type Store } from '@waxseal/storage';
import { waxseal } from '../testing/command.js';

const launcher = fileURLToPath(new URL('../../bin/waxseal.js', import.meta.url));
const SECRET = Buffer.alloc(32, 'planted-key-').toString('base64');
const SECRETS = { group: '', resource: 'secrets' };
let folder: string;
let store: Store;
let front: EtcdFront;
let servers: readonly Server[];
const inFolder = (name: string): string => join(folder, name);

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cli-rotate-'));
  store = await openLmdbStore({ path: inFolder('store') });
  front = await startEtcdFront({ store, listen: { host: '127.0.0.1', port: 0 } });
  writeFileSync(
    inFolder('enc.yaml'),
    `apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [secrets]
  providers:
  - aescbc: {keys: [{name: key1, secret: ${SECRET}}]}
`,
    { mode: 0o600 },
  );
  for (const server of ['one', 'two']) {
    writeFileSync(inFolder(server), readFileSync(inFolder('enc.yaml')));
  }
  const encryption = await createEncryptionAtRest({ file: inFolder('enc.yaml') });
  for (let i = 0; i < 100; i++) {
    const key = Buffer.from(`/registry/secrets/default/s${i}`);
    const value = await encryption.transformerFor(SECRETS).transformToStorage(Buffer.from(`{"i":${i}}`), key);
    await store.txn({ compare: [], success: [{ kind: 'put', key, value }], failure: [] });
  }
  await encryption.close();
  servers = [await metricsServer('one'), await metricsServer('two')];
});
after(async () => {
  for (const server of servers) server.close();
  await front.close();
  await store.close();
  rmSync(folder, { recursive: true });
});

async function metricsServer(name: string): Promise<Server> {
  const server = createServer((_, response) => {
    const hash = createHash('sha256')
      .update(readFileSync(inFolder(name)))
      .digest('hex');
    response.end(
      `apiserver_encryption_config_controller_last_config_info{apiserver_id_hash="${name}",hash="sha256:${hash}"} 1\n`,
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** @param onStep gets every step that begins; what it answers true to is killed there */
async function run(command: string, onStep: (step: string) => boolean = () => false): Promise<Ended> {
  const urls = servers
    .map((server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`)
    .join(',');
  const args = [
    'rotate',
    command,
    '--state',
    inFolder('state.json'),
    '--etcd',
    front.endpoint,
    '--output',
    'json',
  ];
  const hook = `cp "$1" ${inFolder('one')} && cp "$1" ${inFolder('two')}`;
  const child = spawn(process.execPath, [launcher, ...args, '--servers', urls, '--hook', hook], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const stderr: string[] = [];
  createInterface({ input: child.stderr }).on('line', (line) => {
    stderr.push(line);
    const step = /^\{"step":"([a-z-]+)"\}$/.exec(line)?.[1];
    if (step !== undefined && onStep(step)) child.kill('SIGKILL');
  });
  let stdout = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr: stderr.join('\n') };
}

async function compact(): Promise<void> {
  await store.compact((await store.status()).revision);
}

test('from aescbc to secretbox, killed at every step', async () => {
  const what = `--state ${inFolder('state.json')} --config-file ${inFolder('enc.yaml')} --add-key secretbox:new`;
  const planned = waxseal(['rotate', 'plan', ...what.split(' '), '--output', 'json']);
  assert.equal(planned.status, 0, planned.stderr);
  const seen = new Set<string>();
  const killOnce = (step: string): boolean => {
    const first = !seen.has(step);
    seen.add(step);
    return first;
  };
  let ended = await run('run', killOnce);
  while (ended.code === null) ended = await run('run', killOnce);
  assert.equal(ended.code, 0, ended.stderr);
  assert.deepEqual(
    [...seen],
    ['add-reader', 'prove-reader', 'promote', 'prove-promoted', 'rewrap', 'verify', 'keep-one', 'prove-kept'],
  );
  const ready = JSON.parse(ended.stdout) as Record<string, unknown>;
  assert.equal(ready['outcome'], 'ready-to-finish');
  assert.deepEqual(ready['oldKeys'], ['aescbc:key1']);

  const early = await run('finish');
  assert.equal(early.code, 1, 'history needs the old key');
  assert.deepEqual(
    (JSON.parse(early.stdout) as { needed: readonly { place: string }[] }).needed.map(({ place }) => place),
    ['history'],
  );
  await compact();
  ended = await run('finish', killOnce);
  while (ended.code === null) ended = await run('finish', killOnce);
  assert.equal(ended.code, 0, ended.stderr);

  const end = readFileSync(inFolder('enc.yaml'), 'utf8');
  assert.doesNotMatch(end, /aescbc/);
  assert.equal(readFileSync(inFolder('two'), 'utf8'), end);
  const encryption = await createEncryptionAtRest({ file: inFolder('enc.yaml') });
  const { kvs } = await store.range({ key: Buffer.from('/registry/'), rangeEnd: Buffer.from('/registry0') });
  assert.equal(kvs.length, 100);
  for (const { key, value } of kvs) {
    const { data } = await encryption.transformerFor(SECRETS).transformFromStorage(value, key);
    assert.equal(data.toString(), `{"i":${key.toString().slice('/registry/secrets/default/s'.length)}}`);
  }
  await encryption.close();

  const status = waxseal(['rotate', 'status', '--state', inFolder('state.json')]);
  assert.match(status.stdout, /At its end\.\n$/);
  const secret = /secret: (\S+)/.exec(end)?.[1] ?? '-';
  for (const text of [planned.stdout, ready, early, ended, status.stdout].map((each) =>
    JSON.stringify(each),
  )) {
    assert.ok(!text.includes(SECRET) && !text.includes(secret), 'no key is shown');
  }
  assert.ok(!readFileSync(inFolder('state.json'), 'utf8').includes(secret));
});

test('what is wanted must be said once, and rightly', () => {
  const plan = (...args: readonly string[]): number | null =>
    waxseal(['rotate', 'plan', '--state', inFolder('x.json'), '--config-file', inFolder('enc.yaml'), ...args])
      .status;
  assert.equal(plan(), 2);
  assert.equal(plan('--to-identity', '--add-key', 'aescbc'), 2);
  assert.equal(plan('--add-key', 'rot13'), 2);
  assert.equal(plan('--to-kms', 'name=x'), 2);
  assert.equal(plan('--kms-key-id', 'nobody=id'), 2);
  assert.equal(waxseal(['rotate', 'status', '--state', inFolder('x.json')]).status, 3);
});

const AGAIN = `# kept
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [secrets]
  providers:
  - identity: {}
`;

test('status says what was done, how long it took and what comes next; abandon turns back', async () => {
  const state = inFolder('again.json');
  const file = inFolder('again.yaml');
  writeFileSync(file, AGAIN, { mode: 0o600 });
  const rotate = (command: string, ...args: readonly string[]) =>
    waxseal(['rotate', command, '--state', state, ...args]);
  const json = (text: string) => JSON.parse(text) as Record<string, unknown>;
  const planned = rotate('plan', '--config-file', file, '--add-key', 'aesgcm:one');
  assert.match(planned.stdout, /Next: run writes the configuration in which the new key can be read/);

  // Nobody is asked: it stops before the first proof.
  const run = rotate('run', '--etcd', 'http://127.0.0.1:1');
  assert.equal(run.status, 1, run.stderr);
  assert.match(run.stdout, /Not yet: every server must have sha256:/);
  const status = json(rotate('status', '--output', 'json').stdout);
  assert.equal(status['outcome'], 'status');
  assert.equal(status['next'], 'prove-reader');
  assert.match(String(status['nextAction']), /waits until every server can read/);
  const [added] = status['done'] as readonly {
    step: string;
    begunAt: string;
    at: string;
    durationMs: number;
  }[];
  assert.equal(added?.step, 'add-reader');
  assert.equal(added?.durationMs, Date.parse(added?.at ?? '') - Date.parse(added?.begunAt ?? ''));
  assert.equal((status['begun'] as { step: string }).step, 'prove-reader');
  assert.match((status['stopped'] as { reason: string }).reason, /^every server must have sha256:/);
  assert.equal(status['commentsKept'], true);
  assert.match(readFileSync(file, 'utf8'), /^# kept\n/);
  const text = rotate('status').stdout;
  assert.match(text, /add-reader {2,}\d+\.\d s/);
  assert.match(text, /Stopped 20\S+: every server must have/);

  const waits = rotate(
    'run',
    '--etcd',
    'http://127.0.0.1:1',
    '--servers',
    'http://127.0.0.1:1',
    '--wait-seconds',
    '1',
  );
  assert.equal(waits.status, 1, waits.stderr);
  assert.match(
    waits.stderr,
    /^prove-reader …\n  http:\/\/127\.0\.0\.1:1: its metrics cannot be read: .*ECONNREFUSED.*\n$/,
  );

  const abandoned = rotate('abandon');
  assert.equal(abandoned.status, 0, abandoned.stderr);
  assert.match(abandoned.stdout, /Next: run puts the file back as it was/);
  const hash = `sha256:${createHash('sha256').update(AGAIN).digest('hex')}`;
  const back = rotate('run', '--etcd', 'http://127.0.0.1:1', '--confirm', hash, '--output', 'json');
  assert.equal(back.status, 0, back.stderr);
  assert.equal(json(back.stdout)['outcome'], 'abandoned');
  assert.equal(readFileSync(file, 'utf8'), AGAIN);
  assert.match(rotate('status').stdout, /abandoned, and the file is as it was/);
  const twice = rotate('abandon');
  assert.equal(twice.status, 3);
  assert.match(twice.stderr, /at its end/);
});
