/** Goal: bad input gets a clear error of the right code and the server stays up. Method: send it, then ask again. */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { apiOf, secret, type Api } from '../support/api.js';
import { clientsOf } from '../support/programs.js';
import { startUp, startWaxseal, temporaryFolder, type Process, type UpReady } from '../support/waxseal.js';

describe('a running server', () => {
  let folder: string;
  let up: Process<UpReady>;
  let api: Api;
  const path = '/api/v1/namespaces/default/secrets';

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'waxseal-bad-'));
    up = await startUp(folder);
    api = apiOf(up.ready);
  });
  after(async () => {
    api.close();
    await up.stop();
    await rm(folder, { recursive: true, force: true });
  });
  afterEach(async () => {
    assert.equal((await api.call('GET', path)).status, 200, 'the server still answers');
  });

  const refused = async (
    body: unknown,
    contentType: string,
    status: number,
    reason: string,
    message: RegExp,
    query = '',
  ): Promise<void> => {
    const answer = await api.call('POST', path + query, body, { 'content-type': contentType });
    assert.equal(answer.status, status, answer.text);
    const parsed = JSON.parse(answer.text) as { kind: string; reason: string; message: string };
    assert.equal(parsed.kind, 'Status');
    assert.equal(parsed.reason, reason);
    assert.match(parsed.message, message);
  };

  test('malformed JSON', () =>
    refused(Buffer.from('{"kind":'), 'application/json', 400, 'BadRequest', /JSON|json/));
  test('malformed YAML', () =>
    refused(Buffer.from('a: [b'), 'application/yaml', 400, 'BadRequest', /yaml|YAML/));
  test('malformed protobuf', () =>
    refused(
      Buffer.from('6b387300ffff', 'hex'),
      'application/vnd.kubernetes.protobuf',
      400,
      'BadRequest',
      /proto/,
    ));
  test('an unknown content type', () =>
    refused(
      Buffer.from('<a/>'),
      'application/xml',
      415,
      'UnsupportedMediaType',
      /application\/xml|media type/,
    ));
  test('a body over 3 MiB', () =>
    refused(
      secret('big', { k: 'x'.repeat(3 << 20) }),
      'application/json',
      413,
      'RequestEntityTooLarge',
      /limit is 3145728/,
    ));
  test('data over 1 MiB', () =>
    refused(
      secret('big', { k: 'x'.repeat((1 << 20) + 1) }),
      'application/json',
      422,
      'Invalid',
      /data: Too long/,
    ));
  test('an unknown field under Strict', () =>
    refused(
      { ...secret('a', {}), colour: 'red' },
      'application/json',
      400,
      'BadRequest',
      /unknown field "colour"/,
      '?fieldValidation=Strict',
    ));
  test('a name that is none', () =>
    refused(secret('Not_A_Name', {}), 'application/json', 422, 'Invalid', /metadata\.name: Invalid value/));
  test('deep nesting', () =>
    refused(Buffer.from('['.repeat(200_000)), 'application/json', 400, 'BadRequest', /./));

  test('a wrong resourceVersion', async () => {
    await api.call('POST', path, secret('versioned', { a: '1' }));
    const stale = await api.call('PUT', `${path}/versioned`, {
      ...secret('versioned', { a: '2' }),
      metadata: { name: 'versioned', resourceVersion: '1' },
    });
    assert.equal(stale.status, 409);
    assert.match(stale.text, /the object has been modified; please apply your changes to the latest version/);
    const nonsense = await api.call('PUT', `${path}/versioned`, {
      ...secret('versioned', { a: '2' }),
      metadata: { name: 'versioned', resourceVersion: 'abc' },
    });
    assert.ok(nonsense.status === 400 || nonsense.status === 422 || nonsense.status === 409, nonsense.text);
  });

  test('a corrupt stored value fails its object and its list, by name, and nothing else', async () => {
    await api.call('POST', path, secret('whole', { a: '1' }));
    await clientsOf(up.ready).etcdctl([
      'put',
      '/registry/secrets/default/broken',
      'k8s:enc:kms:v2:waxseal:garbage',
    ]);
    const one = await api.call('GET', `${path}/broken`);
    assert.equal(one.status, 500);
    assert.match(one.text, /unable to transform key \\"\/registry\/secrets\/default\/broken\\"/);
    const list = await api.call('GET', path);
    assert.equal(list.status, 500);
    assert.match(list.text, /\/registry\/secrets\/default\/broken/);
    assert.equal((await api.call('GET', `${path}/whole`)).status, 200);
    await clientsOf(up.ready).etcdctl(['del', '/registry/secrets/default/broken']);
  });
});

