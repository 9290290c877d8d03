/**
 * Goal: every object is applied to once, with its uid and resourceVersion and nothing else, and each answer of an API server is counted as
 * what it means. Method: a small HTTP server that answers as kube-apiserver documents: discovery, metadata lists in pages, apply with its
 * preconditions, a list that expires, a server that is busy.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { systemClock } from '@waxseal/encryption-config';
import { readKubeconfig } from './kubeconfig.js';
import { rewrapViaApi, type RewrapViaApiOptions, type RewrapViaApiReport } from './rewrap-via-api.js';

interface Stored {
  readonly uid: string;
  revision: number;
  stale: boolean;
}

type Answer = readonly [number, unknown];

let server: Server;
let folder: string;
let objects: Map<string, Stored>;
let applied: { readonly path: string; readonly body: unknown; readonly type: string | undefined }[];
/** Asked first; undefined lets the server answer. */
let intercept: (request: IncomingMessage) => Answer | undefined;

const PAGE = 4;
const status = (code: number, message: string, more: object = {}): Answer => [
  code,
  { kind: 'Status', message, ...more },
];
const resource = (name: string, kind: string, namespaced: boolean, verbs = ['list', 'patch']): unknown => ({
  name,
  kind,
  namespaced,
  verbs,
});

function list(url: URL): Answer {
  const root = url.pathname === '/api/v1/secrets' ? '/api/v1/namespaces/ns/secrets/' : `${url.pathname}/`;
  const paths = [...objects.keys()].filter((path) => path.startsWith(root));
  const from = Number(url.searchParams.get('continue') ?? 0);
  const page = paths.slice(from, from + PAGE);
  const items = page.map((path) => {
    const { uid, revision } = objects.get(path) as Stored;
    return {
      metadata: { name: path.slice(root.length), namespace: 'ns', uid, resourceVersion: `${revision}` },
    };
  });
  const left = paths.length - from - page.length;
  const metadata = left > 0 ? { continue: `${from + PAGE}`, remainingItemCount: left } : {};
  return [200, { kind: 'PartialObjectMetadataList', metadata, items }];
}

function apply(
  path: string,
  body: { readonly metadata: { uid?: string; resourceVersion?: string } },
): Answer {
  const object = objects.get(path);
  const { uid, resourceVersion } = body.metadata;
  if (object === undefined) {
    if (uid !== undefined)
      return status(409, 'uid mismatch: the provided object specified uid, and no existing object was found');
    objects.set(path, { uid: 'created', revision: 1, stale: false });
    return [201, {}];
  }
  if (resourceVersion !== `${object.revision}`) return status(409, 'the object has been modified');
  if (object.stale) object.revision += 100;
  object.stale = false;
  return [200, { metadata: { resourceVersion: `${object.revision}` } }];
}

async function answer(request: IncomingMessage): Promise<Answer> {
  const intercepted = intercept(request);
  if (intercepted !== undefined) return intercepted;
  const url = new URL(request.url ?? '', 'http://server');
  if (request.headers.authorization !== 'Bearer token-1') return status(401, 'Unauthorized');
  if (request.method === 'PATCH') {
    let text = '';
    for await (const chunk of request as AsyncIterable<Buffer>) text += chunk.toString();
    const body = JSON.parse(text) as Parameters<typeof apply>[1];
    applied.push({ path: `${url.pathname}${url.search}`, body, type: request.headers['content-type'] });
    return apply(url.pathname, body);
  }
  switch (url.pathname) {
    case '/api/v1':
      return [
        200,
        {
          resources: [
            resource('secrets', 'Secret', true),
            resource('secrets/status', 'Secret', true),
            resource('bindings', 'Binding', true, ['create']),
          ],
        },
      ];
    case '/apis':
      return [
        200,
        { groups: [{ name: 'example.com', preferredVersion: { groupVersion: 'example.com/v2' } }] },
      ];
    case '/apis/example.com/v2':
      return [200, { resources: [resource('widgets', 'Widget', false)] }];
    default:
      return list(url);
  }
}

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const [code, body] = await answer(request);
  response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'waxseal-via-api-'));
  objects = new Map();
  applied = [];
  intercept = () => undefined;
  for (let i = 0; i < 10; i++) {
    objects.set(`/api/v1/namespaces/ns/secrets/s${i}`, {
      uid: `uid-${i}`,
      revision: 10 + i,
      stale: i % 2 === 0,
    });
  }
  objects.set('/apis/example.com/v2/widgets/w', { uid: 'uid-w', revision: 5, stale: true });
  server = createServer((request, response) => void serve(request, response)).listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterEach(async () => {
  server.closeAllConnections();
  await once(server.close(), 'close');
  rmSync(folder, { recursive: true });
});

function kubeconfig(user: object = { token: 'token-1' }, cluster: object = {}): string {
  const path = join(folder, 'kubeconfig');
  const { port } = server.address() as AddressInfo;
  const config = {
    'current-context': 'c',
    contexts: [{ name: 'c', context: { cluster: 'k', user: 'u' } }],
    clusters: [{ name: 'k', cluster: { server: `http://127.0.0.1:${port}`, ...cluster } }],
    users: [{ name: 'u', user }],
  };
  writeFileSync(path, JSON.stringify(config));
  return path;
}

