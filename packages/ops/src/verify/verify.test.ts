/**
 * Goal: verify finds every fault that is in the data and none that is not, and names its cause. Method: values sealed by the real
 * transformers of every provider, faults injected at random (seeded), and each cause by itself.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createEncryptionAtRest } from '@waxseal/encryption-config';
import * as fc from 'fast-check';
import { decodeStoredObject } from './decode-object.js';
import { createMemoryKms, kmsApiError, type MemoryKms } from '../testing/memory-kms.js';
import { memorySource } from '../testing/memory-source.js';
import { verify, type VerifyOptions, type VerifyResult } from './verify.js';

const folder = await mkdtemp(join(tmpdir(), 'waxseal-verify-'));
after(() => rm(folder, { recursive: true }));

const secretOf = (fill: number): string => Buffer.alloc(32, fill).toString('base64');
const kmsProvider = (apiVersion: string): string =>
  JSON.stringify({ kms: { apiVersion, name: 'vault', endpoint: 'unix:///run/kms.sock' } });
const keyed = (provider: string, fill: number): string =>
  JSON.stringify({ [provider]: { keys: [{ name: 'key1', secret: secretOf(fill) }] } });

const PROVIDERS = {
  aesgcm: keyed('aesgcm', 1),
  aescbc: keyed('aescbc', 1),
  secretbox: keyed('secretbox', 1),
  'kms-v1': kmsProvider('v1'),
  'kms-v2': kmsProvider('v2'),
  identity: '{"identity": {}}',
} as const;
type Provider = keyof typeof PROVIDERS;
const names = Object.keys(PROVIDERS) as Provider[];
const others = names.filter((name) => name !== 'identity');

let files = 0;
async function configFile(...providers: string[]): Promise<string> {
  const file = join(folder, `config-${files++}.yaml`);
  await writeFile(
    file,
    `kind: EncryptionConfiguration
apiVersion: apiserver.config.k8s.io/v1
resources: [{"resources": ["secrets"], "providers": [${providers.join(', ')}]}]
`,
  );
  return file;
}

const newKms = (): MemoryKms => createMemoryKms(Buffer.alloc(32, 7));

const secretJson = (namespace: string, name: string): string =>
  JSON.stringify({
    kind: 'Secret',
    apiVersion: 'v1',
    metadata: { name, namespace },
    data: { a: 'dmFsdWU=' },
    type: 'Opaque',
  });

const keyOf = (i: number): string => `/registry/secrets/ns${i % 3}/name${i}`;

/** `contents`, or as many secrets, as the API server would store them under the first provider of `file`. */
async function sealed(
  file: string,
  kms: MemoryKms,
  contents: number | readonly Buffer[],
): Promise<Map<string, Buffer>> {
  const encryption = await createEncryptionAtRest({ file, kmsV1Enabled: true, connectors: kms.connectors });
  const transformer = encryption.transformerFor({ group: '', resource: 'secrets' });
  const values = new Map<string, Buffer>();
  const count = typeof contents === 'number' ? contents : contents.length;
  for (let i = 0; i < count; i++) {
    const data =
      typeof contents === 'number' ? Buffer.from(secretJson(`ns${i % 3}`, `name${i}`)) : contents[i];
    assert.ok(data);
    values.set(keyOf(i), await transformer.transformToStorage(data, Buffer.from(keyOf(i))));
  }
  await encryption.close();
  return values;
}

async function anyOpens(values: ReadonlyMap<string, Buffer>, file: string): Promise<boolean> {
  const encryption = await createEncryptionAtRest({ file, kmsV1Enabled: true });
  const transformer = encryption.transformerFor({ group: '', resource: 'secrets' });
  const tries = [...values].map(async ([key, value]) =>
    transformer.transformFromStorage(value, Buffer.from(key)),
  );
  const answers = await Promise.allSettled(tries);
  await encryption.close();
  return answers.some(({ status }) => status === 'fulfilled');
}

function run(
  values: ReadonlyMap<string, Buffer>,
  encryptionConfigFile: string,
  kms: MemoryKms,
  more: Partial<VerifyOptions> = {},
): Promise<VerifyResult> {
  return verify({
    source: memorySource(
      'memory',
      [...values].map(([key, value], i) => ({ key, value, modRevision: i + 2 })),
    ),
    encryptionConfigFile,
    connectors: kms.connectors,
    all: true,
    ...more,
  });
}

const causes = (result: VerifyResult): Record<string, string> =>
  Object.fromEntries(result.failed.map(({ key, cause }) => [key, cause]));

