/**
 * Goal: what lies in storage is served with its resourceVersion and nothing else changed, whoever wrote it.
 * Method: the reference's stored objects; random objects (printed seed); every prefix of a stored value.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import type { KubeObject } from '@waxseal/api-types';
import { configMaps } from '../registry/config-maps.js';
import { registry } from '../registry/registry.js';
import { secrets } from '../registry/secrets.js';
import type { ResourceDefinition } from '../registry/resource.js';
import { transformerOf } from '../rest/testing/encryption.js';
import { createHarness } from '../rest/testing/harness.js';
import { decodeStored, encodeStored, serveStored } from './stored-object.js';

interface StoredVector {
  readonly kind: string;
  readonly storedProtobufBase64: string;
  readonly json: KubeObject;
}

const vectors = JSON.parse(
  readFileSync(new URL('../../../../test/vectors/stored-protobuf.json', import.meta.url), 'utf8'),
) as readonly StoredVector[];

function resourceOf(kind: string): ResourceDefinition {
  const entry = registry.find(({ definition }) => definition.kind === kind);
  assert.ok(entry, `no resource of kind ${kind}`);
  return entry.definition;
}

describe('the reference’s stored protobuf', () => {
  for (const { kind, storedProtobufBase64, json } of vectors) {
    test(`${kind} is served as its JSON`, () => {
      const stored = Buffer.from(storedProtobufBase64, 'base64');
      const served = JSON.parse(serveStored(resourceOf(kind), stored, 42).toString()) as KubeObject;
      assert.equal(served.metadata.resourceVersion, '42');
      delete served.metadata.resourceVersion;
      assert.deepEqual(served, json);
    });

    test(`${kind} is read from storage, listed and watched`, async () => {
      const h = await createHarness();
      const { definition } = registry.find((entry) => entry.definition.kind === kind) as (typeof registry)[0];
      const { name = '', namespace = '' } = json.metadata;
      const key = `${definition.storagePrefix}/${definition.namespaced ? `${namespace}/` : ''}${name}`;
      const { revision } = await h.store.txn({
        compare: [],
        success: [{ kind: 'put', key: Buffer.from(key), value: Buffer.from(storedProtobufBase64, 'base64') }],
        failure: [],
      });
      const expected = { ...json, metadata: { ...json.metadata, resourceVersion: String(revision) } };
      assert.deepEqual(await h.get(definition.resource, namespace, name), expected);
      const listed = await h.list(definition.resource, namespace, { labelSelector: 'a=b' });
      assert.deepEqual(listed.items, [expected]);
      const watch = await h.watch(definition.resource, namespace, {
        resourceVersion: String(revision - 1),
        labelSelector: 'a=b',
      });
      const [event] = await watch.take(1);
      assert.deepEqual(event?.object, expected);
      watch.stop();
      await h.close();
    });
  }
});

describe('our JSON', () => {
  test('property: serving adds the resourceVersion and nothing else', () => {
    const seed = 42;
    console.log(`seed ${seed}`);
    const text = fc.string({ maxLength: 12, unit: 'grapheme' });
    const object = fc.record({
      metadata: fc.record(
        { name: text, labels: fc.dictionary(text, text), annotations: fc.dictionary(text, text) },
        { requiredKeys: [] },
      ),
      data: fc.dictionary(fc.oneof(text, fc.constant('resourceVersion')), text),
    });
    fc.assert(
      fc.property(object, fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }), (given, revision) => {
        const whole = { kind: 'ConfigMap', apiVersion: 'v1', ...given } as unknown as KubeObject;
        const stored = encodeStored(configMaps.definition, whole);
        const expected = JSON.parse(JSON.stringify(whole)) as KubeObject;
        expected.metadata.resourceVersion = String(revision);
        const served = JSON.parse(serveStored(configMaps.definition, stored, revision).toString()) as unknown;
        assert.deepEqual(served, expected);
      }),
      { seed, numRuns: 300 },
    );
  });

  test('a newline at the end, as Go writes it, and a resourceVersion within do no harm', () => {
    const line = '{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a"}}\n';
    assert.equal(
      serveStored(configMaps.definition, Buffer.from(line), 7).toString(),
      '{"kind":"ConfigMap","apiVersion":"v1","metadata":{"resourceVersion":"7","name":"a"}}',
    );
    const versioned = '{"kind":"Secret","apiVersion":"v1","metadata":{"name":"a","resourceVersion":"3"}}';
    const served = JSON.parse(
      serveStored(secrets.definition, Buffer.from(versioned), 7).toString(),
    ) as KubeObject;
    assert.equal(served.metadata.resourceVersion, '7');
  });

  test('every prefix of a stored value is an error that does not quote it', () => {
    const whole = encodeStored(secrets.definition, {
      kind: 'Secret',
      apiVersion: 'v1',
      metadata: { name: 'PLANTED' },
      data: { PLANTED: 'UExBTlRFRA==' },
    });
    for (let length = 0; length < whole.length; length++) {
      assert.throws(
        () => decodeStored(secrets.definition, whole.subarray(0, length)),
        (error: Error) => !error.message.includes('PLANTED'),
      );
    }
  });

  test('an object of another kind under the key is refused', () => {
    const stored = encodeStored(configMaps.definition, {
      kind: 'ConfigMap',
      apiVersion: 'v1',
      metadata: { name: 'a' },
    });
    assert.throws(
      () => decodeStored(secrets.definition, stored),
      /the stored object is a v1 ConfigMap, expected a v1 Secret/,
    );
  });
});

describe('a Secret whose writer gave it no type', () => {
  const head = '{"kind":"Secret","apiVersion":"v1","metadata":{"name":"a","namespace":"default"';
  const untyped = [
    `${head}}}`,
    `${head}},"type":""}`,
    `${head}},"type":null}`,
    `${head},"annotations":{"type":"mine"}}}`,
    `${head}},"data":{"type":"bWluZQ=="}}`,
    `${head},"labels":{"type":"mine"}},"immutable":true}\n`,
  ];

  test('is served and decoded as Opaque, and keeps the rest', () => {
    for (const stored of untyped) {
      const expected = { ...(JSON.parse(stored) as KubeObject), type: 'Opaque' };
      assert.deepEqual(decodeStored(secrets.definition, Buffer.from(stored)), expected);
      expected.metadata.resourceVersion = '7';
      const served = serveStored(secrets.definition, Buffer.from(stored), 7).toString();
      assert.deepEqual(JSON.parse(served), expected, stored);
    }
  });

  test('is read, listed, selected and watched as Opaque', async () => {
    const h = await createHarness();
    const key = Buffer.from('/registry/secrets/default/a');
    const value = Buffer.from(untyped[0] as string);
    const { revision } = await h.store.txn({
      compare: [],
      success: [{ kind: 'put', key, value }],
      failure: [],
    });
    assert.equal((await h.get('secrets', 'default', 'a'))['type'], 'Opaque');
    for (const fieldSelector of ['', 'type=Opaque']) {
      const { items } = await h.list('secrets', 'default', { fieldSelector });
      assert.deepEqual(
        items.map((item) => item['type']),
        ['Opaque'],
      );
    }
    const watch = await h.watch('secrets', 'default', { resourceVersion: String(revision - 1) });
    const [event] = await watch.take(1);
    assert.equal(event?.object['type'], 'Opaque');
    watch.stop();
    await h.close();
  });

  test('what is written here is known to have one without being parsed', async () => {
    const h = await createHarness();
    const key = '/registry/secrets/default/typed';
    const checkPresent = async (): Promise<void> => {
      const stored = await h.stored(key);
      const { data } = await transformerOf('first').transformFromStorage(stored as Buffer, Buffer.from(key));
      assert.equal(secrets.definition.storedDefaults?.present(data), true, data.toString());
    };
    const object = { metadata: { name: 'typed' }, type: 'mine', data: { a: 'YQ==' }, immutable: false };
    const created = await h.create('secrets', 'default', object);
    await checkPresent();
    await h.patch('secrets', 'default', 'typed', 'merge', { data: { b: 'Yg==' } });
    await checkPresent();
    delete created.metadata.resourceVersion;
    await h.update('secrets', 'default', { ...created, stringData: { c: 'd' } });
    await checkPresent();
    await h.close();
  });
});
