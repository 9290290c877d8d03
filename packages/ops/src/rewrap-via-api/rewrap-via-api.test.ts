/**
 * Goal: every object is patched once, with its uid and resourceVersion and nothing else, and each answer of an API server is counted as
 * what it means. Method: a small HTTP server that answers as kube-apiserver does (seen on one made of k8s.io/apiserver 0.36): discovery, metadata lists
 * in pages, empty patches of both types with their preconditions, a list that expires, a server that is busy or away.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { type Clock, systemClock } from '@waxseal/encryption-config';
import { readKubeconfig } from './kubeconfig.js';
import { rewrapViaApi, type RewrapViaApiOptions, type RewrapViaApiReport } from './rewrap-via-api.js';

interface Stored {
  readonly uid: string;
  revision: number;
  stale: boolean;
}

type Answer = readonly [number, unknown, Readonly<Record<string, string>>?];

let server: Server;
let folder: string;
let objects: Map<string, Stored>;
let applied: { readonly path: string; readonly body: unknown; readonly type: string }[];
let goodToken: string;
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

function patch(path: string, type: string, metadata: { uid?: string; resourceVersion?: string }): Answer {
  const object = objects.get(path);
  const { uid, resourceVersion } = metadata;
  if (object === undefined && type.includes('merge')) return status(404, 'not found');
  if (object === undefined) {
    if (uid !== undefined)
      return status(409, 'uid mismatch: the provided object specified uid, and no existing object was found');
    objects.set(path, { uid: 'created', revision: 1, stale: false });
    return [201, {}];
  }
  if (resourceVersion !== undefined && resourceVersion !== `${object.revision}`)
    return status(409, 'the object has been modified');
  if (uid !== object.uid)
    return status(422, 'field is immutable', { details: { causes: [{ field: 'metadata.uid' }] } });
  if (object.stale) object.revision += 100;
  object.stale = false;
  return [200, { metadata: { resourceVersion: `${object.revision}` } }];
}

async function answer(request: IncomingMessage): Promise<Answer> {
  const intercepted = intercept(request);
  if (intercepted !== undefined) return intercepted;
  const url = new URL(request.url ?? '', 'http://server');
  if (request.headers.authorization !== `Bearer ${goodToken}`) return status(401, 'Unauthorized');
  if (request.method === 'PATCH') {
    let text = '';
    for await (const chunk of request as AsyncIterable<Buffer>) text += chunk.toString();
    const body = JSON.parse(text) as { readonly metadata: Parameters<typeof patch>[2] };
    const type = request.headers['content-type'] ?? '';
    applied.push({ path: `${url.pathname}${url.search}`, body, type });
    return patch(url.pathname, type, body.metadata);
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
        {
          groups: [
            {
              name: 'example.com',
              preferredVersion: { groupVersion: 'example.com/v2' },
              versions: [{ groupVersion: 'example.com/v1alpha1' }, { groupVersion: 'example.com/v2' }],
            },
          ],
        },
      ];
    case '/apis/example.com/v2':
      return [200, { resources: [resource('widgets', 'Widget', false)] }];
    case '/apis/example.com/v1alpha1':
      return [200, { resources: [resource('gears', 'Gear', false), resource('widgets', 'Widget', false)] }];
    default:
      return list(url);
  }
}

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const [code, body, headers] = await answer(request);
  response.writeHead(code, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
}

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'waxseal-via-api-'));
  objects = new Map();
  applied = [];
  goodToken = 'token-1';
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
    patchTypes: { secrets: 'apply', 'widgets.example.com': 'apply' },
    unavailable: [],
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

const isPatchOf = (request: IncomingMessage, name: string): boolean =>
  request.method === 'PATCH' && request.url?.includes(`/${name}?`) === true;
const pathOf = (name: string): string => `/api/v1/namespaces/ns/secrets/${name}`;

for (const patchType of ['apply', 'merge'] as const) {
  test(`${patchType}: objects written, deleted, replaced or refused meanwhile are counted so, and none is created`, async () => {
    let written = false;
    intercept = (request) => {
      if (isPatchOf(request, 's9')) objects.delete(pathOf('s9'));
      if (isPatchOf(request, 's8')) objects.set(pathOf('s8'), { uid: 'another', revision: 77, stale: true });
      if (isPatchOf(request, 's2') && !written) {
        // By a server that has the older configuration.
        objects.set(pathOf('s2'), { uid: 'uid-2', revision: 99, stale: true });
        written = true;
      }
      if (isPatchOf(request, 's4')) return status(422, 'a policy says no');
      if (isPatchOf(request, 's6')) return status(403, 'secrets "s6" is forbidden: a webhook says no');
      return undefined;
    };
    const { listed, rewritten, gone, conflicts, failed, addsUp, failures } = await run({ patchType });
    assert.deepEqual(
      { listed, rewritten, gone, conflicts, failed, addsUp },
      { listed: 10, rewritten: 1, gone: 2, conflicts: 1, failed: 2, addsUp: true },
    );
    assert.deepEqual(
      failures.toSorted((a, b) => (a.key < b.key ? -1 : 1)),
      [
        { key: pathOf('s4'), cause: 'refused', message: '422 a policy says no' },
        { key: pathOf('s6'), cause: 'refused', message: '403 secrets "s6" is forbidden: a webhook says no' },
      ],
    );
    assert.equal(objects.has(pathOf('s9')), false);
    assert.equal(objects.get(pathOf('s8'))?.revision, 77);
    assert.equal(objects.get(pathOf('s2'))?.stale, false);
    const bodies = applied.filter(({ path }) => path.includes('/s2?')).map(({ body }) => body);
    const named = patchType === 'merge' ? {} : { name: 's2', namespace: 'ns' };
    const kind = patchType === 'merge' ? {} : { apiVersion: 'v1', kind: 'Secret' };
    assert.deepEqual(bodies, [
      { ...kind, metadata: { ...named, uid: 'uid-2', resourceVersion: '12' } },
      { ...kind, metadata: { ...named, uid: 'uid-2' } },
    ]);
  });
}

test('an object that others write all the time is left to them, and said', async () => {
  intercept = (request) =>
    isPatchOf(request, 's1') ? status(409, 'the object has been modified') : undefined;
  const { conflicts, failed, failures, addsUp } = await run();
  assert.deepEqual([conflicts, failed, addsUp, failures[0]?.cause], [0, 1, true, 'contended']);
});

const noApply = [415, 406, 501, 500] as const;
for (const code of noApply) {
  test(`a server that answers ${code} to every apply is sent merge patches from then on`, async () => {
    intercept = (request) =>
      request.headers['content-type']?.includes('apply') === true ? status(code, 'no apply here') : undefined;
    const report = await run({ resources: ['secrets', 'widgets.example.com'], workers: 4 });
    assert.deepEqual([report.listed, report.rewritten, report.failed, report.addsUp], [11, 6, 0, true]);
    assert.deepEqual(report.patchTypes, { secrets: 'merge', 'widgets.example.com': 'merge' });
    assert.deepEqual([...new Set(applied.map(({ type }) => type))], ['application/merge-patch+json']);
    assert.equal(applied.length, 11);
  });
}

test('an internal error at one object is that object’s; apply goes on, and no merge patch is sent behind it', async () => {
  intercept = (request) => (isPatchOf(request, 's0') ? status(500, 'etcd says no') : undefined);
  const report = await run({ workers: 1 });
  assert.deepEqual([report.failed, report.rewritten, report.patchTypes], [1, 4, { secrets: 'apply' }]);
  assert.equal(report.failures[0]?.message, '500 etcd says no');
  assert.ok(applied.every(({ type }) => type === 'application/apply-patch+yaml'));
});

test('a type that is wanted is not exchanged', async () => {
  intercept = (request) =>
    request.headers['content-type']?.includes('apply') === true ? status(415, 'no') : undefined;
  await assert.rejects(run({ patchType: 'apply' }), {
    code: 'source-unreadable',
    message: /no server-side apply of secrets \(415 no\).*--patch-type/,
  });
  intercept = (request) => (request.method === 'PATCH' ? status(415, 'no') : undefined);
  await assert.rejects(run(), { code: 'source-unreadable', message: /no JSON merge patch of secrets/ });
});

test('a dry run lists and counts, and sends no patch', async () => {
  const report = await run({ dryRun: true, resources: ['*.*'] });
  assert.deepEqual([report.listed, report.stale, report.rewritten, report.addsUp], [11, null, 0, true]);
  assert.deepEqual([report.patchTypes, applied], [{}, []]);
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

test('a server that asks for time gets it, within reason', async () => {
  const asked = ['7', '3600', 'soon'];
  const waitsMs: number[] = [];
  const clock: Clock = {
    ...systemClock,
    schedule: (delayMs, next) => {
      waitsMs.push(delayMs);
      return systemClock.schedule(0, next);
    },
  };
  intercept = (request) => {
    const retryAfter = request.method === 'PATCH' ? asked.shift() : undefined;
    return retryAfter === undefined ? undefined : [429, {}, { 'retry-after': retryAfter }];
  };
  const { rewritten, addsUp } = await run({ clock, workers: 1 });
  assert.deepEqual([rewritten, addsUp, waitsMs], [5, true, [7000, 30_000, 800]]);
});

test('no permission, no such resource, no server, a value that no list gets past: each is a sentence', async () => {
  const forbidden = (verb: string): string =>
    `secrets is forbidden: User "u" cannot ${verb} resource "secrets"`;
  intercept = (request) => (request.method === 'PATCH' ? status(403, forbidden('patch')) : undefined);
  await assert.rejects(run(), { code: 'source-unreadable', message: /verb patch on secrets is missing/ });
  intercept = (request) =>
    request.url?.startsWith('/api/v1/secrets') === true ? status(403, forbidden('list')) : undefined;
  await assert.rejects(run(), { code: 'source-unreadable', message: /verb list on secrets is missing/ });
  intercept = () => status(401, 'Unauthorized');
  await assert.rejects(run(), { code: 'source-unreadable', message: /does not know who we are/ });
  intercept = () => undefined;
  for (const [name, message] of [
    ['gadgets', /no gadgets.*plural/],
    ['secret', /no secret .*Is it secrets\?/],
    ['widgets', /no widgets .*Is it widgets.example.com\?/],
    ['bindings', /no bindings/],
  ] as const) {
    await assert.rejects(run({ resources: [name] }), { code: 'invalid-option', message });
  }
  intercept = () => status(503, 'starting');
  await assert.rejects(run({ outageMs: 10 }), { code: 'source-unreadable', message: /503 starting/ });
  intercept = (request) =>
    request.url?.startsWith('/api/v1/secrets') === true
      ? status(500, 'unable to transform key "/registry/secrets/ns/s1"')
      : undefined;
  await assert.rejects(run(), { code: 'source-unreadable', message: /waxseal verify says which/ });
});

test('a resource that only an older version has is found; a group that does not answer is said', async () => {
  objects.set('/apis/example.com/v1alpha1/gears/g', { uid: 'uid-g', revision: 5, stale: true });
  const { listed, rewritten } = await run({ resources: ['*.example.com'] });
  assert.deepEqual([listed, rewritten], [2, 2]);
  intercept = (request) => (request.url === '/apis/example.com/v2' ? status(503, 'no backend') : undefined);
  const report = await run({ resources: ['*.*'] });
  assert.deepEqual([report.unavailable, report.failed, report.addsUp], [['example.com/v2'], 0, true]);
  assert.deepEqual(Object.keys(report.patchTypes), ['secrets', 'gears.example.com']);
});

test('a run that is stopped says so, and the next one does the rest', async () => {
  const controller = new AbortController();
  intercept = (request) => {
    if (isPatchOf(request, 's5')) controller.abort();
    return undefined;
  };
  await assert.rejects(run({ signal: controller.signal, workers: 1 }), { code: 'interrupted' });
  intercept = () => undefined;
  const { listed, rewritten } = await run();
  assert.deepEqual([listed, rewritten], [10, 2]);
});

test('a kubeconfig that would need more than it holds is refused', () => {
  const refused: readonly (readonly [string, RegExp])[] = [
    [kubeconfigText({ 'auth-provider': { name: 'gcp' } }), /given up/],
    [kubeconfigText({ as: 'somebody' }), /acts as somebody else/],
    [kubeconfigText({}, { 'proxy-url': 'http://p' }), /through a proxy/],
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