const everyKey = (values: ReadonlyMap<string, Buffer>, cause: string): Record<string, string> =>
  Object.fromEntries([...values.keys()].map((key) => [key, cause]));

/** What follows the prefix `k8s:enc:…:`. */
const bodyStart = (value: Buffer): number => {
  let end = -1;
  for (let i = 0; i < 5; i++) end = value.indexOf(':', end + 1);
  return end + 1;
};

const configs = new Map<Provider, string>();
for (const name of names) configs.set(name, await configFile(PROVIDERS[name]));
const configOf = (name: Provider): string => configs.get(name) ?? '';

const changedBytes = ['authentication-failed', 'truncated', 'malformed', 'wrong-key'];
type Fault = 'flip' | 'cut' | 'copy' | 'rename' | 'other-prefix';
const EXPECTED: Readonly<Record<Fault, readonly string[]>> = {
  // A changed key ID or wrapped DEK is refused by the KMS as another key's.
  flip: changedBytes,
  cut: changedBytes,
  copy: ['moved'],
  rename: ['moved'],
  'other-prefix': ['provider-missing'],
};

/** Puts a fault on the value of object `i`; returns the key on which it must be found. */
function inject(values: Map<string, Buffer>, i: number, fault: Fault, at: number): string {
  const key = keyOf(i);
  const newKey = fault === 'rename' ? `${key}-new` : key;
  const value = Buffer.from(values.get(key) ?? assert.fail('no such key'));
  const start = value.toString('latin1', 0, 8) === 'k8s:enc:' ? bodyStart(value) : 0;
  const offset = start + (at % (value.length - start));
  switch (fault) {
    case 'flip':
      value[offset] = (value[offset] ?? 0) ^ (1 << (at % 8));
      values.set(key, value);
      break;
    case 'cut':
      values.set(key, value.subarray(0, offset));
      break;
    case 'copy':
      values.set(key, values.get('/registry/secrets/ns0/name0') ?? assert.fail('no such key'));
      break;
    case 'rename':
      values.delete(key);
      values.set(newKey, value);
      break;
    case 'other-prefix':
      values.set(key, Buffer.concat([Buffer.from('k8s:enc:aesgcm:v1:gone:'), value.subarray(start)]));
      break;
  }
  return newKey;
}

for (const provider of names) {
  test(`${provider}: every injected fault is found, and none invented`, async () => {
    const kms = newKms();
    const whole = await sealed(configOf(provider), kms, 12);
    const faults: Fault[] = ['flip', 'cut', 'copy', 'rename', 'other-prefix'];
    // Nothing authenticates plaintext: a flipped bit may make another valid object.
    const possible = provider === 'identity' ? faults.filter((fault) => fault !== 'flip') : faults;
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(
          fc.record({
            i: fc.integer({ min: 1, max: 10 }),
            fault: fc.constantFrom(...possible),
            at: fc.nat(4000),
          }),
          { selector: ({ i }) => i, maxLength: 6 },
        ),
        fc.integer({ min: 1, max: 8 }),
        async (injected, workers) => {
          const values = new Map(whole);
          const expected = new Map(
            injected.map(({ i, fault, at }) => [inject(values, i, fault, at), EXPECTED[fault]]),
          );
          const result = await run(values, configOf(provider), kms, { workers });
          assert.equal(result.checked, 12);
          assert.deepEqual(result.failed.map(({ key }) => key).toSorted(), [...expected.keys()].toSorted());
          for (const { key, cause, message } of result.failed) {
            assert.ok(expected.get(key)?.includes(cause), `${key}: ${cause}: ${message}`);
          }
        },
      ),
      { seed: 20_261_122, numRuns: 60 },
    );
  });
}

test('a static key with another secret is a wrong key, also for a single value', async () => {
  for (const provider of ['aesgcm', 'aescbc', 'secretbox'] as const) {
    for (const count of [1, 5]) {
      const wrong = await configFile(keyed(provider, 2));
      const values = await sealed(configOf(provider), newKms(), count);
      // One value in 256 passes the padding of CBC by chance; what is said of that one is another test's.
      while (await anyOpens(values, wrong))
        for (const [key, value] of await sealed(configOf(provider), newKms(), count)) values.set(key, value);
      const result = await run(values, wrong, newKms());
      assert.deepEqual(causes(result), everyKey(values, 'wrong-key'), provider);
    }
  }
});

