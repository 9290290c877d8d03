/** Goal: what others need comes first, what stands in their way last, everything once. Method: a snapshot and a store, written the other way round. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { openSnapshotSource } from '../sources/snapshot-source.js';
import type { Source } from '../sources/source.js';
import { inTemporaryFolder, writeEtcdFile } from '../testing/etcd-file.js';
import { recoverObjects, type RecoverOptions } from './recover.js';

const order = [
  '/registry/namespaces/web',
  '/registry/apiextensions.k8s.io/customresourcedefinitions/widgets.example.com',
  '/registry/serviceaccounts/web/app',
  '/registry/priorityclasses/high',
  '/registry/secrets/web/db',
  '/registry/example.com/widgets/web/w',
  '/registry/ranges/serviceips',
  '/registry/validatingwebhookconfigurations/guard',
  '/registry/apiregistration.k8s.io/apiservices/v1.example.com',
];

const transformerFor: RecoverOptions['encryption']['transformerFor'] = () => ({
  transformFromStorage: (data) => ({ data, stale: false }),
  transformToStorage: (data) => data,
});

async function keysOf(source: Source, options: Partial<RecoverOptions> = {}): Promise<readonly string[]> {
  const keys: string[] = [];
  let looked = 0;
  const onProgress = (now: number): void => {
    assert.equal(now, ++looked);
  };
  const all = { prefix: '/registry', form: 'stored', encryption: { transformerFor }, onProgress } as const;
  for await (const { key } of recoverObjects(source, { ...all, ...options })) keys.push(key);
  return keys;
}

test('in the order in which they can be applied, from a file and from a store', async () => {
  await inTemporaryFolder(async (folder) => {
    const path = join(folder, 'db');
    const value = Buffer.from('{"apiVersion":"v1","kind":"Any","metadata":{}}');
    // Steps of several resources keep the order of the file.
    const changes = [...order.slice(4).toReversed(), ...order.slice(0, 4).toReversed()];
    await writeEtcdFile(
      path,
      changes.map((key) => ({ key, value })),
    );
    const source = await openSnapshotSource(path);
    const found = await keysOf(source);
    const stepOf = (key: string): number => [1, 2, 4, 7, 9].findIndex((end) => order.indexOf(key) < end);
    assert.deepEqual(found.map(stepOf), [0, 1, 2, 2, 3, 3, 3, 4, 4]);
    assert.deepEqual(found.toSorted(), order.toSorted());
    const { name, revision, compactRevision } = source;
    const oneByOne: Source = {
      name,
      revision,
      compactRevision,
      live: (prefix) => source.live(prefix),
      past: (prefix) => source.past(prefix),
      close: () => source.close(),
    };
    assert.deepEqual((await keysOf(oneByOne)).toSorted(), order.toSorted());
    const resources = [
      { group: '', resource: 'secrets' },
      { group: 'scheduling.k8s.io', resource: 'priorityclasses' },
    ];
    assert.deepEqual(await keysOf(source, { resources, onProgress: () => undefined }), [order[3], order[4]]);
    await source.close();
  });
});
