/**
 * Goal: a rotation between any two kinds of providers loses nothing and brings nothing back, while clients write through every server.
 * Method: two API servers as processes on a real etcd, the plugin as a process, creates, updates and deletes the whole time; after each
 * rotation both servers answer exactly what was written, and a scan finds one provider and key.
 */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { createLiveWriters } from '../support/live-writers.js';
import { succeed } from '../support/programs.js';
import { startRotationCluster } from '../support/rotation-cluster.js';
import { launcher, startWaxseal, type Process } from '../support/waxseal.js';

const BEGINNING = `# kept by hand
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
  - resources: [secrets]
    providers:
      # the first key
      - aescbc: {keys: [{name: key1, secret: ${Buffer.alloc(32, 1).toString('base64')}}]}
`;

test('from each kind of provider to the next, under live writes', async (t) => {
  const cluster = await startRotationCluster(t, BEGINNING);
  const { folder } = cluster;
  const socket = (name: string): string => `unix://${folder}/${name}.sock`;
  const keyring = `${folder}/keyring.json`;
  const startPlugin = async (file: string, name: string): Promise<Process<unknown>> => {
    const started = await startWaxseal('plugin', 'local', '--keyring', file, '--listen', socket(name));
    t.after(() => started.stop());
    return started;
  };
  const plugin = await startPlugin(keyring, 'one');
  await startPlugin(`${folder}/second.json`, 'two');
  const writers = createLiveWriters(() => cluster.servers.map(({ api }) => api));

  const rotate = async (provider: string, key: RegExp, ...wanted: readonly string[]): Promise<void> => {
    const { created, updated, deleted } = writers.counts;
    writers.start();
    const planned = await cluster.rotate('plan', '--config-file', cluster.configFile, ...wanted);
    assert.equal(planned.code, 0, planned.stderr);
    const ran = await cluster.rotate('run');
    await writers.stop();
    assert.equal(ran.code, 0, ran.stdout + ran.stderr);
    await cluster.compact();
    const finished = await cluster.rotate('finish');
    assert.equal(finished.code, 0, finished.stdout + finished.stderr);
    const count = await writers.check();
    const groups = await cluster.scanSecrets();
    assert.deepEqual(
      groups.map((group) => [group.provider, group.count]),
      [[provider, count]],
    );
    assert.match(groups[0]?.key ?? '', key);
    assert.equal(await readFile(cluster.otherConfigFile, 'utf8'), await readFile(cluster.configFile, 'utf8'));
    assert.ok(
      writers.counts.created > created &&
        writers.counts.updated > updated &&
        writers.counts.deleted > deleted,
      'written all the while',
    );
  };

  await rotate('secretbox', /^box$/, '--add-key', 'secretbox:box');
  await rotate('kms-v2', /^local:default:1:/, '--to-kms', `name=one,endpoint=${socket('one')}`);

  await succeed(process.execPath, [launcher, 'plugin', 'local', 'rotate', '--keyring', keyring]);
  plugin.child.kill('SIGHUP');
  const explained = await succeed(process.execPath, [
    launcher,
    'plugin',
    'explain',
    'local',
    '--keyring',
    keyring,
    '--output',
    'json',
  ]);
  const keyId = /local:default:2:[0-9a-f]+/.exec(explained)?.[0] ?? '';
  await rotate('kms-v2', /^local:default:2:/, '--kms-key-id', `one=${keyId}`);

  await rotate('identity', /^$/, '--to-identity');
  await rotate('aesgcm', /^gcm$/, '--add-key', 'aesgcm:gcm');
  assert.match(await readFile(cluster.configFile, 'utf8'), /^# kept by hand/);

  const target = `${folder}/target.yaml`;
  const kmsV1 = `{kms: {apiVersion: v1, name: old, endpoint: "${socket('one')}"}}`;
  await writeFile(target, BEGINNING.replace(/providers:[^]*/, `providers: [${kmsV1}]\n`));
  await rotate('kms-v1', /./, '--target', target);
  await rotate('kms-v2', /^local:default:1:/, '--to-kms', `name=two,endpoint=${socket('two')}`);
});

test('given up after the new key wrote, the old one writes again, and the file is what it was', async (t) => {
  const cluster = await startRotationCluster(t, BEGINNING);
  const writers = createLiveWriters(() => cluster.servers.map(({ api }) => api));
  writers.start();
  const planned = await cluster.rotate(
    'plan',
    '--config-file',
    cluster.configFile,
    '--add-key',
    'secretbox:box',
  );
  assert.equal(planned.code, 0, planned.stderr);
  const killed = await cluster.rotateUntil('run', (line) => line === '{"step":"verify"}');
  assert.equal(killed.code, -1);
  const abandoned = await cluster.rotate('abandon');
  assert.equal(abandoned.code, 0, abandoned.stderr);
  const back = await cluster.rotate('run');
  assert.equal(back.code, 0, back.stdout + back.stderr);
  const { outcome, rewrapped } = JSON.parse(back.stdout) as {
    outcome: string;
    rewrapped: { rewritten: number };
  };
  assert.equal(outcome, 'ready-to-finish');
  assert.ok(rewrapped.rewritten > 0, 'some were under the new key');
  await writers.stop();
  await cluster.compact();
  const finished = await cluster.rotate('finish');
  assert.equal(finished.code, 0, finished.stdout + finished.stderr);
  const count = await writers.check();
  assert.deepEqual(await cluster.scanSecrets(), [{ provider: 'aescbc', key: 'key1', count }]);
  for (const file of [cluster.configFile, cluster.otherConfigFile]) {
    assert.equal(await readFile(file, 'utf8'), BEGINNING);
  }
});