test('a KMS that holds another key is a wrong key', async () => {
  for (const provider of ['kms-v1', 'kms-v2'] as const) {
    const values = await sealed(configOf(provider), newKms(), 3);
    const result = await run(values, configOf(provider), createMemoryKms(Buffer.alloc(32, 8)));
    assert.deepEqual(causes(result), everyKey(values, 'wrong-key'), provider);
  }
});

test('one damaged value beside whole ones is not a wrong key', async () => {
  const kms = newKms();
  for (const provider of others) {
    const values = await sealed(configOf(provider), kms, 1);
    const value = Buffer.from(values.get(keyOf(0)) ?? Buffer.alloc(0));
    // In the ciphertext, behind everything a frame reads. Of CBC the block before the last: that changes the padding for certain, not by chance.
    const ends: Partial<Record<typeof provider, number>> = {
      'kms-v2': value.indexOf('key-1') - 4,
      aescbc: value.length - 17,
    };
    const object = ends[provider] ?? value.length - 2;
    value[object] = (value[object] ?? 0) ^ 1;
    values.set(keyOf(0), value);
    const result = await run(values, configOf(provider), kms);
    assert.deepEqual(causes(result), { [keyOf(0)]: 'authentication-failed' }, provider);
  }
});

test('a value from under another prefix of etcd is moved', async () => {
  const kms = newKms();
  for (const provider of ['aesgcm', 'kms-v1', 'kms-v2'] as const) {
    const values = await sealed(configOf(provider), kms, 1);
    const moved = new Map(
      [...values].map(([key, value]) => [key.replace('/registry/', '/clusters/a/'), value]),
    );
    const result = await run(moved, configOf(provider), kms, { prefix: '/clusters/a' });
    assert.deepEqual(causes(result), { '/clusters/a/secrets/ns0/name0': 'moved' });
    assert.match(result.failed[0]?.message ?? '', /\/registry\/secrets\/ns0\/name0/);
  }
});

test('what is not in the configuration is named by its prefix', async () => {
  const values = await sealed(configOf('aesgcm'), newKms(), 1);
  const result = await run(values, configOf('secretbox'), newKms());
  assert.equal(result.failed[0]?.cause, 'provider-missing');
  assert.match(result.failed[0]?.message ?? '', /k8s:enc:aesgcm:v1:key1:/);
  const plain = await sealed(configOf('identity'), newKms(), 1);
  const refused = await run(plain, configOf('secretbox'), newKms());
  assert.equal(refused.failed[0]?.cause, 'provider-missing');
  assert.match(refused.failed[0]?.message ?? '', /plaintext/);
});

test('what the KMS says is told apart by code and words', async () => {
  const cases: readonly (readonly [string, string, string])[] = [
    ['permission_denied', 'AccessDeniedException: no', 'kms-denied'],
    ['unauthenticated', 'the credentials have expired', 'kms-denied'],
    ['failed_precondition', 'DisabledException: The key is disabled; enable it.', 'kms-disabled'],
    ['failed_precondition', 'KMSInvalidStateException: arn is pending deletion.', 'kms-deleted'],
    ['failed_precondition', 'key not in keyring', 'kms-deleted'],
    ['internal', 'failed to decrypt: NotFoundException', 'kms-deleted'],
    ['unavailable', 'nobody listens', 'kms-unreachable'],
    ['deadline_exceeded', 'too slow', 'kms-unreachable'],
    ['internal', 'something', 'kms-failed'],
  ];
  for (const provider of ['kms-v1', 'kms-v2'] as const) {
    const kms = newKms();
    const values = await sealed(configOf(provider), kms, 2);
    for (const [code, message, cause] of cases) {
      kms.failure = kmsApiError(code, message);
      assert.deepEqual(causes(await run(values, configOf(provider), kms)), everyKey(values, cause), message);
    }
  }
});

test('a plugin that does not answer is asked three times, not once per value', async () => {
  const kms = newKms();
  const values = await sealed(configOf('kms-v1'), kms, 20);
  kms.failure = kmsApiError('unavailable', 'nobody listens');
  kms.decryptCalls = 0;
  const result = await run(values, configOf('kms-v1'), kms, { workers: 1 });
  assert.equal(kms.decryptCalls, 3);
  assert.deepEqual(causes(result), everyKey(values, 'kms-unreachable'));
});

