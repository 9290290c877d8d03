// Goal: one replica at a time does what is due by date, and another takes over when it stops or loses its lease. Method: leaders over
// one LMDB store, leases revoked under them.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { pino } from 'pino';
import { openLmdbStore } from '@waxseal/storage';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LifecycleLeader } from './lifecycle-leader.js';
import { LIFECYCLE_LEADER } from './store-keys.js';

const logger = pino({ level: 'silent' });

async function openStore(t: TestContext) {
  const path = await mkdtemp(join(tmpdir(), 'waxseal-leader-'));
  const store = await openLmdbStore({ path });
  t.after(async () => {
    await store.close();
    await rm(path, { recursive: true, force: true });
  });
  return store;
}

test('one leads; when it stops, the next to ask does', async (t) => {
  const store = await openStore(t);
  const elected: string[] = [];
  const leader = (name: string) =>
    new LifecycleLeader({ store, logger, onElected: () => void elected.push(name) });
  const [one, two, three] = [leader('one'), leader('two'), leader('three')];
  await one.start();
  await two.start();
  assert.deepEqual([one.leads, two.leads], [true, false]);
  await one.stop();
  assert.equal(one.leads, false);
  assert.equal((await store.get(LIFECYCLE_LEADER)).kv, undefined);
  await three.start();
  assert.deepEqual(elected, ['one', 'three']);
  await two.stop();
  await three.stop();
  assert.deepEqual(await store.leases(), []);
});

test('a leader whose lease is gone leads no more once it has asked', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const store = await openStore(t);
  const elected: number[] = [];
  const one = new LifecycleLeader({ store, logger, onElected: () => void elected.push(1) });
  const two = new LifecycleLeader({ store, logger, onElected: () => void elected.push(2) });
  await one.start();
  for (const lease of await store.leases()) await store.leaseRevoke(lease);
  await two.start();
  assert.equal(two.leads, true);
  t.mock.timers.tick(1_500);
  // Stopping waits for the renewal under way, which has found another leader's key.
  await one.stop();
  assert.deepEqual(elected, [1, 2]);
  assert.equal((await store.get(LIFECYCLE_LEADER)).kv === undefined, false);
  await two.stop();
});
