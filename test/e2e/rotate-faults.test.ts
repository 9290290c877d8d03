/**
 * Goal: whatever goes wrong in the middle of a rotation, nothing is lost, and the run says which server, which file and what to do. Method:
 * two API servers as processes on a real etcd; the run is killed at each step and inside the rewrap, servers are forgotten and
 * restarted, the plugin and etcd go away and come back.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { readFile, readdir, writeFile } from 'node:fs/promises';
import { connect, createServer, type AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';
import { secret } from '../support/api.js';
import { startEtcd } from '../support/etcd.js';
import type { Result } from '../support/programs.js';
import { createLiveWriters } from '../support/live-writers.js';
import { startRotationCluster, type RotationCluster } from '../support/rotation-cluster.js';
import { startWaxseal } from '../support/waxseal.js';

const BEGINNING = `apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
  - resources: [secrets]
    providers:
      - aescbc: {keys: [{name: key1, secret: ${Buffer.alloc(32, 1).toString('base64')}}]}
`;
const PATH = '/api/v1/namespaces/default/secrets';

async function plan(cluster: RotationCluster, ...wanted: readonly string[]): Promise<void> {
  const planned = await cluster.rotate('plan', '--config-file', cluster.configFile, ...wanted);
  assert.equal(planned.code, 0, planned.stderr);
}

const hashOf = (text: string): string => `sha256:${createHash('sha256').update(text).digest('hex')}`;

interface State {
  readonly steps: readonly string[];
  readonly done: readonly { readonly step: string }[];
  readonly configurations: Readonly<Record<string, { readonly hash: string }>>;
}

const readState = async ({ stateFile }: RotationCluster): Promise<State> =>
  JSON.parse(await readFile(stateFile, 'utf8')) as State;

/** Neither file is ever half written, and the configuration is one of the rotation's. */
async function assertWhole(cluster: RotationCluster): Promise<void> {
  const { configurations } = await readState(cluster);
  const hash = hashOf(await readFile(cluster.configFile, 'utf8'));
  assert.ok(Object.values(configurations).some((each) => each.hash === hash));
}

interface Line {
  readonly step?: string;
  readonly phase?: string;
  readonly done?: number;
}

const parseLine = (line: string): Line => (line.startsWith('{') ? (JSON.parse(line) as Line) : {});

test('killed at every step and inside the rewrap, several rotations in a row, it ends and loses nothing', async (t) => {
  const cluster = await startRotationCluster(t, BEGINNING);
  const objects = 1500;
  const { api } = cluster.servers[0];
  const names = Array.from({ length: objects }, (_, index) => `s${index}`);
  for (let at = 0; at < objects; at += 100) {
    const answers = names.slice(at, at + 100).map((name) => api.call('POST', PATH, secret(name, { name })));
    for (const { status } of await Promise.all(answers)) assert.equal(status, 201);
  }
  const writers = createLiveWriters(() => cluster.servers.map((server) => server.api));
  const rotateTo = async (wanted: string, go: (command: string) => Promise<Result>): Promise<void> => {
    await plan(cluster, '--add-key', `${wanted}:${wanted}`);
    writers.start();
    const ran = await go('run');
    await writers.stop();
    assert.equal(ran.code, 0, ran.stdout + ran.stderr);
    await cluster.compact();
    const finished = await go('finish');
    assert.equal(finished.code, 0, finished.stdout + finished.stderr);
    const live = await writers.check();
    assert.deepEqual(await cluster.scanSecrets(), [{ provider: wanted, key: wanted, count: objects + live }]);
    const left = await readdir(cluster.folder);
    assert.deepEqual(
      left.filter((name) => name.endsWith('.rewrap') || name.endsWith('.tmp')),
      [],
    );
  };
  const seen = new Set<string>();
  let killsInside = 0;
  /** The first line of progress of each run that rewraps. */
  const firstDone: number[] = [];
  const goKilled = async (command: string): Promise<Result> => {
    for (;;) {
      let rewraps = false;
      const ended = await cluster.rotateUntil(
        command,
        (text) => {
          const { step, phase } = parseLine(text);
          if (step !== undefined && !seen.has(step)) {
            seen.add(step);
            return true;
          }
          if (phase !== 'rewrap') return false;
          if (!rewraps) firstDone.push(parseLine(text).done ?? 0);
          rewraps = true;
          if (killsInside > 0 || !isRewrapNoted(cluster)) return false;
          killsInside++;
          return true;
        },
        '--rate=600',
      );
      await assertWhole(cluster);
      if (ended.code !== -1) return ended;
    }
  };
  await rotateTo('secretbox', goKilled);
  assert.equal(killsInside, 1);
  const [began = 0, wentOnAt = 0] = firstDone;
  assert.ok(wentOnAt > began, `it went on at ${wentOnAt}, not at nothing`);
  assert.deepEqual([...seen], (await readState(cluster)).steps, 'killed at every step');
  // What the kills left behind is in nobody's way.
  await rotateTo('aesgcm', (command) => cluster.rotate(command));
});

/** A checkpoint says that something of the rewrap is done. */
function isRewrapNoted({ folder }: RotationCluster): boolean {
  const name = readdirSync(folder).find((each) => each.endsWith('.rewrap'));
  return name !== undefined && !/"seen": ?0\b/.test(readFileSync(`${folder}/${name}`, 'utf8'));
}