test('a plugin that hangs fails what needs it, by name, and nothing else', async (t) => {
  const folder = await temporaryFolder(t);
  const socket = join(folder, 'hanging.sock');
  const plugin = createServer(() => undefined).listen(socket);
  await once(plugin, 'listening');
  t.after(() => plugin.close());
  const config = join(folder, 'config.json');
  await writeFile(
    config,
    JSON.stringify({
      apiVersion: 'apiserver.config.k8s.io/v1',
      kind: 'EncryptionConfiguration',
      resources: [
        {
          resources: ['secrets'],
          providers: [
            { kms: { apiVersion: 'v2', name: 'hanging', endpoint: `unix://${socket}`, timeout: '1s' } },
          ],
        },
      ],
    }),
  );
  const server = await startWaxseal(
    'apiserver',
    `--data-dir=${join(folder, 'data')}`,
    '--port=0',
    `--encryption-provider-config=${config}`,
  );
  t.after(() => server.stop());
  const api = apiOf(server.ready);
  t.after(() => api.close());
  const ready = await api.call('GET', '/readyz?verbose');
  assert.equal(ready.status, 500);
  assert.match(ready.text, /\[-\]kms-providers failed/);
  assert.equal((await api.call('GET', '/livez')).status, 200);
  const refused = await api.call('POST', '/api/v1/namespaces/default/secrets', secret('a', { k: 'v' }));
  assert.equal(refused.status, 500, refused.text);
  assert.match(refused.text, /KMS plugin/);
  const configMap = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a' } };
  assert.equal((await api.call('POST', '/api/v1/namespaces/default/configmaps', configMap)).status, 201);
});

describe('a start that cannot be', () => {
  test('a data directory in use', async (t) => {
    const folder = await temporaryFolder(t);
    const up = await startUp(folder);
    t.after(() => up.stop());
    await assert.rejects(startUp(folder), /ended with 3[\s\S]*in use[\s\S]*--data-dir/);
  });

  test('a port in use', async (t) => {
    const folder = await temporaryFolder(t);
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(async () => {
      server.close();
      await once(server, 'close');
    });
    const { port } = server.address() as AddressInfo;
    await assert.rejects(
      startUp(folder, '--api-port', String(port)),
      /ended with 3[\s\S]*EADDRINUSE[\s\S]*port/,
    );
  });

  test('a wrong root key', async (t) => {
    const folder = await temporaryFolder(t);
    await (await startUp(folder)).stop();
    const keys = (await readdir(join(folder, 'key-service'), { recursive: true })).filter((name) =>
      name.includes('root'),
    );
    assert.equal(keys.length, 1, keys.join());
    await writeFile(join(folder, 'key-service', keys[0] as string), Buffer.alloc(32, 7));
    await assert.rejects(startUp(folder), /ended with 3[\s\S]*root key/);
  });

  test('a CA for an etcd that is not spoken to over TLS', async (t) => {
    const folder = await temporaryFolder(t);
    for (const storage of ['lmdb', 'etcd://127.0.0.1:1'])
      await assert.rejects(
        startUp(folder, '--storage', storage, '--storage-cafile', 'ca.pem'),
        /ended with 2[\s\S]*etcds:/,
      );
  });

  test('an encryption configuration that is none', async (t) => {
    const folder = await temporaryFolder(t);
    const file = join(folder, 'bad.yaml');
    await writeFile(
      file,
      'kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources: []\n',
    );
    await assert.rejects(
      startUp(join(folder, 'data'), '--encryption-provider-config', file),
      /ended with 3[\s\S]*resources: Required value/,
    );
  });

  test('a file where the socket should be is not removed', async (t) => {
    const folder = await temporaryFolder(t);
    await writeFile(join(folder, 'kms.sock'), 'mine');
    await assert.rejects(startUp(folder), /ended with 3[\s\S]*kms\.sock/);
  });
});
