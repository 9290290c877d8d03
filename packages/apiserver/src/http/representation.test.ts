import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { decodeKubeProtobuf, type KubeObject } from '@waxseal/api-types';
import { startTestServer } from './testing/test-server.js';
import type { TestServer } from './testing/test-server.js';

let server: TestServer;
before(async () => {
  server = await startTestServer();
});
after(() => server.close());
beforeEach(() => {
  server.rest.objects.clear();
  server.rest.override = undefined;
  server.healthChecks = [];
});

const SECRETS = '/api/v1/namespaces/default/secrets';

function secret(name: string, more: Record<string, unknown> = {}): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name },
    type: 'Opaque',
    data: { k: 'djE=' },
    ...more,
  };
}

function put(object: KubeObject): void {
  server.rest.objects.set(`secrets/default/${object.metadata.name ?? ''}`, object);
}

describe('representations', () => {
  test('Table for kubectl get, of a list and of one object', async () => {
    put(secret('a', { metadata: { name: 'a', resourceVersion: '3' } }));
    const accept = 'application/json;as=Table;v=v1;g=meta.k8s.io';
    for (const path of [SECRETS, `${SECRETS}/a`]) {
      const table = (await server.fetch(path, { headers: { accept } })).json();
      assert.equal(table['kind'], 'Table');
      assert.equal(table['apiVersion'], 'meta.k8s.io/v1');
      const columns = table['columnDefinitions'] as { name: string; format: string }[];
      assert.deepEqual(columns.map(({ name }) => name).slice(0, 4), ['Name', 'Type', 'Data', 'Age']);
      const [row] = table['rows'] as { cells: unknown[]; object: Record<string, unknown> }[];
      assert.deepEqual(row?.cells.slice(0, 3), ['a', 'Opaque', 1]);
      assert.equal(row?.object['kind'], 'PartialObjectMetadata');
      assert.equal('data' in (row?.object ?? {}), false);
    }
    const none = await server.fetch(`${SECRETS}?includeObject=None`, { headers: { accept } });
    assert.equal((none.json()['rows'] as { object: unknown }[])[0]?.object, null);
    const whole = await server.fetch(`${SECRETS}?includeObject=Object`, { headers: { accept } });
    assert.equal((whole.json()['rows'] as { object: KubeObject }[])[0]?.object.kind, 'Secret');
    const odd = await server.fetch(`${SECRETS}?includeObject=Some`, { headers: { accept } });
    assert.equal(odd.code, 400);
  });

  test('metadata only, YAML and protobuf', async () => {
    put(secret('a'));
    const partial = 'application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io';
    const one = await server.fetch(`${SECRETS}/a`, { headers: { accept: partial } });
    assert.deepEqual(one.json(), {
      kind: 'PartialObjectMetadata',
      apiVersion: 'meta.k8s.io/v1',
      metadata: { name: 'a' },
    });
    assert.equal((await server.fetch(SECRETS, { headers: { accept: partial } })).code, 406);
    const yaml = await server.fetch(`${SECRETS}/a`, { headers: { accept: 'application/yaml' } });
    assert.match(yaml.text, /^kind: Secret$/m);
    const protobuf = await server.fetch(`${SECRETS}/a`, {
      headers: { accept: 'application/vnd.kubernetes.protobuf' },
    });
    assert.equal(protobuf.headers['content-type'], 'application/vnd.kubernetes.protobuf');
    assert.deepEqual(decodeKubeProtobuf(protobuf.body)['data'], { k: 'djE=' });
    const list = await server.fetch(SECRETS, { headers: { accept: 'application/vnd.kubernetes.protobuf' } });
    assert.equal(decodeKubeProtobuf(list.body).kind, 'SecretList');
    assert.equal((await server.fetch(SECRETS, { headers: { accept: 'text/html' } })).code, 406);
  });

  test('large answers are compressed for who accepts it, and streamed for who does not', async () => {
    const data = { k: Buffer.alloc(30_000, 7).toString('base64') };
    for (let i = 0; i < 20; i += 1) put(secret(`s${i}`, { data }));
    const plain = await server.fetch(SECRETS);
    assert.equal(plain.headers['content-encoding'], undefined);
    assert.equal((plain.json()['items'] as unknown[]).length, 20);
    const packed = await server.fetch(SECRETS, { headers: { 'accept-encoding': 'br, gzip' } });
    assert.equal(packed.headers['content-encoding'], 'gzip');
    assert.ok(packed.body.length < plain.body.length / 10);
    assert.deepEqual(gunzipSync(packed.body), plain.body);
    const small = await server.fetch(`${SECRETS}/s1`, { headers: { 'accept-encoding': 'gzip' } });
    assert.equal(small.headers['content-encoding'], undefined);
  });

  test('people get indented JSON, programs do not', async () => {
    put(secret('a'));
    const curl = await server.fetch(`${SECRETS}/a`, { headers: { 'user-agent': 'curl/8.0' } });
    assert.match(curl.text, /\n {2}"kind"/);
    assert.doesNotMatch((await server.fetch(`${SECRETS}/a`)).text, /\n {2}"kind"/);
    assert.match((await server.fetch(`${SECRETS}/a?pretty=true`)).text, /\n {2}"kind"/);
  });
});
