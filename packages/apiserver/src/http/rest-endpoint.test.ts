import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { encodeKubeProtobuf, type KubeObject } from '@waxseal/api-types';
import type { RestRequest } from '../rest/contract.js';
import { READER_TOKEN, startTestServer } from './testing/test-server.js';
import type { TestRequest, TestServer } from './testing/test-server.js';

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

function post(body: unknown, more: TestRequest = {}): TestRequest {
  return { method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body), ...more };
}

function lastRequest(): RestRequest {
  const request = server.rest.requests.at(-1);
  assert.ok(request !== undefined);
  return request;
}

function put(object: KubeObject): void {
  server.rest.objects.set(`secrets/default/${object.metadata.name ?? ''}`, object);
}

describe('objects', () => {
  test('create passes the object, the namespace and the options on', async () => {
    const answer = await server.fetch(
      `${SECRETS}?dryRun=All&fieldManager=me&fieldValidation=Strict`,
      post(secret('a')),
    );
    assert.equal(answer.code, 201);
    const request = lastRequest();
    assert.ok(request.verb === 'create');
    assert.equal(request.namespace, 'default');
    assert.equal(request.object.metadata.namespace, 'default');
    assert.deepEqual(request.options, { dryRun: true, fieldManager: 'me', fieldValidation: 'Strict' });
    assert.equal(request.user.name, 'admin');
  });

  test('JSON, YAML and protobuf bodies are the same object', async () => {
    const yaml = 'apiVersion: v1\nkind: Secret\nmetadata:\n  name: a\ntype: Opaque\ndata:\n  k: djE=\n';
    const headers = (type: string): TestRequest['headers'] => ({ 'content-type': type });
    await server.fetch(SECRETS, post(secret('a')));
    const json = lastRequest();
    await server.fetch(SECRETS, post(yaml, { headers: headers('application/yaml')! }));
    const fromYaml = lastRequest();
    const protobuf = encodeKubeProtobuf(secret('a'));
    await server.fetch(SECRETS, {
      method: 'POST',
      body: protobuf,
      headers: headers('application/vnd.kubernetes.protobuf')!,
    });
    const fromProtobuf = lastRequest();
    assert.ok(json.verb === 'create' && fromYaml.verb === 'create' && fromProtobuf.verb === 'create');
    assert.deepEqual(fromYaml.object, json.object);
    assert.deepEqual(fromProtobuf.object['data'], json.object['data']);
    assert.equal(fromProtobuf.object.metadata.name, 'a');
  });

  test('kind and apiVersion may be left out, and must not be others', async () => {
    const bare = await server.fetch(SECRETS, post({ metadata: { name: 'a' } }));
    assert.equal(bare.code, 201);
    assert.equal((bare.json() as unknown as KubeObject).kind, 'Secret');
    const kind = await server.fetch(SECRETS, post({ ...secret('a'), kind: 'ConfigMap' }));
    assert.equal(kind.code, 400);
    assert.match(kind.text, /ConfigMap in version \\"v1\\" cannot be handled as a Secret/);
    const version = await server.fetch(SECRETS, post({ ...secret('a'), apiVersion: 'v2' }));
    assert.match(
      version.text,
      /the API version in the data \(v2\) does not match the expected API version \(v1\)/,
    );
  });

  test('namespace and name in the body must agree with the path', async () => {
    const other = { ...secret('a'), metadata: { name: 'a', namespace: 'elsewhere' } };
    const mismatch = await server.fetch(SECRETS, post(other));
    assert.match(
      mismatch.text,
      /the namespace of the provided object does not match the namespace sent on the request/,
    );
    const name = await server.fetch(`${SECRETS}/b`, { ...post(secret('a')), method: 'PUT' });
    assert.match(name.text, /the name of the object \(a\) does not match the name on the URL \(b\)/);
    const nameless = await server.fetch(`${SECRETS}/b`, { ...post({ metadata: {} }), method: 'PUT' });
    assert.match(nameless.text, /was undeterminable: name must be provided/);
  });

  test('unknown and duplicate fields: warned about by default, refused when strict, ignored when asked', async () => {
    const body = '{"metadata":{"name":"a","odd":1},"data":{"k":"djE="},"data":{"k":"djI="},"extra":true}';
    const warned = await server.fetch(SECRETS, post(body));
    assert.equal(warned.code, 201);
    const warnings = String(warned.headers['warning']);
    assert.match(warnings, /299 - "unknown field \\"metadata.odd\\""/);
    assert.match(warnings, /299 - "unknown field \\"extra\\""/);
    assert.match(warnings, /299 - "duplicate field \\"data\\""/);
    const strict = await server.fetch(`${SECRETS}?fieldValidation=Strict`, post(body));
    assert.equal(strict.code, 400);
    assert.match(strict.text, /strict decoding error: .*unknown field/);
    const ignored = await server.fetch(`${SECRETS}?fieldValidation=Ignore`, post(body));
    assert.equal(ignored.code, 201);
    assert.equal(ignored.headers['warning'], undefined);
    const odd = await server.fetch(`${SECRETS}?fieldValidation=Maybe`, post(body));
    assert.equal(odd.code, 422);
  });

  test('what no field takes reaches no verb, in whatever way it was validated', async () => {
    const body = '{"metadata":{"name":"a","odd":1},"data":{"k":"djE="},"extra":true}';
    for (const fieldValidation of ['Ignore', 'Warn']) {
      await server.fetch(`${SECRETS}?fieldValidation=${fieldValidation}`, post(body));
      const create = lastRequest();
      assert.ok(create.verb === 'create');
      assert.equal(create.object['extra'], undefined);
      assert.ok(!('odd' in create.object.metadata));
      assert.deepEqual(create.object['data'], { k: 'djE=' });
      server.rest.objects.clear();
    }
  });

  test('a field given twice in YAML is found as in JSON', async () => {
    const yaml = { headers: { 'content-type': 'application/yaml' } };
    const body = 'metadata: {name: a}\ndata: {k: djE=}\ndata: {k: djI=}\n';
    const warned = await server.fetch(SECRETS, post(body, yaml));
    assert.match(String(warned.headers['warning']), /299 - "duplicate field \\"data\\""/);
    const strict = await server.fetch(`${SECRETS}?fieldValidation=Strict`, post(body, yaml));
    assert.equal(strict.code, 400);
    assert.match(strict.text, /duplicate field \\"data\\"/);
  });

  test('deleting what cannot be read is asked for in the query or the body, and goes with nothing else', async () => {
    const field = 'ignoreStoreReadErrorWithClusterBreakingPotential';
    const deleted = async (path: string, options?: object): Promise<string> => {
      put(secret('a'));
      const body = options === undefined ? {} : post({ kind: 'DeleteOptions', apiVersion: 'v1', ...options });
      return (await server.fetch(path, { ...body, method: 'DELETE' })).text;
    };
    const asked = async (path: string, options?: object): Promise<boolean | undefined> => {
      await deleted(path, options);
      const request = lastRequest();
      assert.ok(request.verb === 'delete');
      return request.options[field];
    };
    assert.equal(await asked(`${SECRETS}/a`), undefined);
    assert.equal(await asked(`${SECRETS}/a?${field}=true`), true);
    assert.equal(await asked(`${SECRETS}/a`, { [field]: true }), true);
    for (const [name, value] of Object.entries({
      dryRun: ['All'],
      propagationPolicy: 'Orphan',
      orphanDependents: true,
      gracePeriodSeconds: 0,
      preconditions: {},
    })) {
      const text = await deleted(`${SECRETS}/a`, { [field]: true, [name]: value });
      assert.ok(text.includes(`${field}: Invalid value: true: cannot be set together with .${name}`), text);
    }
  });

  test('malformed bodies are 400 with a position, and are not quoted', async () => {
    const cases: readonly [string, string][] = [
      ['application/json', '{"data":{"k":"aHVudGVyMg=="'],
      ['application/json', '{"data": hunter2}'],
      ['application/json', ''],
      ['application/json', '[]'],
      ['application/json', '"hunter2"'],
      ['application/json', '{"metadata":"hunter2"}'],
      ['application/json', '{"data":"hunter2"}'],
      ['application/yaml', 'a: [hunter2'],
      ['application/vnd.kubernetes.protobuf', 'hunter2'],
    ];
    for (const [type, body] of cases) {
      const answer = await server.fetch(SECRETS, post(body, { headers: { 'content-type': type } }));
      assert.equal(answer.code, 400, body);
      assert.equal(answer.json()['reason'], 'BadRequest');
      assert.doesNotMatch(answer.text, /hunter2|aHVudGVyMg/, body);
    }
    const position = await server.fetch(SECRETS, post('{\n "a": }'));
    assert.match(position.text, /line 2/);
    assert.doesNotMatch(server.logLines.join(''), /hunter2|aHVudGVyMg/);
  });

  test('an unknown content type is 415 and says what is supported', async () => {
    const answer = await server.fetch(SECRETS, post('<a/>', { headers: { 'content-type': 'text/xml' } }));
    assert.equal(answer.code, 415);
    assert.match(answer.text, /accepted media types include: application\/json, application\/yaml/);
    const patch = await server.fetch(`${SECRETS}/a`, {
      method: 'PATCH',
      body: '{}',
      headers: { 'content-type': 'application/apply-patch+yaml' },
    });
    assert.equal(patch.code, 415);
    assert.match(patch.text, /application\/json-patch\+json, application\/merge-patch\+json/);
  });

  test('a body over the limit is 413, declared or not', async () => {
    const big = Buffer.alloc(3 * 1024 * 1024 + 1, 0x20);
    const declared = await server.fetch(SECRETS, { method: 'POST', body: big });
    assert.equal(declared.code, 413);
    assert.match(declared.text, /Request entity too large: limit is 3145728/);
    const chunked = await server.fetch(SECRETS, {
      method: 'POST',
      body: big,
      headers: { 'transfer-encoding': 'chunked', 'content-length': [] },
    });
    assert.equal(chunked.code, 413);
  });

  test('get, list, update, patch and delete reach their verbs', async () => {
    put(secret('a'));
    assert.equal((await server.fetch(`${SECRETS}/a?resourceVersion=5`)).code, 200);
    const get = lastRequest();
    assert.ok(get.verb === 'get');
    assert.equal(get.resourceVersion, '5');

    const list = await server.fetch(
      `${SECRETS}?limit=3&continue=c&labelSelector=a%3Db&fieldSelector=type%3DOpaque`,
    );
    assert.deepEqual(list.json(), {
      kind: 'SecretList',
      apiVersion: 'v1',
      metadata: { resourceVersion: '7' },
      items: [secret('a')],
    });
    const listed = lastRequest();
    assert.ok(listed.verb === 'list');
    assert.equal(listed.limit, 3);
    assert.equal(listed.continue, 'c');
    assert.equal(listed.labelSelector, 'a=b');

    assert.equal((await server.fetch(`${SECRETS}/a`, { ...post(secret('a')), method: 'PUT' })).code, 200);
    for (const [type, kind, body] of [
      ['application/json-patch+json', 'json', '[]'],
      ['application/merge-patch+json', 'merge', '{}'],
      ['application/strategic-merge-patch+json; charset=utf-8', 'strategic', '{}'],
    ] as const) {
      const answer = await server.fetch(`${SECRETS}/a`, {
        method: 'PATCH',
        body,
        headers: { 'content-type': type },
      });
      assert.equal(answer.code, 200);
      assert.equal(answer.headers['warning'], '299 - "patched"');
      const patch = lastRequest();
      assert.ok(patch.verb === 'patch');
      assert.equal(patch.patchKind, kind);
    }

    const inBody = JSON.stringify({
      kind: 'DeleteOptions',
      apiVersion: 'v1',
      propagationPolicy: 'Foreground',
      gracePeriodSeconds: 0,
      preconditions: { uid: 'u', resourceVersion: '9' },
      dryRun: ['All'],
    });
    assert.equal((await server.fetch(`${SECRETS}/a`, { method: 'DELETE', body: inBody })).code, 200);
    const deletion = lastRequest();
    assert.ok(deletion.verb === 'delete');
    assert.deepEqual(deletion.options, {
      dryRun: true,
      gracePeriodSeconds: 0,
      preconditions: { uid: 'u', resourceVersion: '9' },
      propagationPolicy: 'Foreground',
    });
    await server.fetch(`${SECRETS}?propagationPolicy=Orphan`, { method: 'DELETE' });
    const collection = lastRequest();
    assert.ok(collection.verb === 'deletecollection');
    assert.equal(collection.options.propagationPolicy, 'Orphan');
    const odd = await server.fetch(`${SECRETS}/a?propagationPolicy=Never`, { method: 'DELETE' });
    assert.equal(odd.code, 422);
  });

  test('subresources have their own kind and verbs', async () => {
    const path = '/api/v1/namespaces/default/serviceaccounts/sa/token';
    const body = {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      metadata: {},
      spec: { audiences: [] },
    };
    assert.equal((await server.fetch(path, post(body))).code, 201);
    const request = lastRequest();
    assert.ok(request.verb === 'create');
    assert.equal(request.name, 'sa');
    assert.equal(request.subresource?.name, 'token');
    assert.equal((await server.fetch(path)).code, 405);
    assert.equal((await server.fetch('/api/v1/namespaces/default/status')).code, 404);
  });

  test('verbs that are not served are 405, places that are not are 404', async () => {
    const cases: readonly [string, string, number][] = [
      ['POST', `${SECRETS}/a`, 405],
      ['PUT', SECRETS, 405],
      ['PATCH', SECRETS, 405],
      ['OPTIONS', SECRETS, 405],
      ['POST', '/api/v1/secrets', 405],
      ['DELETE', '/api/v1/secrets', 405],
      ['DELETE', '/api/v1/namespaces', 405],
      ['POST', '/version', 405],
      ['GET', `${SECRETS}/a/b/c`, 404],
      ['GET', `${SECRETS}/a/log`, 404],
      ['GET', '/api/v1/widgets', 404],
      ['GET', '/api/v2/secrets', 404],
      ['GET', '/nowhere', 404],
      ['GET', '/', 404],
    ];
    for (const [method, path, code] of cases) {
      const answer = await server.fetch(path, { method, ...(method === 'GET' ? {} : { body: '{}' }) });
      assert.equal(answer.code, code, `${method} ${path}`);
      assert.equal(answer.json()['kind'], 'Status');
    }
  });

  test('a right in one namespace does not reach another by a nested path', async () => {
    server.rest.objects.set('namespaces//b', {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: 'b' },
    });
    assert.equal((await server.fetch('/api/v1/namespaces/b')).code, 200);
    // The reader may get namespaces in `default`, and asks for another through it.
    for (const path of ['namespaces/b', 'namespaces/b/status', 'namespaces']) {
      const answer = await server.fetch(`/api/v1/namespaces/default/${path}`, { token: READER_TOKEN });
      assert.ok(answer.code === 404 || answer.code === 403, path);
      assert.equal((await server.fetch(`/api/v1/namespaces/default/${path}`)).code, 404, path);
    }
    const post = await server.fetch('/api/v1/namespaces/default/namespaces', { method: 'POST', body: '{}' });
    assert.equal(post.code, 404);
  });

  test('list options that contradict each other are 422, ones that do not parse 400', async () => {
    const cases: readonly [string, number, RegExp][] = [
      ['resourceVersionMatch=Exact', 422, /forbidden unless resourceVersion is provided/],
      ['resourceVersionMatch=Exact&resourceVersion=0', 422, /is forbidden for resourceVersion/],
      ['resourceVersionMatch=Best&resourceVersion=1', 422, /Unsupported value/],
      ['resourceVersionMatch=Exact&resourceVersion=1&continue=x', 422, /when continue is provided/],
      ['sendInitialEvents=true', 422, /sendInitialEvents is forbidden for list/],
      ['watch=1&sendInitialEvents=true', 422, /requires setting resourceVersionMatch to NotOlderThan/],
      ['watch=1&resourceVersionMatch=NotOlderThan', 422, /unless sendInitialEvents is provided/],
      ['limit=ten', 400, /invalid syntax/],
    ];
    for (const [query, code, message] of cases) {
      const answer = await server.fetch(`${SECRETS}?${query}`);
      assert.equal(answer.code, code, query);
      assert.match(answer.text, message);
    }
  });
});
