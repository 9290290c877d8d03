/** The whole server over a real store: what clients rely on, end to end through TLS. */
import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import https from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import type { EncryptionAtRest } from '@waxseal/encryption-config';
import { openLmdbStore, type Store } from '@waxseal/storage';
import { createTestAuthority, type TestAuthority } from './http/testing/test-pki.js';
import { startApiServer, type ApiServer } from './server.js';

// What is at rest is the business of encryption-config; here values lie as they are.
const plain: EncryptionAtRest = {
  transformerFor: () => ({
    transformFromStorage: (data) => ({ data, stale: false }),
    transformToStorage: (data) => data,
  }),
  healthChecks: () => [],
  close: async () => undefined,
};

let folder: string;
let store: Store;
let ca: TestAuthority;
let server: ApiServer;
let agent: https.Agent;

async function start(over: Store, port: number, encryption = plain): Promise<ApiServer> {
  const user = (name: string, ...groups: string[]) => ({ name, uid: '', groups, extra: {} });
  const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  return startApiServer({
    store: over,
    encryption,
    listen: { host: '127.0.0.1', port },
    tls: await ca.issue('CN=server', 'server'),
    tokens: [
      { token: 'root', user: user('root', 'system:masters') },
      { token: 'joe', user: user('joe') },
    ],
    serviceAccountKeys: { privateKey: key.export({ type: 'pkcs8', format: 'pem' }).toString() },
    serviceAccountIssuer: 'https://waxseal.test',
    logger: pino({ level: 'silent' }),
    registry: new Registry(),
    now: () => new Date(),
    randomBytes,
  });
}

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'waxseal-apiserver-'));
  store = await openLmdbStore({ path: join(folder, 'db') });
  ca = await createTestAuthority('ca');
  server = await start(store, 0);
  agent = new https.Agent({ keepAlive: true, ca: ca.cert });
});

after(async () => {
  agent.destroy();
  await server.close();
  await store.close();
  await rm(folder, { recursive: true });
});

interface Answer {
  readonly code: number;
  readonly body: Record<string, unknown>;
}

function open(
  method: string,
  path: string,
  token: string,
  body?: unknown,
  url = server.url,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const request = https.request(url + path, { method, agent, headers }, resolve);
    request.on('error', reject);
    request.end(text);
  });
}

async function call(method: string, path: string, token: string, body?: unknown): Promise<Answer> {
  const answer = await open(method, path, token, body);
  const chunks: Buffer[] = [];
  for await (const chunk of answer) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString();
  return { code: answer.statusCode ?? 0, body: JSON.parse(text) as Record<string, unknown> };
}

const DEFAULT = '/api/v1/namespaces/default';
const RBAC = '/apis/rbac.authorization.k8s.io/v1/namespaces/default';

function secret(name: string) {
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name }, data: { k: 'djE=' } };
}

test('an object is created, read, listed, patched and deleted', async () => {
  const created = await call('POST', `${DEFAULT}/secrets`, 'root', secret('a'));
  assert.equal(created.code, 201);
  const read = await call('GET', `${DEFAULT}/secrets/a`, 'root');
  assert.deepEqual(read.body, created.body);
  const list = await call('GET', `${DEFAULT}/secrets`, 'root');
  assert.equal((list.body['items'] as unknown[]).length, 1);
  assert.equal((await call('POST', `${DEFAULT}/secrets`, 'root', secret('a'))).code, 409);
  assert.equal((await call('DELETE', `${DEFAULT}/secrets/a`, 'root')).code, 200);
  assert.equal((await call('GET', `${DEFAULT}/secrets/a`, 'root')).code, 404);
});

test('a watch sees what happens after it began', async () => {
  const watch = await open('GET', `${DEFAULT}/configmaps?watch=1`, 'root');
  assert.equal(watch.statusCode, 200);
  const map = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'seen' }, data: { k: 'v' } };
  await call('POST', `${DEFAULT}/configmaps`, 'root', map);
  const [chunk] = (await once(watch, 'data')) as [Buffer];
  const event = JSON.parse(chunk.toString().split('\n', 1)[0] ?? '') as Record<string, unknown>;
  assert.equal(event['type'], 'ADDED');
  watch.destroy();
});

test('initial events of 100 MiB reach a client that reads slowly', async () => {
  const namespace = '/api/v1/namespaces/large';
  await call('POST', '/api/v1/namespaces', 'root', { metadata: { name: 'large' } });
  const data = { filler: 'x'.repeat(1_000_000) };
  const create = async (name: string): Promise<void> => {
    assert.equal(
      (await call('POST', `${namespace}/configmaps`, 'root', { metadata: { name }, data })).code,
      201,
    );
  };
  const count = 105;
  for (let i = 0; i < count; i++) await create(`m-${i}`);
  const watch = await open('GET', `${namespace}/configmaps?watch=1`, 'root');
  let events = 0;
  let bytes = 0;
  for await (const chunk of watch as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (chunk.includes(10)) events++;
    if (events === count) break;
    // The server gets more turns than it needs to fill every buffer between them.
    await new Promise((resolve) => setImmediate(resolve));
  }
  watch.destroy();
  assert.equal(events, count);
  assert.ok(bytes > 100 * 1024 * 1024);
});