test('without all, one value per key or DEK source is opened', async () => {
  const kms = newKms();
  for (const [provider, expected] of [
    ['aesgcm', 1],
    ['aescbc', 1],
    ['secretbox', 1],
    ['kms-v2', 1],
    ['kms-v1', 12],
    ['identity', 1],
  ] as const) {
    const values = await sealed(configOf(provider), kms, 12);
    const result = await run(values, configOf(provider), kms, { all: false });
    assert.deepEqual([result.checked, result.seen, result.failed.length], [expected, 12, 0], provider);
  }
  const twoSources = new Map(await sealed(configOf('kms-v2'), kms, 5));
  for (const [key, value] of await sealed(configOf('kms-v2'), kms, 9)) {
    if (!twoSources.has(key)) twoSources.set(key, value);
  }
  assert.equal((await run(twoSources, configOf('kms-v2'), kms, { all: false })).checked, 2);
});

test('a sample that fails is followed by others, which tell a wrong key from damage', async () => {
  const values = await sealed(configOf('aesgcm'), newKms(), 12);
  const wrong = await run(values, await configFile(keyed('aesgcm', 2)), newKms(), { all: false });
  assert.equal(wrong.checked, 4);
  assert.deepEqual([...new Set(Object.values(causes(wrong)))], ['wrong-key']);
  values.set(keyOf(0), (values.get(keyOf(0)) ?? Buffer.alloc(0)).subarray(0, -3));
  const damaged = await run(values, configOf('aesgcm'), newKms(), { all: false });
  assert.equal(damaged.checked, 2);
  assert.deepEqual(causes(damaged), { [keyOf(0)]: 'truncated' });
});

test('protobuf objects are compared with their key; decoding is the caller’s', async () => {
  const field = (number: number, bytes: Buffer): Buffer =>
    Buffer.concat([Buffer.of((number << 3) | 2, bytes.length), bytes]);
  const protobuf = (namespace: string, name: string): Buffer =>
    Buffer.concat([
      Buffer.from('k8s\0'),
      field(1, Buffer.concat([field(1, Buffer.from('v1')), field(2, Buffer.from('Secret'))])),
      field(2, field(1, Buffer.concat([field(1, Buffer.from(name)), field(3, Buffer.from(namespace))]))),
    ]);
  const values = new Map([
    ['/registry/secrets/a/one', protobuf('a', 'one')],
    ['/registry/secrets/a/two', protobuf('a', 'one')],
    ['/registry/secrets/a/three', protobuf('a', 'three').subarray(0, -2)],
    ['/registry/configmaps/a/four', protobuf('a', 'four')],
  ]);
  assert.deepEqual(causes(await run(values, configOf('identity'), newKms())), {
    '/registry/secrets/a/two': 'moved',
    '/registry/secrets/a/three': 'truncated',
    '/registry/configmaps/a/four': 'malformed',
  });
  const decode = (data: Buffer): void => {
    assert.ok(data.includes('two'), 'field data is not a map');
  };
  const decoded = await run(new Map([...values].slice(0, 1)), configOf('identity'), newKms(), { decode });
  assert.match(decoded.failed[0]?.message ?? '', /does not decode: field data is not a map/);
});

test('values that hold no Kubernetes objects are read like any others; decoding is asked for', async () => {
  const kms = newKms();
  const contents = [Buffer.of(1), Buffer.from('hello'), Buffer.alloc(21, 0xfe), Buffer.alloc(4096, 7)];
  for (const provider of names) {
    const values = await sealed(configOf(provider), kms, contents);
    assert.deepEqual(causes(await run(values, configOf(provider), kms)), {}, provider);
    const decoded = await run(values, configOf(provider), kms, { decode: decodeStoredObject });
    assert.deepEqual(causes(decoded), everyKey(values, 'malformed'), provider);
    const beside = await sealed(configOf(provider), kms, 5);
    const mixed = new Map([...beside, ...values]);
    // Among objects, what no tag covers and is none was damaged.
    const found = provider === 'aescbc' || provider === 'identity' ? everyKey(values, 'malformed') : {};
    assert.deepEqual(causes(await run(mixed, configOf(provider), kms)), found, provider);
  }
});

