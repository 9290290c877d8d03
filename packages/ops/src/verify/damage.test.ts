/**
 * Goal: whatever bit of a stored value is flipped, wherever it is cut, verify finds it, says something that fits, and says nothing of the
 * values beside it. Method: for every provider as many secrets as a value has bits, sealed by the real transformers, each with another bit
 * flipped (and as many as it has bytes, each cut elsewhere), between whole ones, in one run with --all.
 */
import assert from 'node:assert/strict';
import { createDecipheriv } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createEncryptionAtRest } from '@waxseal/encryption-config';
import * as fc from 'fast-check';
import { createMemoryKms, kmsApiError, type MemoryKms } from '../testing/memory-kms.js';
import { memorySource } from '../testing/memory-source.js';
import type { VerifyCause } from './causes.js';
import { bodyOf } from './prefix-damage.js';
import { verify, type VerifyResult } from './verify.js';

const folder = await mkdtemp(join(tmpdir(), 'waxseal-damage-'));
after(() => rm(folder, { recursive: true }));

const SECRET = Buffer.alloc(32, 1);
const keyed = (provider: string): string =>
  JSON.stringify({ [provider]: { keys: [{ name: 'key1', secret: SECRET.toString('base64') }] } });
const kms = (apiVersion: string): string =>
  JSON.stringify({ kms: { apiVersion, name: 'vault', endpoint: 'unix:///run/kms.sock' } });
const PROVIDERS = {
  identity: '{"identity": {}}',
  aescbc: keyed('aescbc'),
  aesgcm: keyed('aesgcm'),
  secretbox: keyed('secretbox'),
  'kms-v1': kms('v1'),
  'kms-v2': kms('v2'),
} as const;
type Provider = keyof typeof PROVIDERS;
const providers = Object.keys(PROVIDERS) as readonly Provider[];
/** With a tag over everything behind the prefix. */
const authenticated = ['aesgcm', 'secretbox', 'kms-v1', 'kms-v2'] as const;

const newKms = (): MemoryKms => {
  const made = createMemoryKms(Buffer.alloc(32, 7));
  made.annotations = { 'version.kms.example.com': Buffer.from('3') };
  return made;
};

const fileOf = (provider: Provider): string => join(folder, `${provider}.yaml`);
for (const provider of providers) {
  await writeFile(
    fileOf(provider),
    `kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources: [{resources: [secrets], providers: [${PROVIDERS[provider]}]}]\n`,
  );
}

const nameOf = (i: number): string => `name${String(i).padStart(5, '0')}`;
const keyOf = (i: number): string => `/registry/secrets/default/${nameOf(i)}`;

const field = (number: number, bytes: Buffer): Buffer =>
  Buffer.concat([Buffer.of((number << 3) | 2, bytes.length), bytes]);
const text = (number: number, value: string): Buffer => field(number, Buffer.from(value));
/** As kube-apiserver stores a Secret. */
const protobufSecret = (i: number): Buffer => {
  const meta = field(1, Buffer.concat([text(1, nameOf(i)), text(3, 'default')]));
  return Buffer.concat([
    Buffer.from('k8s\0'),
    field(1, Buffer.concat([text(1, 'v1'), text(2, 'Secret')])),
    field(2, Buffer.concat([meta, field(2, Buffer.concat([text(1, 'a'), text(2, 'value')]))])),
  ]);
};
const jsonSecret = (i: number): Buffer =>
  Buffer.from(
    `{"kind":"Secret","apiVersion":"v1","metadata":{"name":"${nameOf(i)}","namespace":"default"},"data":{"a":"dmFsdWU="}}`,
  );
const FORMS = { json: jsonSecret, protobuf: protobufSecret } as const;
type Form = keyof typeof FORMS;

async function seal(provider: Provider, form: Form, memoryKms: MemoryKms, count: number): Promise<Buffer[]> {
  const encryption = await createEncryptionAtRest({
    file: fileOf(provider),
    kmsV1Enabled: true,
    connectors: memoryKms.connectors,
  });
  const transformer = encryption.transformerFor({ group: '', resource: 'secrets' });
  const values: Buffer[] = [];
  for (let i = 0; i < count; i++) {
    const sealed = await transformer.transformToStorage(FORMS[form](i), Buffer.from(keyOf(i)));
    values.push(Buffer.from(sealed));
  }
  await encryption.close();
  return values;
}

const check = (provider: Provider, memoryKms: MemoryKms, values: readonly Buffer[]): Promise<VerifyResult> =>
  verify({
    source: memorySource(
      'memory',
      values.map((value, i) => ({ key: keyOf(i), value, modRevision: i + 2 })),
    ),
    encryptionConfigFile: fileOf(provider),
    connectors: memoryKms.connectors,
    all: true,
  });

