/** Goal: a call waits for an etcd that is away, not for one that refuses, and not when it is to stop. Method: calls that fail as chosen. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Clock, systemClock } from '@waxseal/encryption-config';
import { StoreError } from '@waxseal/storage';
import { createPatience, signalForMany } from './store-patience.js';

/** As in a command: its timers keep the process. */
const clock: Clock = {
  ...systemClock,
  schedule: (delayMs, run) => {
    const timer = setTimeout(run, delayMs);
    return () => clearTimeout(timer);
  },
};
const never = new AbortController().signal;
const away = (): Promise<never> => Promise.reject(new StoreError('unavailable', 'etcd at x: no leader'));

test('a call is repeated until it is answered', async () => {
  const patience = createPatience({ clock, outageMs: 5_000, signal: never });
  let calls = 0;
  assert.equal(await patience(() => (++calls < 3 ? away() : Promise.resolve('answer'))), 'answer');
  assert.equal(calls, 3);
});

test('an outage that lasts, a full database and a missing right end it with what etcd says', async () => {
  const patience = createPatience({ clock, outageMs: 150, signal: never });
  await assert.rejects(patience(away), {
    code: 'source-unreadable',
    message: 'etcd has not answered for 0.15 s: etcd at x: no leader',
  });
  for (const code of ['no-space', 'unauthenticated'] as const) {
    const refused = patience(() => Promise.reject(new StoreError(code, `because of ${code}`)));
    await assert.rejects(refused, { code: 'source-unreadable', message: `because of ${code}` });
  }
  const large = patience(() => Promise.reject(new StoreError('too-large', 'one object')));
  await assert.rejects(large, { name: 'StoreError', code: 'too-large' });
});

test('stopped, what etcd answers still counts, and what it does not is given up', async () => {
  const stop = new AbortController();
  const patience = createPatience({
    clock,
    outageMs: 60_000,
    signal: signalForMany(stop.signal),
  });
  let answer: ((value: string) => void) | undefined;
  const answered = patience(() => new Promise((resolve) => (answer = resolve)));
  const silent = Array.from({ length: 100 }, () => patience(() => new Promise(() => undefined)));
  const given = [...silent, patience(away)].map((call) => assert.rejects(call, { code: 'interrupted' }));
  stop.abort(new Error('Ctrl-C'));
  answer?.('in time');
  assert.equal(await answered, 'in time');
  await Promise.all(given);
  await assert.rejects(patience(away), { code: 'interrupted' });
  assert.equal(await patience(() => Promise.resolve('after')), 'after');
});
