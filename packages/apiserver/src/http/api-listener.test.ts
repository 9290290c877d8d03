import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import type { KubeObject } from '../object.js';
import type { RestRequest } from '../rest/contract.js';
import { decodeKubeProtobuf, encodeKubeProtobuf } from '../schema/protobuf.js';
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

describe('who may come in', () => {
  test('a good token is let in, a bad one is 401 and never anonymous', async () => {
    assert.equal((await server.fetch('/version')).code, 200);
    const bad = await server.fetch('/version', { token: 'nonsense' });
    assert.equal(bad.code, 401);
    assert.deepEqual(bad.json(), {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message: 'Unauthorized',
      reason: 'Unauthorized',
      code: 401,
    });
    for (const authorization of ['Basic YTpi', 'Bearer', 'Bearer ', 'Bearer a b']) {
      const answer = await server.fetch('/version', { token: null, headers: { authorization } });
      assert.equal(answer.code, 401, authorization);
    }
  });

  test('without credentials one is system:anonymous', async () => {
    assert.equal((await server.fetch('/readyz', { token: null })).code, 200);
    const answer = await server.fetch(`${SECRETS}/x`, { token: null });
    assert.equal(answer.code, 403);
    assert.deepEqual(answer.json(), {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message:
        'secrets "x" is forbidden: User "system:anonymous" cannot get resource "secrets" in API group "" in the namespace "default"',
      reason: 'Forbidden',
      details: { name: 'x', kind: 'secrets' },
      code: 403,
    });
  });

  test('client certificates: subject becomes user and groups; others are 401', async () => {
    const admin = await server.clientCa.issue('CN=root+O=system:masters', 'client');
    const asAdmin = await server.fetch(SECRETS, { token: null, clientCertificate: admin });
    assert.equal(asAdmin.code, 200);
    assert.equal(lastRequest().user.name, 'root');
    assert.deepEqual(lastRequest().user.groups, ['system:masters', 'system:authenticated']);

    const ann = await server.clientCa.issue('CN=ann, O=dev, O=ops', 'client');
    const refused = await server.fetch(SECRETS, { token: null, clientCertificate: ann });
    assert.match(refused.text, /User \\"ann\\" cannot list/);

    const tricky = await server.clientCa.issue('CN=ann\\+O\\=system:masters', 'client');
    const notAdmin = await server.fetch(SECRETS, { token: null, clientCertificate: tricky });
    assert.equal(notAdmin.code, 403, 'an escaped separator in a name is part of the name');

    const stranger = await server.serverCa.issue('CN=root+O=system:masters', 'client');
    const unknownCa = await server.fetch('/version', { token: null, clientCertificate: stranger });
    assert.equal(unknownCa.code, 401);
    const notForClients = await server.clientCa.issue('CN=root+O=system:masters', 'server');
    const wrongUse = await server.fetch('/version', { token: null, clientCertificate: notForClients });
    assert.equal(wrongUse.code, 401);
  });

  test('a service account token works until the account is gone', async () => {
    const account = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'sa', uid: 'u-1' } };
    server.rest.objects.set('serviceaccounts/default/sa', account);
    const spec = { namespace: 'default', name: 'sa', uid: 'u-1', audiences: [], expirationSeconds: 600 };
    const { token } = await server.tokens.sign(spec);
    const answer = await server.fetch(SECRETS, { token });
    assert.match(answer.text, /User \\"system:serviceaccount:default:sa\\" cannot list/);
    const other = await server.tokens.sign({ ...spec, uid: 'u-2' });
    assert.equal((await server.fetch(SECRETS, { token: other.token })).code, 401);
  });

  test('impersonation runs as the other user, if granted', async () => {
    const asReader = await server.fetch(SECRETS, { headers: { 'Impersonate-User': 'reader' } });
    assert.match(asReader.text, /User \\"reader\\" cannot list resource \\"secrets\\"/);
    const asAdmin = await server.fetch(SECRETS, {
      token: READER_TOKEN,
      headers: { 'Impersonate-User': 'admin' },
    });
    assert.match(asAdmin.text, /User \\"reader\\" cannot impersonate resource \\"users\\"/);
    const groups = await server.fetch(SECRETS, { headers: { 'Impersonate-Group': ['a', 'b'] } });
    assert.equal(groups.code, 400);
  });

  test('what one may not ask about does not show whether it exists', async () => {
    const answer = await server.fetch('/apis/none/v1/things', { token: READER_TOKEN });
    assert.equal(answer.code, 403);
    assert.equal((await server.fetch('/apis/none/v1/things')).code, 404);
  });
});

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

