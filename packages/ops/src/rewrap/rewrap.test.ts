/**
 * Goal: everything stale is written again under the first provider, nothing else is touched, and no write of anybody else is lost, whatever
 * goes wrong half-way. Method: a real etcd with values sealed by each provider; writers beside the run, aborted runs, lost answers and
 * corrupt values, all from printed seeds.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type EncryptionAtRest, systemClock } from '@waxseal/encryption-config';
import { openEtcdStore, prefixRangeEnd, StoreError, type Store } from '@waxseal/storage';
import { describeStoredValue } from '../stored-value.js';
import { startEtcd, type RunningEtcd } from '../testing/etcd.js';
import { rewrap, type RewrapOptions, type RewrapReport } from './rewrap.js';
import {
  encryptionWith,
  fill,
  openAll,
  type ProviderName,
  putSealed,
  sharedKms,
} from './testing/sealed-cluster.js';

let etcd: RunningEtcd;
let store: Store;
let folder: string;
let roots = 0;
const seed = Number(process.env['WAXSEAL_SEED'] ?? 20_261_122);

before(async () => {
  console.log(`seed ${seed}`);
  folder = mkdtempSync(join(tmpdir(), 'waxseal-rewrap-test-'));
  etcd = await startEtcd();
  store = await openEtcdStore({
    endpoints: [etcd.endpoint],
    dialTimeoutMs: 10_000,
    requestTimeoutMs: 10_000,
  });
});
after(async () => {
  await store.close();
  await etcd.stop();
  rmSync(folder, { recursive: true });
});

/** Beside API servers, and without. */
const SWAPS = [
  ['', false],
  [', many to a transaction', true],
] as const;

const newRoot = (): string => `/cluster-${++roots}`;

function run(
  encryption: EncryptionAtRest,
  root: string,
  more: Partial<RewrapOptions> = {},
): Promise<RewrapReport> {
  return rewrap({
    store,
    transformerFor: (resource) => encryption.transformerFor(resource),
    resources: ['secrets'],
    prefix: root,
    signal: new AbortController().signal,
    clock: systemClock,
    ...more,
  });
}

async function providersOf(root: string): Promise<readonly string[]> {
  const prefix = Buffer.from(`${root}/`);
  const { kvs } = await store.range({ key: prefix, rangeEnd: prefixRangeEnd(prefix) });
  return [
    ...new Set(kvs.map(({ value }) => describeStoredValue(value)).map((k) => `${k.provider} ${k.key}`)),
  ];
}

