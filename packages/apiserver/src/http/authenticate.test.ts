import assert from 'node:assert/strict';
import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { after, before, beforeEach, describe, test } from 'node:test';
import type { RestRequest } from '../rest/contract.js';
import { createRequestAuthenticator } from './authenticate.js';
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

function lastRequest(): RestRequest {
  const request = server.rest.requests.at(-1);
  assert.ok(request !== undefined);
  return request;
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

  test('a connection believes a token no longer than whoever verified it', async () => {
    let nowMs = 1_000;
    let asked = 0;
    let alive = true;
    const authenticate = createRequestAuthenticator({
      authenticateToken: async () => {
        asked++;
        const user = { name: 'robot', uid: '', groups: [], extra: {} };
        return alive
          ? { kind: 'authenticated', user, audiences: [], untilMs: 2_000 }
          : { kind: 'refused', message: 'revoked' };
      },
      now: () => new Date(nowMs),
    });
    const request = new IncomingMessage(new Socket());
    request.headers.authorization = 'Bearer t';
    assert.equal((await authenticate(request)).name, 'robot');
    alive = false;
    nowMs = 1_999;
    assert.equal((await authenticate(request)).name, 'robot');
    assert.equal(asked, 1);
    nowMs = 2_000;
    await assert.rejects(async () => authenticate(request), { code: 401 });
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
