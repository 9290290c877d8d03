/**
 * Goal: `waxseal up` can be started and ended at any moment. Method: signals at moments a seed chooses, once during the
 * start and once under load; afterwards the same data directory must come up with every acknowledged object.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { apiOf, secret } from '../support/api.js';
import { launcher, startUp, temporaryFolder } from '../support/waxseal.js';

/** Starts `waxseal up` and sends `signal` after `delayMs`. */
async function interrupt(dataDir: string, signal: NodeJS.Signals, delayMs: number): Promise<number | string> {
  const ports = ['--api-port', '0', '--kms-port', '0', '--etcd-port', '0'];
  const child = spawn(process.execPath, [launcher, 'up', '--data-dir', dataDir, ...ports], {
    stdio: 'ignore',
  });
  const exited = once(child, 'exit');
  await sleep(delayMs);
  child.kill(signal);
  const [code, name] = await exited;
  return (code ?? name) as number | string;
}

test('a first start killed at any moment is finished by the next', async (t) => {
  const seed = Date.now() % 1_000_000;
  t.diagnostic(`seed ${seed}`);
  const dataDir = await temporaryFolder(t);
  let state = seed + 1;
  for (let round = 0; round < 6; round++) {
    state = (state * 48_271) % 2_147_483_647; // Park and Miller's generator
    const delayMs = 40 + (state % 600);
    t.diagnostic(`SIGKILL after ${delayMs} ms`);
    assert.equal(await interrupt(dataDir, 'SIGKILL', delayMs), 'SIGKILL');
  }
  const up = await startUp(dataDir);
  const api = apiOf(up.ready);
  const answer = await api.call('POST', '/api/v1/namespaces/default/secrets', secret('a', { k: 'v' }));
  api.close();
  assert.equal(answer.status, 201, answer.text);
  assert.equal(await up.stop(), 0);
});

test('Ctrl-C counts once, however often a terminal and npm deliver it', async (t) => {
  const up = await startUp(await temporaryFolder(t));
  up.child.kill('SIGINT');
  up.child.kill('SIGINT');
  assert.equal(await up.stop('SIGINT'), 0);
});

test('two starts at once on a new data directory: one serves, the other says why not', async (t) => {
  const dataDir = await temporaryFolder(t);
  const starts = await Promise.allSettled([startUp(dataDir), startUp(dataDir)]);
  const served = starts.filter((start) => start.status === 'fulfilled');
  for (const { value } of served) assert.equal(await value.stop(), 0);
  assert.equal(served.length, 1);
  const refused = starts.filter((start) => start.status === 'rejected');
  assert.match(String(refused[0]?.reason), /ended with 3[\s\S]*in use/);
});

test('SIGTERM under load ends with 0, and no acknowledged write is lost', async (t) => {
  const dataDir = await temporaryFolder(t);
  const up = await startUp(dataDir);
  const writer = apiOf(up.ready, 32);
  const path = '/api/v1/namespaces/default/secrets';
  const acknowledged: string[] = [];
  let next = 0;
  const write = async (): Promise<void> => {
    for (;;) {
      const name = `s${next++}`;
      const answer = await writer.call('POST', path, secret(name, { k: name })).catch(() => undefined);
      if (answer?.status !== 201) return;
      acknowledged.push(name);
    }
  };
  const writers = Array.from({ length: 32 }, write);
  while (acknowledged.length < 100) await sleep(10);
  assert.equal(await up.stop(), 0);
  await Promise.all(writers);
  writer.close();

  const again = await startUp(dataDir);
  const reader = apiOf(again.ready);
  const { text } = await reader.call('GET', `${path}?limit=100000`);
  reader.close();
  assert.equal(await again.stop(), 0);
  const list = JSON.parse(text) as { items: readonly { metadata: { name: string } }[] };
  const present = new Set(list.items.map(({ metadata }) => metadata.name));
  assert.deepEqual(
    acknowledged.filter((name) => !present.has(name)),
    [],
    `${acknowledged.length} were acknowledged`,
  );
});
