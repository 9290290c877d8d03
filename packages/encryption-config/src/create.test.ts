/** Goal: each resource is stored as the configuration says, cold starts are cheap, and health and metrics tell the truth. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { Opened } from '@waxseal/envelope';
import { serveKms } from '@waxseal/kms-api';
import { Registry } from 'prom-client';
import type { EncryptionAtRest, GroupResource } from './at-rest.js';
import { systemClock } from './clock.js';
import { createEncryptionAtRest, type EncryptionAtRestOptions } from './create.js';
import { createFakeClock } from './testing/fake-clock.js';
import { createFakeKms } from './testing/fake-kms.js';

const storageKey = Buffer.from('/registry/secrets/default/db');
const value = Buffer.from('{"kind":"Secret"}');
const secrets: GroupResource = { group: '', resource: 'secrets' };
const key = (name: string, fill: number): string =>
  `{name: ${name}, secret: ${Buffer.alloc(32, fill).toString('base64')}}`;

async function create(
  t: TestContext,
  rules: string,
  options: Partial<EncryptionAtRestOptions> = {},
): Promise<EncryptionAtRest> {
  const folder = await mkdtemp(join(tmpdir(), 'waxseal-config-'));
  const file = join(folder, 'config.yaml');
  await writeFile(file, `apiVersion: v1\nkind: EncryptionConfig\nresources:\n${rules}`);
  t.after(() => rm(folder, { recursive: true }));
  const atRest = await createEncryptionAtRest({ file, clock: createFakeClock(), ...options });
  t.after(() => atRest.close());
  return atRest;
}

const rule = (resources: string, ...providers: string[]): string =>
  `- {resources: [${resources}], providers: [${providers.join(', ')}]}\n`;
const kmsV2 = (name: string): string => `{kms: {apiVersion: v2, name: ${name}, endpoint: "unix:///k"}}`;

async function prefixOf(atRest: EncryptionAtRest, group: string, resource: string): Promise<string> {
  const stored = await atRest.transformerFor({ group, resource }).transformToStorage(value, storageKey);
  return /^(?:k8s:enc:[a-z]+:v\d:[^:]+:)?/.exec(stored.toString('latin1'))?.[0] ?? '';
}

test('each resource finds its rule: itself, then *.group, then *.*', async (t) => {
  const atRest = await create(
    t,
    rule('events', '{identity: {}}') +
      rule('secrets, pandas.bears.example', `{aesgcm: {keys: [${key('one', 1)}]}}`) +
      rule("'*.apps'", `{aescbc: {keys: [${key('two', 2)}]}}`) +
      rule("'*.'", `{secretbox: {keys: [${key('three', 3)}]}}`) +
      rule("'*.*'", `{aesgcm: {keys: [${key('four', 4)}]}}`),
  );
  const cases: [string, string, string][] = [
    ['', 'events', ''],
    ['', 'secrets', 'k8s:enc:aesgcm:v1:one:'],
    ['bears.example', 'pandas', 'k8s:enc:aesgcm:v1:one:'],
    ['apps', 'deployments', 'k8s:enc:aescbc:v1:two:'],
    ['', 'configmaps', 'k8s:enc:secretbox:v1:three:'],
    ['bears.example', 'grizzlies', 'k8s:enc:aesgcm:v1:four:'],
  ];
  for (const [group, resource, prefix] of cases)
    assert.equal(await prefixOf(atRest, group, resource), prefix);
  assert.deepEqual(atRest.healthChecks(), []);
});

test('a resource without a rule is stored as it is, and its ciphertext is refused', async (t) => {
  const atRest = await create(t, rule('secrets', `{aesgcm: {keys: [${key('one', 1)}]}}`));
  assert.equal(await prefixOf(atRest, '', 'configmaps'), '');
  const stored = await atRest.transformerFor(secrets).transformToStorage(value, storageKey);
  assert.throws(
    () =>
      atRest.transformerFor({ group: '', resource: 'configmaps' }).transformFromStorage(stored, storageKey),
    { message: 'identity transformer tried to read encrypted data' },
  );
});

test('named keys: the first writes, all read, others are stale; an unknown one is told as the reference does', async (t) => {
  const two = await create(t, rule('secrets', `{aesgcm: {keys: [${key('b', 2)}, ${key('a', 1)}]}}`));
  const one = await create(t, rule('secrets', `{aesgcm: {keys: [${key('a', 1)}]}}`));
  const stored = await one.transformerFor(secrets).transformToStorage(value, storageKey);
  assert.deepEqual(await two.transformerFor(secrets).transformFromStorage(stored, storageKey), {
    data: value,
    stale: true,
  });
  const newer = await two.transformerFor(secrets).transformToStorage(value, storageKey);
  assert.throws(() => one.transformerFor(secrets).transformFromStorage(newer, storageKey), {
    message: 'no matching key was found for the provided AES transformer',
  });
});

test('the same resource in two entries: the second one’s providers read', async (t) => {
  const old = await create(t, rule('secrets', `{aesgcm: {keys: [${key('a', 1)}]}}`));
  const both = await create(
    t,
    rule('secrets', `{aesgcm: {keys: [${key('b', 2)}]}}`) +
      rule('secrets', `{aesgcm: {keys: [${key('a', 1)}]}}`),
  );
  const stored = await old.transformerFor(secrets).transformToStorage(value, storageKey);
  const opened = await both.transformerFor(secrets).transformFromStorage(stored, storageKey);
  assert.deepEqual(opened, { data: value, stale: true });
});

test('KMS v2: a cold start asks once for each DEK source, also when a thousand reads come at once', async (t) => {
  const kms = createFakeKms();
  const stored: Buffer[] = [];
  for (let restart = 0; restart < 3; restart++) {
    const atRest = await create(t, rule("'*.*'", kmsV2('p')), { connectors: kms.connectors });
    for (let i = 0; i < 334; i++) {
      stored.push(
        await atRest
          .transformerFor(secrets)
          .transformToStorage(value, Buffer.from(`/registry/${stored.length}`)),
      );
    }
  }
  assert.equal(kms.calls.decrypt, 0);
  const cold = await create(t, rule("'*.*'", kmsV2('p')), { connectors: kms.connectors });
  const open = async (one: Buffer, i: number): Promise<Opened> =>
    cold
      .transformerFor(i % 2 === 0 ? secrets : { group: 'apps', resource: 'deployments' })
      .transformFromStorage(one, Buffer.from(`/registry/${i}`));
  for (const opened of await Promise.all(stored.map(open)))
    assert.deepEqual(opened, { data: value, stale: false });
  assert.equal(kms.calls.decrypt, 3);
});

test('KMS v2 that is away at start: created all the same, unhealthy, and writes say why', async (t) => {
  const kms = createFakeKms();
  kms.failure = new Error('connection refused');
  const atRest = await create(t, rule('secrets', kmsV2('p'), kmsV2('q')), { connectors: kms.connectors });
  const [check, ...more] = atRest.healthChecks();
  assert.equal(check?.name, 'kms-providers');
  assert.deepEqual(more, []);
  const reason = (name: string): string =>
    `failed to perform status section of the healthz check for KMS Provider ${name}, error: connection refused`;
  await assert.rejects(async () => check.check(), {
    message: `[kms-provider-0: ${reason('p')}, kms-provider-1: ${reason('q')}]`,
  });
  assert.throws(() => atRest.transformerFor(secrets).transformToStorage(value, storageKey), {
    code: 'no-write-state',
  });
  await atRest.close();
  assert.equal(kms.open, 0);
});

test('KMS v1 beside v2: each plugin has its own check; v1 needs the switch', async (t) => {
  const kms = createFakeKms();
  const rules = rule('secrets', '{kms: {name: old, endpoint: "unix:///k"}}', kmsV2('new'), '{identity: {}}');
  await assert.rejects(create(t, rules, { connectors: kms.connectors }), {
    code: 'invalid-configuration',
    message: /KMSv1 is deprecated/,
  });
  const atRest = await create(t, rules, { connectors: kms.connectors, kmsV1Enabled: true });
  assert.deepEqual(
    atRest.healthChecks().map(({ name }) => name),
    ['kms-provider-0', 'kms-provider-1'],
  );
  for (const healthCheck of atRest.healthChecks()) await healthCheck.check();
  const transformer = atRest.transformerFor(secrets);
  const stored = await transformer.transformToStorage(value, storageKey);
  assert.match(stored.toString('latin1'), /^k8s:enc:kms:v1:old:\0 /);
  assert.deepEqual(await transformer.transformFromStorage(stored, storageKey), { data: value, stale: false });
  kms.failure = new Error('gone');
  await assert.rejects(async () => transformer.transformToStorage(value, storageKey), { message: 'gone' });
});

test('over a real socket: health, writes and a cold read, with both forms of the path', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'waxseal-kms-'));
  t.after(() => rm(folder, { recursive: true }));
  const kms = createFakeKms();
  const server = await serveKms({
    listen: join(folder, 'kms.sock'),
    services: { v2: kms.connectors.connectKmsV2({ endpoint: 'unix:///fake' }) },
  });
  t.after(() => server.close(0));
  for (const endpoint of [`unix://${folder}/kms.sock`, `unix:${folder}/kms.sock`]) {
    const rules = rule("'*.*'", `{kms: {apiVersion: v2, name: p, endpoint: "${endpoint}"}}`);
    const writer = await create(t, rules, { clock: systemClock });
    await writer.healthChecks()[0]?.check();
    const stored = await writer.transformerFor(secrets).transformToStorage(value, storageKey);
    const reader = await create(t, rules, { clock: systemClock });
    kms.calls.decrypt = 0;
    const opened = await reader.transformerFor(secrets).transformFromStorage(stored, storageKey);
    assert.deepEqual(opened, { data: value, stale: false });
    assert.equal(kms.calls.decrypt, 1);
    await writer.close();
    await reader.close();
  }
});

test('a file that is not there or not valid says so', async () => {
  await assert.rejects(createEncryptionAtRest({ file: '/does/not/exist' }), {
    code: 'unreadable-file',
    message: /"\/does\/not\/exist".*ENOENT/,
  });
});

test('metrics carry the reference’s names, labels and hashes', async (t) => {
  const registry = new Registry();
  const kms = createFakeKms();
  const atRest = await create(t, rule("'*.*'", kmsV2('p'), '{identity: {}}'), {
    connectors: kms.connectors,
    registry,
    apiServerId: 'server-1',
  });
  const deployments = atRest.transformerFor({ group: 'apps', resource: 'deployments' });
  const stored = await deployments.transformToStorage(value, storageKey);
  await deployments.transformFromStorage(stored, storageKey);
  await deployments.transformFromStorage(value, storageKey);
  assert.throws(() => deployments.transformFromStorage(Buffer.from('k8s:enc:x'), storageKey));
  kms.failure = Object.assign(new Error('14 UNAVAILABLE'), { code: 14 });
  const [foreign] = [Buffer.from(stored)];
  foreign[foreign.length - 20] = (foreign[foreign.length - 20] as number) ^ 1;
  await assert.rejects(async () => deployments.transformFromStorage(foreign, storageKey));

  const text = await registry.metrics();
  const operation =
    'apiserver_storage_transformation_operations_total{resource="deployments.apps",transformation_type=';
  const idHash = 'key_id_hash="sha256:[0-9a-f]{64}",apiserver_id_hash="sha256:[0-9a-f]{64}"';
  const expected = [
    `${operation}"to_storage",transformer_prefix="k8s:enc:kms:v2:p:",status="OK"} 1`,
    `${operation}"from_storage",transformer_prefix="k8s:enc:kms:v2:p:",status="OK"} 1`,
    `${operation}"from_storage",transformer_prefix="k8s:enc:kms:v2:p:",status="Unavailable"} 1`,
    `${operation}"from_storage",transformer_prefix="identity",status="OK"} 1`,
    `${operation}"from_storage",transformer_prefix="unknown",status="unknown-non-grpc"} 1`,
    'apiserver_storage_transformation_duration_seconds_bucket{le="0.000005",transformation_type="to_storage",transformer_prefix="k8s:enc:kms:v2:p:"} 1',
    'apiserver_storage_transformation_duration_seconds_bucket{le="+Inf",transformation_type="to_storage",transformer_prefix="k8s:enc:kms:v2:p:"} 1',
    'apiserver_storage_transformation_duration_seconds_count{transformation_type="from_storage",transformer_prefix="identity"} 1',
    'apiserver_envelope_encryption_dek_source_cache_size{provider_name="p"} 1',
    'apiserver_storage_envelope_transformation_cache_misses_total 1',
    'apiserver_envelope_encryption_kms_operations_latency_seconds_count{provider_name="p",method_name="/v2.KeyManagementService/Status",grpc_status_code="OK"} 1',
    'apiserver_envelope_encryption_kms_operations_latency_seconds_count{provider_name="p",method_name="/v2.KeyManagementService/Decrypt",grpc_status_code="Unavailable"} 1',
  ];
  for (const line of expected) assert.ok(text.split('\n').includes(line), `${line}\nis not in\n${text}`);
  for (const pattern of [
    `^apiserver_envelope_encryption_key_id_hash_total\\{transformation_type="to_storage",provider_name="p",${idHash}\\} 1$`,
    `^apiserver_envelope_encryption_key_id_hash_last_timestamp_seconds\\{transformation_type="from_storage",provider_name="p",${idHash}\\} 1767225600$`,
    `^apiserver_envelope_encryption_key_id_hash_status_last_timestamp_seconds\\{provider_name="p",${idHash}\\} 1767225600$`,
    '^apiserver_encryption_config_controller_last_config_info\\{apiserver_id_hash="sha256:[0-9a-f]{64}",hash="sha256:[0-9a-f]{64}"\\} 1$',
  ]) {
    assert.match(text, new RegExp(pattern, 'm'));
  }
  assert.ok(!text.includes('key-1') && !text.includes('server-1'), 'ids appear hashed only');
});

test('with a hundred key ids in the metrics the one longest unused goes first', async (t) => {
  const registry = new Registry();
  const kms = createFakeKms();
  const clock = createFakeClock();
  const atRest = await create(t, rule('secrets', kmsV2('p')), {
    connectors: kms.connectors,
    registry,
    clock,
  });
  const transformer = atRest.transformerFor(secrets);
  for (let i = 0; i < 105; i++) {
    kms.keyId = `key-${i}`;
    await clock.advance(60_000);
    await transformer.transformToStorage(value, storageKey);
  }
  const text = await registry.metrics();
  for (const name of ['key_id_hash_total', 'key_id_hash_status_last_timestamp_seconds']) {
    assert.equal(text.match(new RegExp(`^apiserver_envelope_encryption_${name}\\{`, 'gm'))?.length, 100);
  }
});
