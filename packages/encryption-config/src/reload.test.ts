/** Goal: a good change of the file takes effect, a bad one changes nothing, and old connections close in time. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import type { EncryptionAtRest } from './at-rest.js';
import { createEncryptionAtRest } from './create.js';
import { createFakeClock, type FakeClock } from './testing/fake-clock.js';
import { createFakeKms, type FakeKms } from './testing/fake-kms.js';

const storageKey = Buffer.from('/registry/secrets/default/db');
const value = Buffer.from('{"kind":"Secret"}');
const secrets = { group: '', resource: 'secrets' };
const minute = 60_000;
const secretA = Buffer.alloc(32, 1).toString('base64');
const secretB = Buffer.alloc(32, 2).toString('base64');

const aesgcm = (name: string, secret: string): object => ({ aesgcm: { keys: [{ name, secret }] } });
const kmsV2 = (name: string): object => ({ kms: { apiVersion: 'v2', name, endpoint: 'unix:///k' } });
const config = (...providers: object[]): string =>
  JSON.stringify({
    apiVersion: 'apiserver.config.k8s.io/v1',
    kind: 'EncryptionConfiguration',
    resources: [{ resources: ['secrets'], providers }],
  });

interface Fixture {
  readonly atRest: EncryptionAtRest;
  readonly kms: FakeKms;
  readonly clock: FakeClock;
  readonly log: string[];
  readonly write: (text: string) => Promise<void>;
  readonly metric: (name: string, labels: Record<string, string>) => Promise<number | undefined>;
}

async function start(t: TestContext, text: string): Promise<Fixture> {
  const folder = await mkdtemp(join(tmpdir(), 'waxseal-reload-'));
  const file = join(folder, 'config.json');
  await writeFile(file, text);
  const kms = createFakeKms();
  const clock = createFakeClock();
  const registry = new Registry();
  const log: string[] = [];
  const logger = pino({}, { write: (line: string) => void log.push(line) });
  const atRest = await createEncryptionAtRest({
    file,
    automaticReload: true,
    registry,
    logger,
    clock,
    connectors: kms.connectors,
  });
  t.after(async () => {
    await atRest.close();
    await rm(folder, { recursive: true });
  });
  return {
    atRest,
    kms,
    clock,
    log,
    write: (changed) => writeFile(file, changed),
    async metric(name, labels) {
      const metric = await registry.getSingleMetric(name)?.get();
      const found = metric?.values.find(({ labels: have }) =>
        Object.entries(labels).every(([key, label]) => have[key] === label),
      );
      return found?.value;
    },
  };
}

/** Past the next poll; file reads need real turns of the event loop, which advancing gives. */
async function nextPoll(clock: FakeClock, until: () => boolean | Promise<boolean>): Promise<void> {
  await clock.advance(minute);
  for (let i = 0; i < 200 && !(await until()); i++) await clock.advance(0);
}

const reloads = 'apiserver_encryption_config_controller_automatic_reloads_total';

test('a changed file is in force after the next poll, for transformers handed out before', async (t) => {
  const { atRest, clock, write, metric } = await start(t, config(aesgcm('a', secretA)));
  const transformer = atRest.transformerFor(secrets);
  const stored = await transformer.transformToStorage(value, storageKey);
  const hash = async (): Promise<number | undefined> =>
    metric('apiserver_encryption_config_controller_last_config_info', {});
  assert.equal(await hash(), 1);

  await write(config(aesgcm('b', secretB), aesgcm('a', secretA)));
  assert.equal((await transformer.transformFromStorage(stored, storageKey)).stale, false);
  await nextPoll(clock, async () => (await metric(reloads, { status: 'success' })) === 1);
  assert.equal(await metric(reloads, { status: 'success' }), 1);
  assert.deepEqual(await transformer.transformFromStorage(stored, storageKey), { data: value, stale: true });
  const rewritten = await transformer.transformToStorage(value, storageKey);
  assert.match(rewritten.toString('latin1'), /^k8s:enc:aesgcm:v1:b:/);
});

test('an unchanged file is not loaded again', async (t) => {
  const { kms, clock, metric } = await start(t, config(kmsV2('p')));
  await clock.advance(5 * minute);
  assert.equal(kms.open, 1);
  assert.equal(await metric(reloads, { status: 'success' }), undefined);
});

test('a bad file keeps the old configuration and is told by metric and log, without its secrets', async (t) => {
  const { atRest, clock, log, write, metric } = await start(t, config(aesgcm('a', secretA)));
  const failures = async (): Promise<number> => (await metric(reloads, { status: 'failure' })) ?? 0;
  let expected = 0;
  const bad = [config(aesgcm('a', `${secretB}!`)), `${config(aesgcm('a', secretB))}}`, '', config({})];
  for (const text of bad) {
    await write(text);
    expected++;
    await nextPoll(clock, async () => (await failures()) === expected);
    assert.equal(await failures(), expected, text);
    await atRest.transformerFor(secrets).transformToStorage(value, storageKey);
  }
  assert.equal(log.length, bad.length);
  assert.ok(log.every((line) => /the old one stays/.test(line)));
  assert.ok(!log.join('').includes(secretB.slice(0, 12)));
  await atRest.healthChecks()[0]?.check();
});

test('old connections close after twice their timeouts', async (t) => {
  const { kms, clock, write } = await start(t, config(kmsV2('old')));
  assert.equal(kms.open, 1);
  await write(config(kmsV2('new'), kmsV2('old')));
  await nextPoll(clock, () => kms.open === 3);
  assert.equal(kms.open, 3);
  await clock.advance(5999);
  assert.equal(kms.open, 3);
  await clock.advance(1);
  assert.equal(kms.open, 2);
});

test('plugins that do not become healthy keep the old configuration, and theirs is closed', async (t) => {
  const { atRest, kms, clock, write, metric, log } = await start(t, config(aesgcm('a', secretA)));
  kms.failure = new Error('not there');
  await write(config(kmsV2('p')));
  await nextPoll(clock, () => kms.open === 1);
  await clock.advance(10_000);
  assert.equal(kms.open, 0);
  assert.equal(await metric(reloads, { status: 'failure' }), 1);
  assert.match(log.join(''), /health check for new transformers failed: kms-provider-0: .*not there/);
  await atRest.transformerFor(secrets).transformToStorage(value, storageKey);

  kms.failure = undefined;
  await nextPoll(clock, async () => (await metric(reloads, { status: 'success' })) === 1);
  const stored = await atRest.transformerFor(secrets).transformToStorage(value, storageKey);
  assert.match(stored.toString('latin1'), /^k8s:enc:kms:v2:p:/);
});

test('closing closes what is in force and what waits, and stops the polls', async (t) => {
  const { atRest, kms, clock, write } = await start(t, config(kmsV2('old')));
  await write(config(kmsV2('new')));
  await nextPoll(clock, () => kms.open === 2);
  await atRest.close();
  assert.equal(kms.open, 0);
  await clock.advance(10 * minute);
  assert.equal(clock.pending(), 0);
});
