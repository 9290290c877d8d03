/**
 * Goal: what is stored comes back as manifests, and what cannot is told and kept. Method: objects as the reference stores them, sealed by a
 * real configuration, beside values no configuration opens.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, before, test } from 'node:test';
import { parseYaml } from '@waxseal/api-types';
import { createEncryptionAtRest, type EncryptionAtRest } from '@waxseal/encryption-config';
import type { Source } from '../sources/source.js';
import { openManifestFolder } from './manifest-folder.js';
import { formatRecovered, type Writable } from './manifest-text.js';
import { recoverObjects, type RecoverOptions } from './recover.js';

interface Vector {
  readonly storedProtobufBase64: string;
  readonly json: unknown;
}

const vectors = JSON.parse(
  readFileSync(new URL('../../../../test/vectors/stored-protobuf.json', import.meta.url), 'utf8'),
) as readonly Vector[];
const protobuf = Buffer.from((vectors[0] as Vector).storedProtobufBase64, 'base64');
const widget = {
  apiVersion: 'example.com/v1',
  kind: 'Widget',
  metadata: { name: 'w', namespace: 'b', managedFields: [{ manager: 'kubectl' }] },
  spec: { size: '0x10', on: 'yes' },
};

let folder = '';
let encryption: EncryptionAtRest;

async function seal(key: string, data: Buffer): Promise<Buffer> {
  return await encryption
    .transformerFor({ group: '', resource: 'secrets' })
    .transformToStorage(data, Buffer.from(key));
}

async function source(): Promise<Source> {
  const sealed = async (key: string, data: Buffer): Promise<readonly [string, Buffer]> => [
    key,
    await seal(key, data),
  ];
  const values = [
    await sealed('/registry/secrets/a/one', protobuf),
    await sealed('/registry/example.com/widgets/b/w', Buffer.from(JSON.stringify(widget))),
    await sealed('/registry/secrets/a/broken', Buffer.from('k8s\0\x0a\x7fxx')),
    ['/registry/secrets/a/lost', Buffer.from('k8s:enc:aesgcm:v1:gone:0123')],
    ['/registry/namespaces/b', Buffer.from('{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"b"}}')],
    ['/registry/odd', Buffer.from('odd')],
  ] as const;
  const numbers = { createRevision: 2, modRevision: 2, version: 1, lease: 0n };
  return {
    name: 'test',
    revision: 2,
    compactRevision: 2,
    live: (prefix) =>
      Readable.from(
        values
          .map(([key, value]) => ({ key: Buffer.from(key), value, ...numbers }))
          .filter(({ key }) => key.subarray(0, prefix.length).equals(prefix)),
      ),
    past: () => Readable.from([]),
    close: () => Promise.resolve(),
  };
}

async function recover(options: Partial<RecoverOptions> = {}): Promise<readonly Writable[]> {
  const found: Writable[] = [];
  for await (const each of recoverObjects(await source(), {
    prefix: '/registry',
    encryption,
    form: 'stored',
    ...options,
  })) {
    assert.ok(each.kind !== 'left-out', each.key);
    found.push(each);
  }
  return found;
}

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'waxseal-recover-'));
  const file = join(folder, 'config.yaml');
  await writeFile(
    file,
    `kind: EncryptionConfiguration
apiVersion: apiserver.config.k8s.io/v1
resources:
  - resources: ['*.*']
    providers:
      - secretbox: {keys: [{name: k, secret: ${Buffer.alloc(32, 7).toString('base64')}}]}
      - identity: {}
`,
    { mode: 0o600 },
  );
  encryption = await createEncryptionAtRest({ file });
});
after(async () => {
  await encryption.close();
  await rm(folder, { recursive: true });
});

test('protobuf and JSON become manifests, the rest is kept with the reason', async () => {
  const found = await recover();
  assert.deepEqual(
    found.map((each) => (each.kind === 'object' ? each.object['kind'] : `${each.key} ${each.stage}`)),
    [
      'Namespace',
      'Secret',
      'Widget',
      '/registry/secrets/a/broken decode',
      '/registry/secrets/a/lost open',
      '/registry/odd decode',
    ],
  );
  const lost = found[4];
  assert.ok(lost?.kind === 'unrecovered');
  assert.equal(lost.bytes.toString(), 'k8s:enc:aesgcm:v1:gone:0123');
  assert.match(lost.reason, /no matching prefix found/);
  assert.deepEqual(
    found.flatMap((each) => (each.kind === 'unrecovered' ? [each.cause] : [])),
    ['undecodable', 'no-matching-prefix', 'foreign'],
  );
});

test('a subset by resource, namespace and name', async () => {
  const keys = async (options: Partial<RecoverOptions>): Promise<readonly string[]> =>
    (await recover(options)).map(({ key }) => key);
  assert.deepEqual(await keys({ namespace: 'b' }), [
    '/registry/namespaces/b',
    '/registry/example.com/widgets/b/w',
  ]);
  assert.deepEqual(await keys({ resources: [{ group: 'example.com', resource: 'widgets' }] }), [
    '/registry/example.com/widgets/b/w',
  ]);
  assert.deepEqual(await keys({ resources: [{ group: '', resource: 'secrets' }], name: 'one' }), [
    '/registry/secrets/a/one',
  ]);
  assert.deepEqual(await keys({ name: 'nothing' }), []);
});

test('YAML and JSON lines hold the same, managedFields on request', async () => {
  for (const each of await recover()) {
    const fromJson: unknown = JSON.parse(formatRecovered(each, 'jsonl'));
    assert.deepEqual(parseYaml(Buffer.from(formatRecovered(each, 'yaml'))).value, fromJson);
  }
  const kept = (await recover({ name: 'w' }))[0];
  assert.ok(kept?.kind === 'object');
  assert.deepEqual(kept.object, widget);
  const dropped = (await recover({ name: 'w', form: 'no-managed-fields' }))[0];
  assert.ok(dropped?.kind === 'object');
  assert.deepEqual(dropped.object['metadata'], { name: 'w', namespace: 'b' });
});

test('a folder holds one private file for each, whatever the keys say', async () => {
  const path = join(folder, 'out');
  const manifests = await openManifestFolder(path, 'yaml');
  const found = await recover();
  const first = found[1];
  assert.ok(first?.kind === 'object');
  const hostile = { ...first, path: { ...first.path, namespace: '..', name: `../${'n'.repeat(300)}` } };
  for (const each of [...found, hostile]) await manifests.write(each);
  const files = (await readdir(path, { recursive: true, withFileTypes: true })).filter((entry) =>
    entry.isFile(),
  );
  const names = files.map((entry) => join(entry.parentPath, entry.name).slice(path.length + 1)).toSorted();
  assert.equal(names.length, found.length + 1);
  assert.ok(names.includes('secrets/a/one.yaml'));
  assert.ok(names.includes('widgets.example.com/b/w.yaml'));
  assert.ok(names.includes('namespaces/b.yaml'));
  assert.ok(names.some((name) => name.startsWith('secrets/%2e./%2e.%2fnnn')));
  assert.equal((await stat(path)).mode & 0o777, 0o700);
  assert.equal((await stat(join(path, 'secrets/a'))).mode & 0o777, 0o700);
  assert.equal((await stat(join(path, 'secrets/a/one.yaml'))).mode & 0o777, 0o600);
  assert.match(
    await readFile(join(path, 'secrets/a/one.yaml'), 'utf8'),
    /^---\napiVersion: v1\nkind: Secret\n/,
  );
  await assert.rejects(manifests.write(first), { code: 'EEXIST' });
  await assert.rejects(openManifestFolder(path, 'yaml'), { code: 'invalid-option' });
  await manifests.discard();
  assert.deepEqual(await readdir(path), []);
});

test('it stops when told to', async () => {
  const abort = new AbortController();
  abort.abort(new Error('enough'));
  await assert.rejects(recover({ signal: abort.signal }), /enough/);
});
