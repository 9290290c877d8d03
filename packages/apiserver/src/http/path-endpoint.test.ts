import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { READER_TOKEN, startTestServer } from './testing/test-server.js';
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
    // kubectl asks with an @, and understands only answers without.
    const contentType = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf';
    for (const accept of [contentType, contentType.replace('v2.v1', 'v2@v1')]) {
      const protobuf = await server.fetch('/openapi/v2', { headers: { accept } });
      assert.equal(protobuf.headers['content-type'], contentType);
    }
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
