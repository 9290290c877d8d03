/**
 * Goal: what kube-apiserver never seals stays plaintext through rewrap, verify and the proof of a rotation, and what an older release sealed is
 * moved to the new key. Method: a store with both, under a rule for everything that does not read plaintext.
 */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { createEncryptionAtRest, readEncryptionConfig, systemClock } from '@waxseal/encryption-config';
import { openLmdbStore } from '@waxseal/storage';
import { countRemaining } from '../rotate/remaining.js';
import { storeSource } from '../sources/store-source.js';
import { describeStoredValue } from '../stored-value.js';
import { inTemporaryFolder } from '../testing/etcd-file.js';
import { verify } from '../verify/verify.js';
import { rewrap } from './rewrap.js';

const keys = (name: string): string =>
  `{keys: [{name: ${name}, secret: ${Buffer.alloc(32, name).toString('base64')}}]}`;
const configOf = (providers: string): string =>
  `kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources: [{resources: ['*.*'], providers: [${providers}]}]\n`;
const PLAIN = Buffer.from('{"kind":"RangeAllocation","apiVersion":"v1"}');

test('plaintext records stay, sealed ones move, under *.*', async () => {
  await inTemporaryFolder(async (folder) => {
    const [oldFile, newFile] = [join(folder, 'old.yaml'), join(folder, 'new.yaml')];
    await writeFile(oldFile, configOf(`{secretbox: ${keys('old')}}`));
    await writeFile(newFile, configOf(`{secretbox: ${keys('new')}}, {secretbox: ${keys('old')}}`));
    const old = await createEncryptionAtRest({ file: oldFile });
    const now = await createEncryptionAtRest({ file: newFile });
    const store = await openLmdbStore({ path: join(folder, 'store') });
    const put = async (key: string, value: Buffer): Promise<void> => {
      await store.txn({ compare: [], success: [{ kind: 'put', key: Buffer.from(key), value }], failure: [] });
    };
    const sealed = async (key: string, resource: string, data: Buffer): Promise<void> => {
      const transformer = old.transformerFor({ group: '', resource });
      await put(key, await transformer.transformToStorage(data, Buffer.from(key)));
    };
    const node = Buffer.from('{"kind":"Node","apiVersion":"v1","metadata":{"name":"n"}}');
    await sealed('/registry/minions/n', 'nodes', node);
    await put('/registry/ranges/serviceips', PLAIN);
    await put('/registry/masterleases/10.0.0.1', Buffer.from('{"kind":"Endpoints","apiVersion":"v1"}'));
    await sealed('/registry/ranges/servicenodeports', 'services', PLAIN);

    const { stale, rewritten, failed, remaining, addsUp } = await rewrap({
      store,
      transformerFor: (resource) => now.transformerFor(resource),
      resources: ['*.*'],
      signal: new AbortController().signal,
      clock: systemClock,
    });
    assert.deepEqual([stale, rewritten, failed, remaining, addsUp], [2, 2, 0, 0, true]);
    const lies = async (key: string): Promise<string> => {
      const { kv } = await store.get(Buffer.from(key));
      assert.ok(kv);
      return describeStoredValue(kv.value).key;
    };
    assert.equal(await lies('/registry/minions/n'), 'new');
    assert.equal(await lies('/registry/ranges/servicenodeports'), 'new');
    assert.equal(await lies('/registry/ranges/serviceips'), '');
    assert.equal(await lies('/registry/masterleases/10.0.0.1'), '');

    const source = await storeSource('the store', store);
    const checked = await verify({ source, encryptionConfigFile: newFile, all: true });
    assert.deepEqual([checked.checked, checked.failed], [4, []]);
    const { config } = readEncryptionConfig(configOf(`{secretbox: ${keys('new')}}`), { fileName: 'new' });
    assert.ok(config);
    const left = await countRemaining({ source, prefix: '/registry', config, by: 'writer' });
    assert.deepEqual(left, { checked: 2, count: 0, keys: [] });
    await old.close();
    await now.close();
    await store.close();
  });
});
