// Goal: a prefix under which nothing lies is refused when something lies elsewhere. Method: stores with chosen keys.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openLmdbStore } from '@waxseal/storage';
import { refuseWrongPrefix } from './prefix-check.js';
import { storeSource } from './store-source.js';

const folder = await mkdtemp(join(tmpdir(), 'ops-prefix-'));
after(() => rm(folder, { recursive: true }));

async function check(name: string, prefix: string, keys: readonly string[]): Promise<void> {
  const store = await openLmdbStore({ path: join(folder, name) });
  for (const key of keys) {
    const value = Buffer.from('x');
    await store.txn({ compare: [], success: [{ kind: 'put', key: Buffer.from(key), value }], failure: [] });
  }
  const source = await storeSource('store', store);
  try {
    await refuseWrongPrefix(source, Buffer.from(prefix));
  } finally {
    await source.close();
  }
}

test('a prefix with values, and a source with nothing else, are fine', async () => {
  await check('right', '/registry/', ['/registry/secrets/a/b', '/other/c']);
  await check('empty', '/registry/', []);
  await check('new', '/registry/', ['compact_rev_key']);
});

test('a prefix without values beside others is refused, with one of their keys', async () => {
  await assert.rejects(check('wrong', '/kubernetes/', ['compact_rev_key', '/registry/secrets/a/b\n']), {
    code: 'invalid-option',
    message:
      'nothing lies under /kubernetes/ in store, but a key there is "/registry/secrets/a/b\\n"; give the API server\'s --etcd-prefix as --prefix.',
  });
  await assert.rejects(check('long', '/kubernetes/', [`/registry/${'x'.repeat(500)}`]), /…"/);
  await assert.rejects(check('like', '/registry/', ['/registry2/secrets/a/b']), { code: 'invalid-option' });
});