test('a role binding takes effect, and its deletion as well', async () => {
  const list = (): Promise<Answer> => call('GET', `${DEFAULT}/secrets`, 'joe');
  assert.equal((await list()).code, 403);
  const name = 'read-secrets';
  const rules = [{ verbs: ['list'], apiGroups: [''], resources: ['secrets'] }];
  await call('POST', `${RBAC}/roles`, 'root', { metadata: { name }, rules });
  const binding = {
    metadata: { name },
    subjects: [{ kind: 'User', name: 'joe', apiGroup: 'rbac.authorization.k8s.io' }],
    roleRef: { kind: 'Role', name, apiGroup: 'rbac.authorization.k8s.io' },
  };
  assert.equal((await call('POST', `${RBAC}/rolebindings`, 'root', binding)).code, 201);
  const becomes = async (code: number): Promise<void> => {
    while ((await list()).code !== code) await new Promise((resolve) => setImmediate(resolve));
  };
  await becomes(200);
  await call('DELETE', `${RBAC}/rolebindings/${name}`, 'root');
  await becomes(403);
});

test('nobody grants what they do not hold', async () => {
  const name = 'grants';
  const rules = [
    { verbs: ['create'], apiGroups: ['rbac.authorization.k8s.io'], resources: ['roles', 'rolebindings'] },
  ];
  await call('POST', `${RBAC}/roles`, 'root', { metadata: { name }, rules });
  await call('POST', `${RBAC}/rolebindings`, 'root', {
    metadata: { name },
    subjects: [{ kind: 'User', name: 'joe', apiGroup: 'rbac.authorization.k8s.io' }],
    roleRef: { kind: 'Role', name, apiGroup: 'rbac.authorization.k8s.io' },
  });
  const wanted = {
    metadata: { name: 'too-much' },
    rules: [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] }],
  };
  let answer = await call('POST', `${RBAC}/roles`, 'joe', wanted);
  while (!String(answer.body['message']).includes('attempting to grant')) {
    assert.equal(answer.code, 403);
    answer = await call('POST', `${RBAC}/roles`, 'joe', wanted);
  }
  assert.equal(answer.code, 403);
});

test('a service account token opens the door until its account is deleted', async () => {
  const name = 'robot';
  await call('POST', `${DEFAULT}/serviceaccounts`, 'root', { metadata: { name } });
  const request = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} };
  const issued = await call('POST', `${DEFAULT}/serviceaccounts/${name}/token`, 'root', request);
  assert.equal(issued.code, 201);
  const { token } = issued.body['status'] as { token: string };
  const review = { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' };
  const whoami = await call('POST', '/apis/authentication.k8s.io/v1/selfsubjectreviews', token, review);
  const status = whoami.body['status'] as { userInfo: { username: string } };
  assert.equal(status.userInfo.username, 'system:serviceaccount:default:robot');
  const tokenReview = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token } };
  const asked = await call('POST', '/apis/authentication.k8s.io/v1/tokenreviews', 'root', tokenReview);
  assert.equal((asked.body['status'] as { authenticated: boolean }).authenticated, true);

  const second = await call('POST', `${DEFAULT}/serviceaccounts/${name}/token`, 'root', request);
  await call('DELETE', `${DEFAULT}/serviceaccounts/${name}`, 'root');
  const { token: never } = second.body['status'] as { token: string };
  assert.equal(
    (await call('GET', '/version', never)).code,
    401,
    'a token not seen before is refused at once',
  );
});

test('the whole surface is described and healthy', async () => {
  const groups = (await call('GET', '/apis', 'root')).body['groups'] as { name: string }[];
  const names = groups.map(({ name }) => name);
  assert.deepEqual(
    names.filter((name) => !name.endsWith('.k8s.io')),
    [],
  );
  const paths = (await call('GET', '/openapi/v3', 'root')).body['paths'] as Record<string, unknown>;
  for (const name of names) assert.ok(`apis/${name}/v1` in paths, name);
  const ready = await open('GET', '/readyz?verbose', 'root');
  const [text] = (await once(ready, 'data')) as [Buffer];
  assert.match(text.toString(), /\[\+\]etcd ok/);
});

test('a KMS that is down at the first start leaves a server that answers administrators and heals', async () => {
  const name = 'poststarthook/rbac/bootstrap-roles';
  let down = true;
  const transform = plain.transformerFor({ group: '', resource: 'secrets' });
  const emptyStore = await openLmdbStore({ path: join(folder, 'first-start') });
  const starting = await start(emptyStore, 0, {
    ...plain,
    transformerFor: () => ({
      ...transform,
      transformToStorage(data, key) {
        if (down) throw new Error('the KMS plugin does not answer');
        return transform.transformToStorage(data, key);
      },
    }),
  });
  const ask = (path: string): Promise<IncomingMessage> => open('GET', path, 'root', undefined, starting.url);
  try {
    assert.equal((await ask('/livez')).statusCode, 200);
    assert.equal((await ask('/readyz')).statusCode, 500);
    assert.equal((await ask(`/readyz/${name}`)).statusCode, 500);
    assert.equal((await ask('/api/v1/namespaces')).statusCode, 200);
    const refused = await open('POST', `${DEFAULT}/secrets`, 'root', secret('a'), starting.url);
    assert.equal(refused.statusCode, 500);
    down = false;
    while ((await ask('/readyz')).statusCode !== 200) await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal((await ask(`/readyz/${name}`)).statusCode, 200);
    assert.equal((await ask('/api/v1/namespaces/default')).statusCode, 200);
  } finally {
    await starting.close();
    await emptyStore.close();
  }
});

test('an address in use is reported, and the store stays usable', async () => {
  await assert.rejects(start(store, server.port), { code: 'EADDRINUSE' });
  assert.equal((await call('GET', `${DEFAULT}/secrets`, 'root')).code, 200);
});
