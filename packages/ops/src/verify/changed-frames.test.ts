/**
 * Goal: what was changed beside a wrapped DEK is found although nothing authenticates it, and what was written so is not.
 * Method: values of one DEK source as an API server writes them, and copies with another keyID or other annotations.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createEncryptionAtRest, type KmsConnectors } from '@waxseal/encryption-config';
import { decodeEncryptedObject, encodeEncryptedObject } from '@waxseal/envelope';
import { describeStoredValue } from '../stored-value.js';
import { createMemoryKms } from '../testing/memory-kms.js';
import { memorySource } from '../testing/memory-source.js';
import { createChangedFrames } from './changed-frames.js';
import { bodyOf } from './prefix-damage.js';
import { verify } from './verify.js';

interface Words {
  readonly keyId?: string;
  readonly dek?: string;
  readonly annotations?: Readonly<Record<string, Buffer>>;
}

const annotations = { 'a.example.com': Buffer.from('1'), 'b.example.com': Buffer.from('2') };

function value({ keyId = 'key-1', dek = 'wrapped', annotations: beside = annotations }: Words = {}): Buffer {
  const body = encodeEncryptedObject({
    encryptedData: Buffer.from('ciphertext'),
    keyId,
    encryptedDekSource: Buffer.from(dek),
    encryptedDekSourceType: 1,
    annotations: { ...beside },
  });
  return Buffer.concat([Buffer.from('k8s:enc:kms:v2:vault:'), body]);
}

function changedOf(values: readonly Buffer[]): readonly (readonly [number, string])[] {
  const frames = createChangedFrames();
  for (const [order, stored] of values.entries()) {
    frames.seen(
      { key: `/registry/secrets/n/${order}`, kind: describeStoredValue(stored), group: '', order },
      stored,
    );
  }
  return frames.changed().map(({ order, message }) => [order, message]);
}

test('another keyID, or other annotations, than all others of the wrapped DEK are a change, wherever they stand', () => {
  const other = value({ keyId: 'kez-1' });
  const noted = value({ annotations: { ...annotations, 'b.example.com': Buffer.from('3') } });
  const found = changedOf([other, value(), value(), noted, value(), Buffer.from('plain'), other]);
  assert.deepEqual(
    found.map(([order]) => order).toSorted((a, b) => a - b),
    [0, 3, 6],
  );
  const message = (order: number): string => found.find(([at]) => at === order)?.[1] ?? '';
  assert.match(
    message(0),
    /^its keyID "kez-1" is not that of the 3 other values .* waxseal rewrap writes it anew$/,
  );
  assert.match(message(3), /^its annotations are not those of the 3 other values/);
});

test('what was written so is no change: annotations in another order, another DEK, a tie, and what many have in common', () => {
  const turned = Object.fromEntries(Object.entries(annotations).toReversed());
  assert.deepEqual(changedOf([value(), value(), value({ annotations: turned })]), []);
  assert.deepEqual(changedOf([value(), value(), value({ keyId: 'key-2', dek: 'other' })]), []);
  assert.deepEqual(changedOf([value(), value({ keyId: 'key-2' })]), []);
  const many = Array.from({ length: 20 }, () => value({ keyId: 'key-2' }));
  assert.deepEqual(changedOf([...many, ...many, ...many.map(() => value())]), []);
});

test('however many keyIDs somebody makes up, no more are kept than can be told', () => {
  const own = Array.from({ length: 1_200 }, (_, index) => value({ keyId: `made-up-${index}` }));
  // Go writes them in any order, which makes no other frame.
  const turned = value({ annotations: Object.fromEntries(Object.entries(annotations).toReversed()) });
  const found = changedOf([value(), ...Array.from({ length: 1_100 }, () => turned), ...own, value()]);
  assert.equal(found.length, 1_000);
  assert.match(found[0]?.[1] ?? '', /of the 1102 other values/);
});

test('verify finds a changed keyID that the KMS does not look at, with one value per DEK source and with all', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'waxseal-frames-'));
  t.after(() => rm(folder, { recursive: true }));
  const file = join(folder, 'config.yaml');
  await writeFile(
    file,
    'kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources: [{resources: [secrets], providers: [{kms: {apiVersion: v2, name: vault, endpoint: "unix:///kms.sock"}}]}]\n',
  );
  const kms = createMemoryKms(Buffer.alloc(32, 7));
  const encryption = await createEncryptionAtRest({ file, kmsV1Enabled: false, connectors: kms.connectors });
  const transformer = encryption.transformerFor({ group: '', resource: 'secrets' });
  const entries = await Promise.all(
    ['a', 'b', 'c', 'd'].map(async (name) => {
      const key = `/registry/secrets/default/${name}`;
      const object = { kind: 'Secret', apiVersion: 'v1', metadata: { name, namespace: 'default' } };
      const sealed = transformer.transformToStorage(Buffer.from(JSON.stringify(object)), Buffer.from(key));
      return { key, value: await sealed, modRevision: 2 };
    }),
  );
  await encryption.close();
  const changed = entries.map((entry, index) => {
    if (index !== 2) return entry;
    const body = bodyOf(entry.value);
    const object = decodeEncryptedObject(body);
    const other = encodeEncryptedObject({ ...object, keyId: `${object.keyId.slice(0, -1)}~` });
    return { ...entry, value: Buffer.concat([entry.value.subarray(0, -body.length), other]) };
  });
  const connectors: KmsConnectors = {
    ...kms.connectors,
    connectKmsV2: (options) => {
      const client = kms.connectors.connectKmsV2(options);
      return { ...client, decrypt: (uid, request) => client.decrypt(uid, { ...request, keyId: kms.keyId }) };
    },
  };
  for (const all of [false, true]) {
    const { failed } = await verify({
      source: memorySource('memory', changed),
      encryptionConfigFile: file,
      all,
      connectors,
    });
    assert.deepEqual(
      failed.map(({ key, cause }) => [key, cause]),
      [['/registry/secrets/default/c', 'authentication-failed']],
    );
  }
});