test('among values that hold no objects a damaged one is found, and no other key is blamed', async () => {
  const kms = newKms();
  const contents = Array.from({ length: 9 }, (_, i) => Buffer.alloc(20 + i, 0xf0 + i));
  for (const provider of others) {
    const values = await sealed(configOf(provider), kms, contents);
    const whole = values.get(keyOf(4)) ?? assert.fail();
    values.set(keyOf(4), whole.subarray(0, -1));
    assert.deepEqual(Object.keys(causes(await run(values, configOf(provider), kms))), [keyOf(4)], provider);
  }
  const plain = await sealed(configOf('identity'), kms, contents);
  const seal = await sealed(configOf('secretbox'), kms, contents);
  for (const [i, prefix] of ['', 'k8s:en', 'k9s:enc:secretbox:v1:key1:'].entries())
    plain.set(keyOf(i), Buffer.from(prefix));
  const result = await run(
    new Map([...seal, ...plain]),
    await configFile(PROVIDERS.identity, PROVIDERS.secretbox),
    kms,
  );
  assert.deepEqual(Object.keys(causes(result)), [keyOf(0), keyOf(1), keyOf(2)]);
});

test('a value that holds no object is moved where the same bytes lie, or where another one failed', async () => {
  const kms = newKms();
  const contents = [1, 2, 3, 4].map((fill) => Buffer.alloc(21, fill));
  for (const provider of ['aesgcm', 'kms-v1', 'kms-v2'] as const) {
    const whole = await sealed(configOf(provider), kms, contents);
    const at = (i: number): Buffer => whole.get(keyOf(i)) ?? assert.fail();
    const copied = new Map([...whole, [keyOf(9), at(0)]]);
    const copy = await run(copied, configOf(provider), kms);
    assert.deepEqual(causes(copy), { [keyOf(9)]: 'moved' }, provider);
    assert.match(copy.failed[0]?.message ?? '', /\/registry\/secrets\/ns0\/name0/);
    const swapped = new Map([...whole, [keyOf(1), at(2)], [keyOf(2), at(1)]] as const);
    const swap = await run(swapped, configOf(provider), kms);
    assert.deepEqual(causes(swap), { [keyOf(1)]: 'moved', [keyOf(2)]: 'moved' }, provider);
  }
});

test('an object that is cut is told from one whose bytes were changed', async () => {
  const kms = newKms();
  for (const provider of names) {
    const [key = '', value = Buffer.alloc(0)] = [...(await sealed(configOf(provider), kms, 1))][0] ?? [];
    const cuts = [3, 16, 32, 40].map((bytes) => value.subarray(0, -bytes));
    for (const cut of cuts) {
      const result = await run(new Map([[key, cut]]), configOf(provider), kms);
      assert.deepEqual(causes(result), { [key]: 'truncated' }, `${provider}, ${value.length - cut.length}`);
    }
  }
});

test('a full decoding finds fields of a wrong type, and leaves what it does not know', () => {
  const json = (value: object): Buffer => Buffer.from(JSON.stringify(value));
  const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'a' } };
  decodeStoredObject(json({ ...secret, data: { a: 'YQ==' }, fieldOfTomorrow: 1 }));
  decodeStoredObject(json({ apiVersion: 'example.com/v1', kind: 'Widget', spec: { data: 7 } }));
  for (const wrong of [{ data: 7 }, { data: { a: 'not base64!' } }, { metadata: { name: 5 } }])
    assert.throws(() => decodeStoredObject(json({ ...secret, ...wrong })), { name: 'DecodeError' });
  assert.throws(() => decodeStoredObject(Buffer.from('k8s\0\x0a')), { name: 'DecodeError' });
  assert.throws(() => decodeStoredObject(Buffer.from('{"kind":')), { name: 'DecodeError' });
});

test('keys that name no object, and values outside the prefix, are left alone', async () => {
  const values = new Map([
    ['compact_rev_key', Buffer.from('17')],
    ['/registry/health', Buffer.from('x')],
    ['/other/secrets/a/b', Buffer.from('x')],
  ]);
  const result = await run(values, configOf('aesgcm'), newKms());
  assert.deepEqual([result.checked, result.failed], [0, []]);
});

test('it can be stopped, says how far it is, and refuses a configuration that is none', async () => {
  const values = await sealed(configOf('secretbox'), newKms(), 3);
  const progress: unknown[] = [];
  await run(values, configOf('secretbox'), newKms(), { onProgress: (p) => progress.push(p) });
  assert.deepEqual(progress.at(-1), { seen: 3, total: 0, checked: 3, failed: 0 });
  await assert.rejects(run(values, configOf('secretbox'), newKms(), { signal: AbortSignal.abort() }), {
    code: 'interrupted',
  });
  await assert.rejects(run(values, join(folder, 'absent.yaml'), newKms()), { code: 'config-invalid' });
  const broken = join(folder, 'broken.yaml');
  await writeFile(broken, 'kind: Nothing');
  await assert.rejects(run(values, broken, newKms()), { code: 'config-invalid' });
});