describe('discovery and OpenAPI', () => {
  test('plain documents', async () => {
    assert.deepEqual((await server.fetch('/api')).json()['versions'], ['v1']);
    const groups = (await server.fetch('/apis')).json();
    assert.deepEqual(groups['groups'], [
      {
        name: 'rbac.authorization.k8s.io',
        versions: [{ groupVersion: 'rbac.authorization.k8s.io/v1', version: 'v1' }],
        preferredVersion: { groupVersion: 'rbac.authorization.k8s.io/v1', version: 'v1' },
      },
    ]);
    assert.equal((await server.fetch('/apis/rbac.authorization.k8s.io')).json()['kind'], 'APIGroup');
    const core = (await server.fetch('/api/v1')).json();
    const names = (core['resources'] as { name: string }[]).map(({ name }) => name);
    assert.deepEqual(names, [
      'namespaces',
      'namespaces/status',
      'secrets',
      'serviceaccounts',
      'serviceaccounts/token',
    ]);
    assert.equal((await server.fetch('/apis/apps')).code, 404);
    assert.equal((await server.fetch('/api/v9')).code, 404);
  });

  test('aggregated discovery in both versions, with an ETag', async () => {
    const accept = (version: string): string =>
      `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList,application/json`;
    for (const version of ['v2', 'v2beta1']) {
      const answer = await server.fetch('/apis', { headers: { accept: accept(version) } });
      assert.equal(
        answer.headers['content-type'],
        `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`,
      );
      assert.equal(answer.json()['apiVersion'], `apidiscovery.k8s.io/${version}`);
      const etag = answer.headers.etag ?? '';
      const again = await server.fetch('/apis', {
        headers: { accept: accept(version), 'if-none-match': etag },
      });
      assert.equal(again.code, 304);
      assert.equal(again.body.length, 0);
    }
    const plain = await server.fetch('/apis', { headers: { accept: 'application/json' } });
    assert.equal(plain.json()['kind'], 'APIGroupList');
  });

  test('OpenAPI v3 index leads to documents; v2 in both encodings', async () => {
    const index = (await server.fetch('/openapi/v3')).json()['paths'] as Record<
      string,
      { serverRelativeURL: string }
    >;
    const url = index['api/v1']?.serverRelativeURL ?? '';
    assert.match(url, /^\/openapi\/v3\/api\/v1\?hash=/);
    const document = await server.fetch(url);
    assert.equal(document.code, 200);
    assert.match(String(document.json()['openapi']), /^3\./);
    assert.equal((await server.fetch('/openapi/v3/apis/none/v1')).code, 404);
    assert.equal((await server.fetch('/openapi/v2')).json()['swagger'], '2.0');
    const accept = 'application/com.github.proto-openapi.spec.v2@v1.0+protobuf';
    const protobuf = await server.fetch('/openapi/v2', { headers: { accept } });
    assert.equal(protobuf.headers['content-type'], accept);
  });

  test('OpenID discovery names the issuer and publishes public keys only', async () => {
    const document = (await server.fetch('/.well-known/openid-configuration')).json();
    assert.equal(document['issuer'], 'https://waxseal.test');
    const jwks = (await server.fetch('/openid/v1/jwks')).json();
    const [key] = jwks['keys'] as Record<string, unknown>[];
    assert.equal(key?.['kty'], 'EC');
    assert.equal(key?.['d'], undefined);
  });
});

describe('health, version and metrics', () => {
  test('checks are listed with verbose, left out with exclude, and answer singly', async () => {
    server.healthChecks = [{ name: 'kms-providers', check: async () => undefined }];
    assert.equal((await server.fetch('/readyz')).text, 'ok');
    assert.equal(
      (await server.fetch('/readyz?verbose')).text,
      '[+]ping ok\n[+]kms-providers ok\n[+]shutdown ok\nreadyz check passed\n',
    );
    assert.match(
      (await server.fetch('/readyz?verbose&exclude=kms-providers&exclude=moon')).text,
      /\[\+\]kms-providers excluded: ok\n[^]*no matches for "moon"/,
    );
    assert.equal((await server.fetch('/readyz/kms-providers')).text, 'ok');
    assert.equal((await server.fetch('/readyz/moon')).code, 404);
    assert.equal((await server.fetch('/livez/kms-providers')).code, 404);
  });

  test('a failing KMS fails readyz and healthz, not livez, and its reason is for administrators', async () => {
    server.healthChecks = [
      { name: 'kms-providers', check: () => Promise.reject(new Error('the plugin does not answer')) },
    ];
    for (const path of ['/readyz', '/healthz']) {
      const answer = await server.fetch(path, { token: null });
      assert.equal(answer.code, 500);
      assert.match(answer.text, /\[-\]kms-providers failed: reason withheld/);
      assert.doesNotMatch(answer.text, /does not answer/);
    }
    assert.equal((await server.fetch('/livez', { token: null })).code, 200);
    assert.equal((await server.fetch('/readyz?exclude=kms-providers')).code, 200);
    assert.equal((await server.fetch('/readyz/kms-providers', { token: null })).code, 403);
    assert.match((await server.fetch('/readyz/kms-providers')).text, /the plugin does not answer/);
  });

  test('version names the Kubernetes API that is served', async () => {
    const version = (await server.fetch('/version', { token: null })).json();
    assert.equal(version['major'], '1');
    assert.match(String(version['gitVersion']), /^v1\.\d+\.0\+waxseal\./);
  });

  test('metrics count requests by verb, resource and code, and made-up paths under one label', async () => {
    await server.fetch(`${SECRETS}/missing`);
    await server.fetch('/apis/made-up-group/v1/made-up');
    const metrics = await server.fetch('/metrics');
    assert.match(
      metrics.text,
      /apiserver_request_total\{verb="GET",group="",version="v1",resource="secrets",subresource="",scope="resource",code="404"\} \d/,
    );
    assert.match(metrics.text, /apiserver_longrunning_requests\{verb="WATCH"\} 0/);
    assert.doesNotMatch(metrics.text, /made-up/);
    assert.equal((await server.fetch('/metrics', { token: READER_TOKEN })).code, 403);
  });
});