const found = (result: VerifyResult): readonly string[] => result.failed.map(({ key }) => key);
const damageCauses: readonly VerifyCause[] = [
  'authentication-failed',
  'truncated',
  'malformed',
  'provider-missing',
];
/** A wrapped DEK of KMS v1 says nothing of its key, so that a changed one is like one of another key. */
const causesOf = (provider: Provider): ReadonlySet<VerifyCause> =>
  new Set<VerifyCause>(provider === 'kms-v1' ? [...damageCauses, 'wrong-key'] : damageCauses);

/** Whole ones stand first, between and last. */
const isWhole = (i: number): boolean => i % 50 === 0;
const flip = (value: Buffer, bit: number): Buffer => {
  const changed = Buffer.from(value);
  changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  return changed;
};

/** All bits of what can be parsed; one of each byte of a ciphertext under a tag, whose bits are all alike. */
function bitsOf(provider: Provider, value: Buffer): readonly number[] {
  const body = value.length - bodyOf(value).length;
  const ciphertext = {
    identity: [0, 0],
    aescbc: [0, 0],
    aesgcm: [body, value.length],
    secretbox: [body, value.length],
    // Behind the length of the wrapped DEK; before the keyID.
    'kms-v1': [body + 2, value.length],
    'kms-v2': [body + 4, value.indexOf('key-1') - 4],
  }[provider];
  const [start = 0, end = 0] = ciphertext;
  return [...value.keys()].flatMap((at) =>
    at >= start && at < end ? [at * 8 + ((at * 3) % 8)] : [0, 1, 2, 3, 4, 5, 6, 7].map((bit) => at * 8 + bit),
  );
}

/** Each of these bits in a value of its own, with whole ones between. */
async function flipEvery(provider: Provider, form: Form, memoryKms: MemoryKms) {
  const [one = Buffer.alloc(0)] = await seal(provider, form, memoryKms, 1);
  const bits = bitsOf(provider, one);
  const whole = await seal(provider, form, memoryKms, bits.length + Math.ceil(bits.length / 49) + 1);
  let next = 0;
  const flipped = new Map<string, number>();
  const values = whole.map((value, i) => {
    const bit = isWhole(i) ? undefined : bits[next++];
    if (bit === undefined) return value;
    flipped.set(keyOf(i), bit);
    return flip(value, bit);
  });
  assert.equal(flipped.size, bits.length);
  return { values, flipped, result: await check(provider, memoryKms, values) };
}

for (const provider of authenticated) {
  test(`${provider}: every flipped bit is found, none is invented`, async () => {
    const { flipped, result } = await flipEvery(provider, 'json', newKms());
    assert.deepEqual(found(result), [...flipped.keys()]);
    const allowed = causesOf(provider);
    const strange = result.failed.filter(({ cause }) => !allowed.has(cause));
    assert.deepEqual(strange, []);
  });
}

/** What a reader without a tag cannot see: the object is whole, and says that it is the one of its key. */
function isStillItself(opened: Buffer, key: string): boolean {
  if (opened.subarray(0, 4).toString('latin1') === 'k8s\0') {
    const [, name = ''] = /\/default\/(.*)/.exec(key) ?? [];
    return (
      opened.includes(text(1, name)) &&
      opened.includes(text(3, 'default')) &&
      opened.includes(text(2, 'Secret'))
    );
  }
  const { kind, metadata } = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(opened)) as {
    kind: string;
    metadata: { name: string; namespace: string };
  };
  return kind === 'Secret' && key === `/registry/secrets/${metadata.namespace}/${metadata.name}`;
}

function open(provider: 'identity' | 'aescbc', value: Buffer): Buffer {
  if (provider === 'identity') return value;
  const body = bodyOf(value);
  const cipher = createDecipheriv('aes-256-cbc', SECRET, body.subarray(0, 16));
  return Buffer.concat([cipher.update(body.subarray(16)), cipher.final()]);
}

for (const provider of ['identity', 'aescbc'] as const) {
  for (const form of ['json', 'protobuf'] as const) {
    test(`${provider}, ${form}: a flipped bit is found but inside strings of the object; none is invented`, async () => {
      const { values, flipped, result } = await flipEvery(provider, form, newKms());
      const seen = new Set(found(result));
      assert.deepEqual(
        [...seen].filter((key) => !flipped.has(key)),
        [],
      );
      const unseen = values
        .map((value, i) => ({ key: keyOf(i), value }))
        .filter(({ key }) => flipped.has(key) && !seen.has(key));
      for (const { key, value } of unseen) assert.ok(isStillItself(open(provider, value), key), key);
      const share = unseen.length / flipped.size;
      assert.ok(share < 0.4, `${unseen.length} of ${flipped.size} flips are not seen`);
      const allowed = new Set<VerifyCause>([...damageCauses, 'moved', 'wrong-key']);
      const strange = result.failed.filter(({ cause }) => !allowed.has(cause));
      assert.deepEqual(strange, []);
    });
  }
}