const run = (more: Partial<RewrapViaApiOptions> = {}): Promise<RewrapViaApiReport> =>
  rewrapViaApi({
    access: readKubeconfig(kubeconfig()),
    resources: ['secrets'],
    signal: new AbortController().signal,
    clock: systemClock,
    ...more,
  });

test('what is stale is written by the server, the rest is not; a second run finds nothing', async () => {
  const report = await run({ resources: ['*.*'] });
  assert.deepEqual(report, {
    listed: 11,
    stale: 6,
    skipped: 5,
    rewritten: 6,
    conflicts: 0,
    gone: 0,
    failed: 0,
    addsUp: true,
    failures: [],
  });
  const byPath = new Map(applied.map((request) => [request.path, request]));
  assert.equal(byPath.size, 11);
  assert.deepEqual(byPath.get('/api/v1/namespaces/ns/secrets/s3?fieldManager=waxseal-rewrap'), {
    path: '/api/v1/namespaces/ns/secrets/s3?fieldManager=waxseal-rewrap',
    body: {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 's3', namespace: 'ns', uid: 'uid-3', resourceVersion: '13' },
    },
    type: 'application/apply-patch+yaml',
  });
  assert.deepEqual(byPath.get('/apis/example.com/v2/widgets/w?fieldManager=waxseal-rewrap')?.body, {
    apiVersion: 'example.com/v2',
    kind: 'Widget',
    metadata: { name: 'w', uid: 'uid-w', resourceVersion: '5' },
  });
  assert.deepEqual((await run({ resources: ['*.*'] })).skipped, 11);
});

test('objects written, deleted or refused meanwhile are counted so, and none is created', async () => {
  intercept = (request) => {
    if (request.url?.includes('/s9?') === true) objects.delete('/api/v1/namespaces/ns/secrets/s9');
    const changed = objects.get('/api/v1/namespaces/ns/secrets/s2') as Stored;
    if (request.url?.includes('/s2?') === true) changed.revision = 99;
    if (request.url?.includes('/s4?') === true) return status(422, 'admission says no');
    return undefined;
  };
  const { listed, gone, conflicts, failed, addsUp, failures } = await run();
  assert.deepEqual(
    { listed, gone, conflicts, failed, addsUp },
    { listed: 10, gone: 1, conflicts: 1, failed: 1, addsUp: true },
  );
  assert.deepEqual(failures, [{ key: '/api/v1/namespaces/ns/secrets/s4', message: '422 admission says no' }]);
  assert.equal(objects.has('/api/v1/namespaces/ns/secrets/s9'), false);
});

test('a list that expires goes on with the token it is given, a busy server is waited for', async () => {
  let [expired, busy] = [false, 0];
  intercept = (request) => {
    if (request.url?.includes('continue=4') === true && !expired) {
      expired = true;
      return status(410, 'too old', { metadata: { continue: '4' } });
    }
    return request.method === 'PATCH' && busy++ < 2 ? status(429, 'too many requests') : undefined;
  };
  const { listed, rewritten, addsUp } = await run();
  assert.deepEqual([listed, rewritten, addsUp, expired, busy > 2], [10, 5, true, true, true]);
});

test('no apply, no permission, no such resource, no server: each is a sentence', async () => {
  intercept = (request) => (request.method === 'PATCH' ? status(415, 'unsupported') : undefined);
  await assert.rejects(run(), { code: 'source-unreadable', message: /no server-side apply/ });
  intercept = () => status(403, 'secrets is forbidden');
  await assert.rejects(run(), { code: 'source-unreadable', message: /forbidden.*list and patch/ });
  intercept = () => undefined;
  await assert.rejects(run({ resources: ['gadgets'] }), { code: 'invalid-option', message: /no gadgets/ });
  intercept = () => status(503, 'starting');
  await assert.rejects(run({ outageMs: 10 }), { code: 'source-unreadable', message: /503 starting/ });
});

test('a kubeconfig that would need more than it holds is refused', () => {
  const refused: readonly (readonly [string, RegExp])[] = [
    [kubeconfigText({ exec: { command: 'x' } }), /needs a program/],
    [kubeconfigText({}, { 'insecure-skip-tls-verify': true }), /check of the server off/],
    [kubeconfigText({}, { server: 'http://example.com' }), /must be https/],
    [kubeconfigText({ 'client-certificate-data': 'YQ==' }), /needs both/],
    ['a: [', /not YAML/],
    ['{}', /no context/],
  ];
  const path = join(folder, 'refused');
  for (const [text, message] of refused) {
    writeFileSync(path, text);
    assert.throws(() => readKubeconfig(path), { code: 'config-invalid', message });
  }
  assert.throws(() => readKubeconfig(join(folder, 'absent')), {
    code: 'config-invalid',
    message: /cannot be read/,
  });
});

function kubeconfigText(user: object, cluster: object = {}): string {
  return JSON.stringify({
    'current-context': 'c',
    contexts: [{ name: 'c', context: { cluster: 'k', user: 'u' } }],
    clusters: [{ name: 'k', cluster: { server: 'https://127.0.0.1:1', ...cluster } }],
    users: [{ name: 'u', user }],
  });
}