test('servers that are forgotten or fall back, a plugin and an etcd that go away, two runs at once', async (t) => {
  const cluster = await startRotationCluster(t, BEGINNING);
  const [first, second] = cluster.servers;
  for (const name of ['a', 'b', 'c']) {
    assert.equal((await first.api.call('POST', PATH, secret(name, { name }))).status, 201);
  }
  const readAll = async (): Promise<void> => {
    for (const { api } of cluster.servers) {
      const { status, text } = await api.call('GET', PATH);
      assert.equal(status, 200, text);
      assert.equal((JSON.parse(text) as { items: readonly unknown[] }).items.length, 3);
    }
  };
  const stopsAt = (result: Result, step: string, ...reasons: readonly RegExp[]): void => {
    assert.equal(result.code, 1, result.stdout + result.stderr);
    const { next, reason } = JSON.parse(result.stdout) as { next: string; reason: string };
    assert.equal(next, step);
    for (const each of reasons) assert.match(reason, each);
  };
  const readers = async (): Promise<string> =>
    (await readState(cluster)).configurations['readers']?.hash ?? '-';

  // The plugin is not there: no server takes the configuration, and nothing writes with it.
  const listen = `unix://${cluster.folder}/kms.sock`;
  await plan(cluster, '--to-kms', `name=cloud,endpoint=${listen},timeout=1s`);
  stopsAt(await cluster.rotate('run', '--wait-seconds=1'), 'prove-reader', /it still has sha256:/);
  await readAll();
  const startPlugin = async () => {
    const plugin = await startWaxseal(
      'plugin',
      'local',
      '--keyring',
      `${cluster.folder}/keys`,
      '--listen',
      listen,
    );
    t.after(() => plugin.stop());
    return plugin;
  };
  const plugin = await startPlugin();

  // One server under two names is not two.
  const twice = `${first.url},${first.url.replace('127.0.0.1', 'localhost')}`;
  stopsAt(
    await cluster.rotate('run', '--wait-seconds=3', `--servers=${twice}`),
    'prove-reader',
    /are the same server/,
  );

  // The second server is forgotten.
  await writeFile(cluster.otherConfigFile, BEGINNING);
  await second.restart();
  const forgotten = await cluster.rotate('run', '--hook=true', '--wait-seconds=1');
  const shown = hashOf(BEGINNING);
  stopsAt(
    forgotten,
    'prove-reader',
    new RegExp(`^${second.url}: it still has ${shown}`),
    new RegExp(await readers()),
  );
  assert.ok(forgotten.stdout.includes(cluster.configFile));
  await readAll();

  // Two at once: the second one says who is at work.
  let other: Promise<Result> | undefined;
  const waiting = await cluster.rotateUntil(
    'run',
    (line) => {
      if (parseLine(line).step === 'prove-reader') other = cluster.rotate('run', '--hook=true');
      return false;
    },
    '--hook=true',
    '--wait-seconds=5',
  );
  stopsAt(waiting, 'prove-reader');
  const refused = await other;
  assert.equal(refused?.code, 3);
  assert.match(refused?.stderr ?? '', /process \d+ works on the rotation/);

  // It has the file at last; then it is restarted with the old one, before anything is promoted.
  await writeFile(cluster.otherConfigFile, await readFile(cluster.configFile));
  const killed = await cluster.rotateUntil('run', (line) => parseLine(line).step === 'promote');
  assert.equal(killed.code, -1);
  await writeFile(cluster.otherConfigFile, BEGINNING);
  await second.restart();
  const fellBack = await cluster.rotate('run', '--hook=true', '--wait-seconds=1');
  stopsAt(fellBack, 'promote', new RegExp(`^${second.url}: it still has ${shown}`));
  assert.equal(hashOf(await readFile(cluster.configFile, 'utf8')), await readers(), 'nothing was promoted');
  await readAll();
  await writeFile(cluster.otherConfigFile, await readFile(cluster.configFile));

  // The plugin goes away before the rewrap, and comes back.
  await cluster.rotateUntil('run', (line) => parseLine(line).step === 'rewrap');
  await plugin.stop();
  const without = await cluster.rotate('run', '--wait-seconds=3');
  assert.equal(without.code, 3);
  assert.match(without.stderr, /the KMS plugin has not given a key to write with yet: check that it runs/);
  await startPlugin();

  // So does etcd.
  const { clientPort, peerPort } = cluster.etcd;
  await cluster.etcd.stop();
  // A way of its own, so that nobody else's calls count: it asks, and asks again.
  const { way, calls } = await wayTo(t, clientPort);
  const running = cluster.rotate('run', `--etcd=${way}`);
  await Promise.race([calls(2), running]);
  const etcd = await startEtcd(`${cluster.folder}/etcd`, { clientPort, peerPort });
  t.after(() => etcd.stop());
  const ran = await running;
  assert.equal(ran.code, 0, ran.stdout + ran.stderr);
  await readAll();
  assert.deepEqual(
    (await cluster.scanSecrets()).map(({ provider, count }) => [provider, count]),
    [['kms-v2', 3]],
  );
});

/** A port that leads to another one while somebody listens there. */
async function wayTo(t: TestContext, port: number) {
  const server = createServer((socket) => {
    const onward = connect(port, '127.0.0.1');
    socket.pipe(onward).pipe(socket);
    socket.on('error', () => onward.destroy());
    onward.on('error', () => socket.destroy());
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  t.after(() => server.close());
  return {
    way: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls: async (count: number) => {
      for (let seen = 0; seen < count; seen++) await once(server, 'connection');
    },
  };
}