/** xorshift: the same numbers for the same seed. */
function randomFrom(start: number): (below: number) => number {
  let state = start | 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

const migrations: readonly (readonly [ProviderName, ProviderName, string])[] = [
  ['aescbc', 'kmsV2', 'kms-v2 key-1'],
  ['kmsV1', 'kmsV2', 'kms-v2 key-1'],
  ['identity', 'secretbox', 'secretbox box'],
  ['kmsV2', 'kmsV1', 'kms-v1 one'],
  ['kmsV2', 'identity', 'identity '],
];
for (const [from, to, lies] of migrations) {
  test(`${from} becomes ${to}, and a second run finds nothing to do`, async () => {
    const root = newRoot();
    const old = await encryptionWith([from]);
    const both = await encryptionWith([to, from]);
    const contents = await fill(store, old, root, 150);
    const { revision } = await store.status();
    const dry = await run(both, root, { dryRun: true });
    assert.deepEqual([dry.listed, dry.stale, dry.rewritten, dry.addsUp], [150, 150, 0, true]);
    assert.equal((await store.status()).revision, revision);
    const report = await run(both, root);
    const { listed, stale, rewritten, failed, remaining, addsUp, late } = report;
    assert.deepEqual(
      { listed, stale, rewritten, failed, remaining, addsUp, late },
      { listed: 150, stale: 150, rewritten: 150, failed: 0, remaining: 0, addsUp: true, late: 0 },
    );
    assert.deepEqual(await providersOf(root), [lies]);
    // The old provider is not needed any more.
    const alone = await encryptionWith([to]);
    assert.deepEqual(await openAll(store, alone, root), contents);
    const again = await run(both, root);
    assert.deepEqual([again.listed, again.skipped, again.rewritten], [150, 150, 0]);
    assert.equal((await store.status()).revision, revision + 150);
    for (const encryption of [old, both, alone]) await encryption.close();
  });
}

test('leases and versions go on, other resources stay as they are', async () => {
  const root = newRoot();
  const old = await encryptionWith(['identity']);
  const both = await encryptionWith(['aescbc', 'identity']);
  const { id } = await store.leaseGrant(600);
  await putSealed(store, old, `${root}/secrets/ns/leased`, '{}', id);
  await putSealed(store, old, `${root}/configmaps/ns/other`, '{}');
  await putSealed(store, old, `${root}/secretsish/ns/other`, '{}');
  assert.equal((await run(both, root)).rewritten, 1);
  const { kv } = await store.get(Buffer.from(`${root}/secrets/ns/leased`));
  assert.equal(kv?.lease, id);
  assert.equal(kv?.version, 2);
  assert.deepEqual((await providersOf(root)).toSorted(), ['aescbc cbc', 'identity ']);
  for (const encryption of [old, both]) await encryption.close();
});

test('a wildcard covers every resource by its own rule', async () => {
  const root = newRoot();
  const old = await encryptionWith(['identity'], { resources: "['*.*']" });
  const both = await encryptionWith(['aescbc', 'identity'], { resources: "['*.*']" });
  const objects = ['secrets/ns/a', 'deployments/ns/b', 'example.com/widgets/ns/c'];
  // No resources of the API: kube-apiserver keeps them in plaintext whatever the configuration.
  const records = ['ranges/serviceips', 'masterleases/1.2.3.4'];
  for (const path of [...objects, ...records]) await putSealed(store, old, `${root}/${path}`, '{}');
  const report = await run(both, root, { resources: ['*.*'] });
  assert.deepEqual([report.rewritten, report.remaining], [objects.length, 0]);
  const kinds = await valuesAt([...objects, ...records].map((path) => `${root}/${path}`));
  assert.deepEqual(
    kinds.map((value) => describeStoredValue(value ?? Buffer.alloc(0)).provider),
    ['aescbc', 'aescbc', 'aescbc', 'identity', 'identity'],
  );
  for (const encryption of [old, both]) await encryption.close();
});

test('a KMS that changes its keyID half-way leaves nothing under the old one', async () => {
  const root = newRoot();
  let aheadMs = 0;
  const clock = {
    ...systemClock,
    nowMs: () => systemClock.nowMs() + aheadMs,
    monotonicMs: () => systemClock.monotonicMs() + aheadMs,
  };
  const old = await encryptionWith(['aescbc']);
  const both = await encryptionWith(['kmsV2', 'aescbc'], { clock });
  const contents = await fill(store, old, root, 300);
  let changed = false;
  const report = await run(both, root, {
    workers: 4,
    onProgress: () => {
      if (changed) return;
      changed = true;
      sharedKms.keyId = 'key-2';
      // Past the time an answer of the KMS is believed.
      aheadMs = 30_000;
      void both.healthChecks()[0]?.check();
    },
  });
  sharedKms.keyId = 'key-1';
  assert.deepEqual([report.listed, report.rewritten, report.remaining, report.addsUp], [300, 300, 0, true]);
  assert.ok(report.late > 0);
  assert.deepEqual(await providersOf(root), ['kms-v2 key-2']);
  assert.deepEqual(await openAll(store, both, root), contents);
  for (const encryption of [old, both]) await encryption.close();
});

for (const [together, offline] of SWAPS) {
  test(`writers beside the run lose nothing, whichever configuration they have${together}`, async () => {
    const root = newRoot();
    const random = randomFrom(seed);
    const old = await encryptionWith(['aescbc']);
    const oldReadsBoth = await encryptionWith(['aescbc', 'kmsV2']);
    const both = await encryptionWith(['kmsV2', 'aescbc']);
    const contents = await fill(store, old, root, 400);
    const names = [...contents.keys()];
    const end = new AbortController();
    let writes = 0;
    const writer = async (encryption: EncryptionAtRest, share: number): Promise<void> => {
      const own = names.filter((_, i) => i % 4 === share);
      while (!end.signal.aborted) {
        const name = own[random(own.length)] as string;
        if (random(5) === 0) {
          await store.txn({
            compare: [],
            success: [{ kind: 'delete', key: Buffer.from(name) }],
            failure: [],
          });
          contents.delete(name);
        } else {
          const text = `{"written":${++writes}}`;
          await putSealed(store, encryption, name, text);
          contents.set(name, text);
        }
      }
    };
    const writers = [oldReadsBoth, oldReadsBoth, both].map((encryption, share) => writer(encryption, share));
    const report = await run(both, root, { workers: 16, offline });
    end.abort();
    await Promise.all(writers);
    assert.equal(report.addsUp, true);
    assert.equal(report.failed, 0);
    assert.ok(writes > 20);
    assert.deepEqual(await openAll(store, both, root), contents);
    const last = await run(both, root);
    assert.deepEqual([last.remaining, last.failed], [0, 0]);
    assert.deepEqual(await openAll(store, both, root), contents);
    assert.deepEqual(await providersOf(root), ['kms-v2 key-1']);
    for (const encryption of [old, oldReadsBoth, both]) await encryption.close();
  });
}

test('a run stopped again and again goes on from its checkpoint, and the counts stay whole', async () => {
  const root = newRoot();
  const random = randomFrom(seed + 1);
  const old = await encryptionWith(['aescbc']);
  const both = await encryptionWith(['secretbox', 'aescbc']);
  const contents = await fill(store, old, root, 500);
  const checkpoint = { path: join(folder, 'resume.json'), configHash: 'sha256:a' };
  let stops = 0;
  let report: RewrapReport | undefined;
  while (report === undefined) {
    const controller = new AbortController();
    let untilStop = 1 + random(2);
    report = await run(both, root, {
      checkpoint,
      workers: 8,
      signal: controller.signal,
      onProgress: ({ phase }) => {
        if (phase === 'rewrap' && --untilStop === 0) controller.abort();
      },
    }).catch((error: unknown) => {
      assert.equal((error as { code?: string }).code, 'interrupted');
      assert.equal(statSync(checkpoint.path).mode & 0o777, 0o600);
      stops++;
      return undefined;
    });
  }
  assert.ok(stops > 0);
  assert.deepEqual([report.listed, report.addsUp, report.remaining, report.failed], [500, true, 0, 0]);
  assert.deepEqual(await openAll(store, await encryptionWith(['secretbox']), root), contents);
  assert.throws(() => statSync(checkpoint.path), /ENOENT/);
  for (const encryption of [old, both]) await encryption.close();
});

test('a checkpoint of another configuration, cluster, prefix or list of resources is refused', async () => {
  const root = newRoot();
  const old = await encryptionWith(['identity']);
  await fill(store, old, root, 40);
  const path = join(folder, 'other.json');
  const controller = new AbortController();
  const first = { checkpoint: { path, configHash: 'sha256:a' } };
  await assert.rejects(
    run(old, root, { ...first, signal: controller.signal, onProgress: () => controller.abort() }),
    { code: 'interrupted' },
  );
  await assert.rejects(run(old, root, { checkpoint: { path, configHash: 'sha256:b' } }), {
    code: 'state-invalid',
    message: /encryption configuration differs/,
  });
  await assert.rejects(run(old, `${root}x`, first), { message: /key prefix differs/ });
  await assert.rejects(run(old, root, { ...first, resources: ['configmaps'] }), {
    message: /list of resources differs/,
  });
  const other: Store = Object.assign(Object.create(store) as Store, {
    range: store.range.bind(store),
    status: async () => ({ ...(await store.status()), clusterId: 'another' }),
  });
  await assert.rejects(run(old, root, { ...first, store: other }), { message: /etcd cluster differs/ });
  await old.close();
});

test('objects that cannot be read are reported, all others done', async () => {
  const root = newRoot();
  const old = await encryptionWith(['secretbox']);
  const both = await encryptionWith(['kmsV2', 'secretbox']);
  await fill(store, old, root, 60);
  const broken = [7, 31].map((i) => Buffer.from(`${root}/secrets/ns-${i % 3}/s-${i}`));
  for (const key of broken) {
    const { kv } = await store.get(key);
    const value = Buffer.from(kv?.value ?? '');
    value[value.length - 1] = (value.at(-1) ?? 0) ^ 1;
    await store.txn({ compare: [], success: [{ kind: 'put', key, value }], failure: [] });
  }
  const report = await run(both, root);
  assert.deepEqual(
    [report.listed, report.rewritten, report.failed, report.remaining, report.addsUp],
    [60, 58, 2, 2, true],
  );
  assert.deepEqual(report.failures.map(({ key }) => key).toSorted(), broken.map(String).toSorted());
  assert.deepEqual([...new Set(report.failures.map(({ cause }) => cause))], ['unreadable']);
  for (const encryption of [old, both]) await encryption.close();
});

test('what is empty, or a sealed value cut or changed, is named and never sealed; other bytes are content', async () => {
  const root = newRoot();
  const old = await encryptionWith(['secretbox', 'aescbc', 'identity']);
  const both = await encryptionWith(['kmsV2', 'secretbox', 'aescbc', 'identity']);
  const [plain, cbc] = [await encryptionWith(['identity']), await encryptionWith(['aescbc'])];
  await fill(store, old, root, 10);
  const noise = Buffer.from('\u0001\u0002\xff', 'latin1');
  const kept = [
    ['empty', Buffer.alloc(0)],
    ['cut', Buffer.from('k8s:en')],
    ['changed', Buffer.concat([Buffer.from('k8s:enx:aescbc:v1:cbc:'), noise])],
  ] as const;
  const taken = [
    ['empty/authenticated', old, Buffer.alloc(0)],
    ['noise/authenticated', old, noise],
    ['noise/cbc', cbc, noise],
    ['empty/cbc', cbc, Buffer.alloc(0)],
    ['noise/plain', plain, noise],
    ['text/plain', plain, Buffer.from('{"kind": "Secret",\n\t"cut')],
    ['protobuf/cbc', cbc, Buffer.from('k8s\0\u0001')],
  ] as const;
  for (const [name, data] of kept) await putSealed(store, plain, `${root}/secrets/kept/${name}`, data);
  for (const [name, encryption, data] of taken)
    await putSealed(store, encryption, `${root}/secrets/${name}`, data);
  const keys = kept.map(([name]) => `${root}/secrets/kept/${name}`);
  const before = await valuesAt(keys);
  for (const dryRun of [true, false]) {
    const report = await run(both, root, { dryRun });
    const stale = 10 + taken.length;
    assert.deepEqual(
      [report.listed, report.stale, report.rewritten, report.failed, report.addsUp],
      [stale + kept.length, stale, dryRun ? 0 : stale, kept.length, true],
    );
    assert.deepEqual(report.failures.map(({ key }) => key).toSorted(), keys.toSorted());
    assert.deepEqual([...new Set(report.failures.map(({ cause }) => cause))], ['no-object']);
  }
  assert.deepEqual(await valuesAt(keys), before);
  for (const encryption of [old, both, plain, cbc]) await encryption.close();
});

test('under a wrong aescbc key of the right name nothing is sealed, although one value in 256 passes the padding', async () => {
  const root = newRoot();
  const right = await encryptionWith(['aescbc']);
  const wrong = await encryptionWith(['secretbox', 'otherAescbc']);
  await fill(store, right, root, 1500);
  const report = await run(wrong, root);
  assert.deepEqual([report.listed, report.rewritten, report.failed], [1500, 0, 1500]);
  assert.equal((await openAll(store, right, root)).size, 1500);
  for (const encryption of [right, wrong]) await encryption.close();
});

async function valuesAt(keys: readonly string[]): Promise<readonly (Buffer | undefined)[]> {
  return Promise.all(keys.map(async (key) => (await store.get(Buffer.from(key))).kv?.value));
}

test('offline, many objects share a revision; leases stay, and what etcd refuses together goes alone', async () => {
  const root = newRoot();
  const old = await encryptionWith(['aescbc']);
  const both = await encryptionWith(['secretbox', 'aescbc']);
  const contents = await fill(store, old, root, 300);
  const { id } = await store.leaseGrant(600);
  const leased = `${root}/secrets/a/leased`;
  await putSealed(store, old, leased, '{"kept":true}', id);
  // Together they are more than etcd takes in one request.
  for (let i = 0; i < 3; i++) {
    const [name, text] = [`${root}/secrets/a/large-${i}`, `{"large":"${'x'.repeat(700_000)}"}`];
    await putSealed(store, old, name, text);
    contents.set(name, text);
  }
  contents.set(leased, '{"kept":true}');
  const { revision } = await store.status();
  const report = await run(both, root, { offline: true });
  assert.deepEqual([report.rewritten, report.failed, report.remaining], [304, 0, 0]);
  assert.deepEqual(await openAll(store, both, root), contents);
  assert.equal((await store.get(Buffer.from(leased))).kv?.lease, id);
  const used = (await store.status()).revision - revision;
  assert.ok(used < 60, `${used} revisions`);
  for (const encryption of [old, both]) await encryption.close();
});

/** A store that fails `failures` of its calls, half of the writes after they happened. */
function flaky(real: Store, failures: number, random: (below: number) => number): Store {
  let left = failures;
  const fails = (): boolean => left > 0 && random(3) === 0 && left-- > 0;
  const lost = (): StoreError => new StoreError('unavailable', 'no leader');
  return Object.assign(Object.create(real) as Store, {
    status: () => real.status(),
    range: async (request: Parameters<Store['range']>[0]) => {
      if (fails()) throw lost();
      return real.range(request);
    },
    txn: async (request: Parameters<Store['txn']>[0]) => {
      const failing = fails();
      if (failing && random(2) === 0) throw lost();
      const result = await real.txn(request);
      if (failing) throw lost();
      return result;
    },
  });
}

for (const [together, offline] of SWAPS) {
  test(`lost leaders and lost answers are waited for; a write whose answer was lost counts once${together}`, async () => {
    const root = newRoot();
    const old = await encryptionWith(['aescbc']);
    const both = await encryptionWith(['kmsV2', 'aescbc']);
    const contents = await fill(store, old, root, 120);
    const report = await run(both, root, { store: flaky(store, 40, randomFrom(seed + 2)), offline });
    assert.deepEqual(
      [report.listed, report.rewritten, report.conflicts, report.failed, report.addsUp],
      [120, 120, 0, 0, true],
    );
    assert.deepEqual(await openAll(store, both, root), contents);
    for (const encryption of [old, both]) await encryption.close();
  });
}

for (const [together, offline] of SWAPS) {
  test(`an outage that lasts ends the run, which goes on later${together}`, async () => {
    const root = newRoot();
    const old = await encryptionWith(['aescbc']);
    const both = await encryptionWith(['kmsV2', 'aescbc']);
    await fill(store, old, root, 120);
    const checkpoint = { path: join(folder, 'outage.json'), configHash: 'sha256:a' };
    let calls = 0;
    const dying: Store = Object.assign(Object.create(store) as Store, {
      status: () => store.status(),
      range: (request: Parameters<Store['range']>[0]) => store.range(request),
      txn: (request: Parameters<Store['txn']>[0]) =>
        ++calls > (offline ? 1 : 50)
          ? Promise.reject(new StoreError('timeout', 'no answer'))
          : store.txn(request),
    });
    await assert.rejects(run(both, root, { store: dying, checkpoint, outageMs: 10, offline }), {
      code: 'source-unreadable',
      message: /no answer/,
    });
    const report = await run(both, root, { checkpoint });
    assert.deepEqual([report.listed, report.remaining, report.addsUp], [120, 0, true]);
    for (const encryption of [old, both]) await encryption.close();
  });
}

test('a KMS that cannot be written with ends the run before anything is touched', async () => {
  const root = newRoot();
  const old = await encryptionWith(['aescbc']);
  await fill(store, old, root, 10);
  sharedKms.keyId = '';
  const both = await encryptionWith(['kmsV2', 'aescbc']);
  sharedKms.keyId = 'key-1';
  await assert.rejects(run(both, root), { code: 'source-unreadable', message: /first provider/ });
  assert.deepEqual(await providersOf(root), ['aescbc cbc']);
  for (const encryption of [old, both]) await encryption.close();
});

test('history compacted during the run is no error', async () => {
  const root = newRoot();
  const old = await encryptionWith(['aescbc']);
  const both = await encryptionWith(['secretbox', 'aescbc']);
  const contents = await fill(store, old, root, 700);
  const compacting: Store = Object.assign(Object.create(store) as Store, {
    txn: (request: Parameters<Store['txn']>[0]) => store.txn(request),
    range: async (request: Parameters<Store['range']>[0]) => {
      const result = await store.range(request);
      if (request.countOnly !== true) await store.compact(result.revision).catch(() => undefined);
      return result;
    },
  });
  const report = await run(both, root, { store: compacting });
  assert.deepEqual([report.listed, report.remaining, report.addsUp], [700, 0, true]);
  assert.deepEqual(await openAll(store, both, root), contents);
  for (const encryption of [old, both]) await encryption.close();
});
