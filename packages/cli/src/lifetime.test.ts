import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startAll, Started } from './lifetime.js';

const part = (name: string, log: string[], fail = false) => ({
  close: async () => {
    log.push(name);
    if (fail) throw new Error(`${name} does not close`);
  },
});

test('parts are closed newest first, all of them, and every failure is told', async () => {
  const log: string[] = [];
  const started = new Started();
  started.add(part('a', log));
  started.add(part('b', log, true));
  started.add(part('c', log));
  await assert.rejects(started.close(), /b does not close/);
  assert.deepEqual(log, ['c', 'b', 'a']);
  await started.close();
});

test('a start that fails half-way closes what it started and keeps its own error', async () => {
  const log: string[] = [];
  const failing = startAll(async (started) => {
    started.add(part('a', log, true));
    throw new Error('the port is taken');
  });
  await assert.rejects(failing, /the port is taken/);
  assert.deepEqual(log, ['a']);
});
