/**
 * Goal: a server that starts while the KMS is down starts, says so, and heals without being started again.
 * Method: the REST layer over a store with encryption that fails and then works; each test waits for the outcome.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Transformer } from '@waxseal/envelope';
import { bootstrapPolicy } from '../auth/bootstrap-policy.js';
import { ApiError } from '../errors.js';
import { SYSTEM_NAMESPACES } from './bootstrap.js';
import { failingTransformer, transformerOf } from './testing/encryption.js';
import { createHarness, type Harness } from './testing/harness.js';

const DOWN = 'the KMS plugin does not answer: check that it runs';
const working = transformerOf('first');
const RBAC = { apiVersion: 'rbac.authorization.k8s.io/v1' };

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'waxseal-bootstrap-'));
});
after(() => rm(folder, { recursive: true }));

const failedChecks = async (h: Harness): Promise<string[]> => {
  const outcomes = await Promise.all(
    h.rest.healthChecks.map((one) =>
      one.check().then(
        () => [],
        (error: unknown) => [`${one.name}: ${(error as Error).message}`],
      ),
    ),
  );
  return outcomes.flat();
};

const ready = (h: Harness): Promise<true> =>
  h.until(async () => ((await failedChecks(h)).length === 0 ? true : undefined));

async function refused(promise: Promise<unknown>): Promise<ApiError> {
  const error: unknown = await promise.then(
    () => undefined,
    (e: unknown) => e,
  );
  assert.ok(error instanceof ApiError, `expected an ApiError, got ${String(error)}`);
  return error;
}

/** Every object a cluster starts with is there, and was written once. */
async function checkWrittenOnce(h: Harness): Promise<void> {
  const names = bootstrapPolicy.clusterRoles.map(({ metadata }) => metadata.name ?? '');
  assert.deepEqual((await h.list('namespaces', '')).names, [...SYSTEM_NAMESPACES]);
  assert.deepEqual((await h.list('clusterroles', '')).names, names.toSorted());
  const count = bootstrapPolicy.clusterRoleBindings.length;
  assert.equal((await h.list('clusterrolebindings', '')).names.length, count);
  for (const name of names) {
    const { kv } = await h.store.get(Buffer.from(`/registry/clusterroles/${name}`));
    assert.equal(kv?.version, 1, name);
  }
}

const seal = async (text: string, key: string): Promise<Buffer> =>
  working.transformToStorage(Buffer.from(text), Buffer.from(key));

const put = (h: Harness, key: string, value: Buffer): Promise<unknown> =>
  h.store.txn({
    compare: [],
    success: [{ kind: 'put', key: Buffer.from(key), value, lease: 0n }],
    failure: [],
  });

describe('a first start while the KMS is down', () => {
  test('is not ready, refuses what needs the KMS, and heals', async () => {
    const h = await createHarness({ transformer: failingTransformer(DOWN) });
    try {
      assert.deepEqual(
        (await failedChecks(h)).map((line) => line.slice(0, line.indexOf(': not finished'))),
        ['poststarthook/start-system-namespaces-controller', 'poststarthook/rbac/bootstrap-roles'],
      );
      for (const line of await failedChecks(h)) assert.ok(line.endsWith(DOWN), line);
      assert.deepEqual((await h.list('namespaces', '')).names, []);
      const secret = { metadata: { name: 'early' } };
      for (const creating of [
        h.create('secrets', 'default', secret),
        h.create('namespaces', '', { metadata: { name: 'mine' } }),
      ]) {
        const { code, message } = await refused(creating);
        assert.equal(code, 500);
        assert.ok(message.endsWith(DOWN), message);
      }
      assert.equal((await refused(h.create('secrets', 'nowhere', secret))).code, 404);

      h.encryption.use(working);
      await ready(h);
      await checkWrittenOnce(h);
      await h.create('secrets', 'default', secret);
      await h.settled();
      assert.ok(h.rest.clusterRoles().length > 0, 'authorisation sees the roles');
    } finally {
      await h.close();
    }
  });

  test('that fails now and then loses nothing and writes nothing twice', async () => {
    let writes = 0;
    const flaky: Transformer = {
      transformFromStorage: (stored, key) => working.transformFromStorage(stored, key),
      transformToStorage(data, key) {
        if (++writes % 10 !== 0) return working.transformToStorage(data, key);
        throw new Error(DOWN);
      },
    };
    const h = await createHarness({ transformer: flaky });
    try {
      await ready(h);
      await checkWrittenOnce(h);
    } finally {
      await h.close();
    }
  });

  test('ends in the middle of trying', async () => {
    const h = await createHarness({ transformer: failingTransformer(DOWN) });
    await h.close();
  });
});

describe('a later start while the KMS is down', () => {
  test('is ready at once, and what could not be opened is there when it can be', async () => {
    const path = join(folder, 'later');
    const first = await createHarness({ path });
    for (const name of ['kept', 'changed', 'deleted']) {
      await first.create('clusterroles', '', { ...RBAC, metadata: { name }, rules: [] });
    }
    await first.close();

    const h = await createHarness({ path, transformer: failingTransformer(DOWN) });
    const names = (): string[] => h.rest.clusterRoles().map(({ name }) => name);
    try {
      assert.deepEqual(await failedChecks(h), [], 'nothing has to be written');
      assert.deepEqual(names(), []);
      const error = await refused(h.create('secrets', 'default', { metadata: { name: 's' } }));
      assert.equal(error.code, 500);
      assert.match(
        error.message,
        /unable to transform key "\/registry\/namespaces\/default": the KMS plugin/,
      );

      // Another server, whose KMS answers, goes on meanwhile.
      const rule = { apiGroups: [''], resources: ['pods'], verbs: ['get'] };
      const changed = { kind: 'ClusterRole', ...RBAC, metadata: { name: 'changed' }, rules: [rule] };
      const key = '/registry/clusterroles/changed';
      await put(h, key, await seal(JSON.stringify(changed), key));
      const gone = Buffer.from('/registry/clusterroles/deleted');
      await h.store.txn({ compare: [], success: [{ kind: 'delete', key: gone }], failure: [] });

      h.encryption.use(working);
      await h.until(() => (names().includes('kept') && names().includes('changed') ? true : undefined));
      assert.equal(names().includes('deleted'), false);
      const seen = h.rest.clusterRoles().find(({ name }) => name === 'changed');
      assert.deepEqual(seen?.rules[0]?.resources, ['pods']);
      await h.create('secrets', 'default', { metadata: { name: 's' } });
      assert.equal(names().length, bootstrapPolicy.clusterRoles.length + 2);
    } finally {
      await h.close();
    }
  });

  test('values that are no objects, or never open, hold nothing up', async () => {
    const path = join(folder, 'odd');
    const first = await createHarness({ path });
    const odd = '/registry/clusterroles/odd';
    await put(first, odd, await seal('nonsense', odd));
    await put(first, '/registry/clusterroles/broken', Buffer.from('k8s:enc:unknown:v1:x:'));
    await first.close();
    const h = await createHarness({ path });
    try {
      assert.equal(h.rest.clusterRoles().length, bootstrapPolicy.clusterRoles.length);
      await h.create('clusterroles', '', { ...RBAC, metadata: { name: 'next' }, rules: [] });
      await h.until(() => h.rest.clusterRoles().find(({ name }) => name === 'next'));
    } finally {
      await h.close();
    }
  });
});