for (const provider of providers) {
  test(`${provider}: a value cut at any length, down to nothing, is found, none is invented`, async () => {
    const memoryKms = newKms();
    const [one] = await seal(provider, 'json', memoryKms, 1);
    const lengths = one?.length ?? 0;
    const whole = await seal(provider, 'json', memoryKms, lengths + Math.ceil(lengths / 49) + 1);
    let length = 0;
    const cut = new Map<string, number>();
    const values = whole.map((value, i) => {
      if (isWhole(i) || length >= lengths) return value;
      cut.set(keyOf(i), length);
      return value.subarray(0, length++);
    });
    const result = await check(provider, memoryKms, values);
    assert.deepEqual(found(result), [...cut.keys()]);
    const allowed = causesOf(provider);
    const strange = result.failed.filter(({ cause }) => !allowed.has(cause) || cause === 'provider-missing');
    assert.deepEqual(strange, []);
    const [empty] = result.failed;
    assert.equal(empty?.cause, provider === 'identity' ? 'malformed' : 'truncated');
  });

  test(`${provider}: two values that changed places are both found as moved, none is invented`, async () => {
    const memoryKms = newKms();
    const whole = await seal(provider, 'json', memoryKms, 12);
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(fc.nat(11), { minLength: 2, maxLength: 2 }), async ([a = 0, b = 0]) => {
        const values = [...whole];
        [values[a], values[b]] = [whole[b] ?? assert.fail(), whole[a] ?? assert.fail()];
        const { failed } = await check(provider, memoryKms, values);
        const causes = failed.map(({ key, cause }) => [key, cause]);
        assert.deepEqual(
          causes,
          [a, b].toSorted((x, y) => x - y).map((i) => [keyOf(i), 'moved']),
        );
      }),
      { seed: 20_261_122, numRuns: 10 },
    );
  });
}

/** What plugins say to a DEK source whose bytes were changed: to them it is another key. */
const REFUSALS: readonly (readonly [string, string])[] = [
  ['invalid_argument', 'the ciphertext is damaged or was made by another key'],
  ['failed_precondition', 'key not in keyring'],
  ['internal', 'failed to decrypt: NotFoundException: Invalid keyId'],
  [
    'permission_denied',
    'AccessDeniedException: The ciphertext refers to a customer master key that does not exist',
  ],
  ['failed_precondition', 'DisabledException: key is disabled'],
  ['internal', 'something'],
];

/** Where the bytes of a field lie in a KMS v2 value. */
const regions = {
  keyId: (value: Buffer) => [value.indexOf('key-1'), 5] as const,
  dekSource: (value: Buffer) => [value.indexOf('key-1') + 7, 60] as const,
  annotation: (value: Buffer) =>
    [value.indexOf('version.kms') + 'version.kms.example.com'.length + 2, 1] as const,
};

test('kms-v2: a bit flipped in keyID, wrapped DEK or annotations is damage, whatever the plugin calls it', async () => {
  const memoryKms = newKms();
  // Two DEK sources under one keyID; values 0, 1 and 6 to 9 stay whole.
  const older = await seal('kms-v2', 'json', memoryKms, 10);
  const newer = await seal('kms-v2', 'json', memoryKms, 10);
  const whole = older.map((value, i) => (i < 5 ? value : (newer[i] ?? value)));
  for (const [code, words] of REFUSALS) {
    memoryKms.refusal = kmsApiError(code, words);
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('keyId', 'dekSource', 'annotation'),
        fc.nat(),
        fc.constantFrom(0, 2, 5, 9),
        async (region, at, i) => {
          const value = whole[i] ?? assert.fail();
          const [start, bytes] = regions[region](value);
          const values = whole.with(i, flip(value, start * 8 + (at % (bytes * 8))));
          const { failed } = await check('kms-v2', memoryKms, values);
          assert.deepEqual(
            failed.map(({ key, cause }) => [key, cause]),
            [[keyOf(i), 'authentication-failed']],
          );
          assert.ok(failed[0]?.message.includes(words), failed[0]?.message);
        },
      ),
      { seed: 20_261_122, numRuns: 25 },
    );
  }
});

test('kms-v2: a DEK source that several values share and the KMS refuses is the key, not damage', async () => {
  const gone = newKms();
  const old = await seal('kms-v2', 'json', gone, 6);
  const kept = createMemoryKms(Buffer.alloc(32, 9));
  const current = await seal('kms-v2', 'json', kept, 6);
  kept.refusal = kmsApiError('failed_precondition', 'key not in keyring');
  const values = current.map((value, i) => (i % 2 === 0 ? value : (old[i] ?? value)));
  const { failed } = await check('kms-v2', kept, values);
  assert.deepEqual(
    failed.map(({ key, cause }) => [key, cause]),
    [1, 3, 5].map((i) => [keyOf(i), 'kms-deleted']),
  );
});
