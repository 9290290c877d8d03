/**
 * Goal: create and get do what kube-apiserver's do, with its codes, reasons and texts.
 * Method: the REST layer over a store, without HTTP.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ApiError } from '../errors.js';
import { transformerOf } from './testing/encryption.js';
import { createHarness, type Harness } from './testing/harness.js';

let h: Harness;
before(async () => {
  h = await createHarness();
});
after(() => h.close());

const secret = (name: string, rest: object = {}): object => ({
  metadata: { name },
  stringData: { user: 'admin' },
  ...rest,
});

async function failure(promise: Promise<unknown>): Promise<ApiError> {
  const error: unknown = await promise.then(
    () => undefined,
    (e: unknown) => e,
  );
  assert.ok(error instanceof ApiError, `expected an ApiError, got ${String(error)}`);
  return error;
}

describe('create', () => {
  test('completes the metadata, folds stringData and seals the bytes', async () => {
    const created = await h.create('secrets', 'default', secret('made'));
    assert.equal(created.metadata.namespace, 'default');
    assert.match(created.metadata.uid ?? '', /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-/);
    assert.match(created.metadata.creationTimestamp ?? '', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    assert.match(created.metadata.resourceVersion ?? '', /^\d+$/);
    assert.deepEqual(created['data'], { user: 'YWRtaW4=' });
    assert.equal(created['stringData'], undefined);
    assert.equal(created['type'], 'Opaque');
    const stored = await h.stored('/registry/secrets/default/made');
    assert.ok(stored?.toString('latin1').startsWith('k8s:enc:aesgcm:v1:first:'));
    assert.equal(stored?.includes('YWRtaW4='), false);
    assert.deepEqual(await h.get('secrets', 'default', 'made'), created);
  });

  test('a key named __proto__ is a key like any other', async () => {
    const data = JSON.parse('{"__proto__":"djE="}') as object;
    const created = await h.create('secrets', 'default', { metadata: { name: 'proto' }, data });
    assert.equal(JSON.stringify(created['data']), '{"__proto__":"djE="}');
  });

  test('what is sealed is JSON that begins with kind and apiVersion and holds no resourceVersion', async () => {
    await h.create('secrets', 'default', secret('layout'));
    const key = Buffer.from('/registry/secrets/default/layout');
    const stored = (await h.stored(key.toString())) as Buffer;
    const { data } = await transformerOf('first').transformFromStorage(stored, key);
    assert.ok(data.toString().startsWith('{"kind":"Secret","apiVersion":"v1","metadata":{"name":"layout"'));
    assert.equal(data.includes('resourceVersion'), false);
  });

  test('a taken name is AlreadyExists', async () => {
    await h.create('secrets', 'default', secret('twice'));
    const error = await failure(h.create('secrets', 'default', secret('twice')));
    assert.equal(error.code, 409);
    assert.equal(error.reason, 'AlreadyExists');
    assert.equal(error.message, 'secrets "twice" already exists');
    assert.deepEqual(error.details, { name: 'twice', kind: 'secrets' });
  });

  test('generateName makes names up', async () => {
    const made = await Promise.all(
      Array.from({ length: 20 }, () =>
        h.create('configmaps', 'default', { metadata: { generateName: 'gen-' } }),
      ),
    );
    const names = new Set(made.map((m) => m.metadata.name));
    assert.equal(names.size, 20);
    for (const name of names) assert.match(name ?? '', /^gen-[bcdfghjklmnpqrstvwxz2456789]{5}$/);
  });

  test('dry run checks everything and writes nothing', async () => {
    const made = await h.create('secrets', 'default', secret('dry'), { dryRun: true });
    assert.equal(made.metadata.resourceVersion, undefined);
    assert.equal((await failure(h.get('secrets', 'default', 'dry'))).code, 404);
    await h.create('secrets', 'default', secret('dry'));
    const again = await failure(h.create('secrets', 'default', secret('dry'), { dryRun: true }));
    assert.equal(again.reason, 'AlreadyExists');
  });

  test('a namespace that does not exist is NotFound', async () => {
    const error = await failure(h.create('secrets', 'nowhere', secret('x')));
    assert.equal(error.code, 404);
    assert.equal(error.message, 'namespaces "nowhere" not found');
  });

  test('a resourceVersion or another namespace in the body is refused', async () => {
    const versioned = await failure(
      h.create('secrets', 'default', { metadata: { name: 'v', resourceVersion: '5' } }),
    );
    assert.equal(versioned.message, 'resourceVersion should not be set on objects to be created');
    const elsewhere = await failure(
      h.create('secrets', 'default', { metadata: { name: 'v', namespace: 'kube-system' } }),
    );
    assert.equal(
      elsewhere.message,
      'the namespace of the provided object does not match the namespace sent on the request',
    );
  });

  test('nulls are absent fields', async () => {
    const made = await h.create('secrets', 'default', {
      metadata: { name: 'nulls', labels: null, creationTimestamp: null },
      data: { empty: null },
      immutable: null,
    });
    assert.equal('labels' in made.metadata, false);
    assert.equal('immutable' in made, false);
    assert.deepEqual(made['data'], { empty: '' });
  });
});

describe('validation', () => {
  const cases: readonly (readonly [string, string, object, string])[] = [
    [
      'a bad name',
      'secrets',
      { metadata: { name: 'Bad_Name' } },
      `Secret "Bad_Name" is invalid: metadata.name: Invalid value: "Bad_Name": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')`,
    ],
    [
      'no name',
      'secrets',
      { metadata: {} },
      'Secret "" is invalid: metadata.name: Required value: name or generateName is required',
    ],
    [
      'a tls secret without keys',
      'secrets',
      { metadata: { name: 't' }, type: 'kubernetes.io/tls' },
      'Secret "t" is invalid: [data[tls.crt]: Required value, data[tls.key]: Required value]',
    ],
    [
      'a service account token without its account',
      'secrets',
      { metadata: { name: 't' }, type: 'kubernetes.io/service-account-token' },
      'Secret "t" is invalid: metadata.annotations[kubernetes.io/service-account.name]: Required value',
    ],
    [
      'docker config that is no JSON',
      'secrets',
      {
        metadata: { name: 't' },
        type: 'kubernetes.io/dockerconfigjson',
        stringData: { '.dockerconfigjson': 'PLANTED' },
      },
      'Secret "t" is invalid: data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": must be a JSON object',
    ],
    [
      'too much data',
      'secrets',
      { metadata: { name: 't' }, data: { k: Buffer.alloc(1024 * 1024 + 1).toString('base64') } },
      'Secret "t" is invalid: data: Too long: may not be more than 1048576 bytes',
    ],
    [
      'a bad data key',
      'configmaps',
      { metadata: { name: 'c' }, data: { 'a b': '' } },
      `ConfigMap "c" is invalid: data[a b]: Invalid value: "a b": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')`,
    ],
    [
      'a bad label value',
      'configmaps',
      { metadata: { name: 'c', labels: { ok: '-' } } },
      `ConfigMap "c" is invalid: metadata.labels: Invalid value: "-": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')`,
    ],
    [
      'too long annotations',
      'configmaps',
      { metadata: { name: 'c', annotations: { a: 'x'.repeat(256 * 1024) } } },
      'ConfigMap "c" is invalid: metadata.annotations: Too long: may not be more than 262144 bytes',
    ],
    [
      'a rule without verbs',
      'roles',
      { metadata: { name: 'r' }, rules: [{ apiGroups: [''], resources: ['secrets'], verbs: [] }] },
      'Role.rbac.authorization.k8s.io "r" is invalid: rules[0].verbs: Required value: verbs must contain at least one value',
    ],
    [
      'a binding to nothing',
      'rolebindings',
      { metadata: { name: 'b' }, roleRef: { kind: 'Role', name: '' } },
      'RoleBinding.rbac.authorization.k8s.io "b" is invalid: roleRef.name: Required value',
    ],
  ];
  for (const [what, resource, object, message] of cases) {
    test(what, async () => {
      const error = await failure(h.create(resource, 'default', object));
      assert.equal(error.message, message);
      assert.equal(error.code, 422);
      assert.equal(error.reason, 'Invalid');
      assert.equal((error.details?.causes ?? []).length > 0, true);
      assert.equal(JSON.stringify(error.toStatus()).includes('PLANTED'), false);
    });
  }

  test('data that is no base64 is a BadRequest that does not quote it', async () => {
    const error = await failure(
      h.create('secrets', 'default', { metadata: { name: 'b' }, data: { k: 'PLANTED!' } }),
    );
    assert.equal(error.code, 400);
    assert.equal(
      error.message,
      'Secret in version "v1" cannot be handled as a Secret: illegal base64 data at input byte 7',
    );
  });
});

describe('get', () => {
  test('a missing object is NotFound', async () => {
    const error = await failure(h.get('secrets', 'default', 'missing'));
    assert.deepEqual(error.toStatus(), {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message: 'secrets "missing" not found',
      reason: 'NotFound',
      details: { name: 'missing', kind: 'secrets' },
      code: 404,
    });
  });

  test('a version of the future is a Timeout, one that is no number a BadRequest', async () => {
    await h.create('secrets', 'default', secret('old'));
    const at = (resourceVersion: string): Promise<unknown> =>
      h.raw({
        verb: 'get',
        resource: h.resource('secrets'),
        namespace: 'default',
        name: 'old',
        resourceVersion,
      });
    await at('0');
    await at('1');
    const future = await failure(at('999999'));
    assert.equal(future.code, 504);
    assert.match(future.message, /^Timeout: Too large resource version: 999999, current: \d+$/);
    assert.equal((await failure(at('abc'))).code, 400);
  });
});
