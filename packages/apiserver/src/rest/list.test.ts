/** Goal: lists page consistently, select as asked, and name what they cannot read. Method: the REST layer over a store. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ApiError } from '../errors.js';
import { transformerOf } from './testing/encryption.js';
import { createHarness, type Harness } from './testing/harness.js';

let h: Harness;
before(async () => {
  h = await createHarness();
  for (const ns of ['l-one', 'l-two']) {
    await h.create('namespaces', '', { metadata: { name: ns } });
    for (let i = 0; i < 10; i++) {
      await h.create('secrets', ns, {
        metadata: { name: `s${i}`, labels: { parity: i % 2 === 0 ? 'even' : 'odd', n: String(i) } },
        type: i < 3 ? 'example.com/special' : 'Opaque',
      });
    }
  }
});
after(() => h.close());

async function failure(promise: Promise<unknown>): Promise<ApiError> {
  const error: unknown = await promise.then(
    () => undefined,
    (e: unknown) => e,
  );
  assert.ok(error instanceof ApiError, `expected an ApiError, got ${String(error)}`);
  return error;
}

const all = Array.from({ length: 10 }, (_, i) => `s${i}`);

describe('pages', () => {
  test('are consistent at one revision while others write', async () => {
    const names: string[] = [];
    let token = '';
    let first: string | undefined;
    for (;;) {
      const page = await h.list('secrets', 'l-one', { limit: 3, continue: token });
      first ??= page.resourceVersion;
      assert.equal(page.resourceVersion, first);
      names.push(...page.names);
      await h.create('secrets', 'l-one', { metadata: { name: `s0-new-${names.length}` } });
      if (page.continue === '') break;
      assert.equal(page.remainingItemCount, 10 - names.length);
      token = page.continue;
    }
    assert.deepEqual(names, all);
    for (let n = 3; n <= 10; n += 3) await h.delete('secrets', 'l-one', `s0-new-${Math.min(n, 10)}`);
    await h.delete('secrets', 'l-one', 's0-new-10');
  });

  test('fill up when a selector drops most, and then count nothing', async () => {
    const page = await h.list('secrets', 'l-two', { limit: 4, labelSelector: 'parity=odd' });
    assert.deepEqual(page.names, ['s1', 's3', 's5', 's7']);
    assert.equal(page.remainingItemCount, undefined);
    const rest = await h.list('secrets', 'l-two', {
      limit: 4,
      labelSelector: 'parity=odd',
      continue: page.continue,
    });
    assert.deepEqual(rest.names, ['s9']);
    assert.equal(rest.continue, '');
  });

  test('the token is base64url JSON of version, revision and relative key', async () => {
    const page = await h.list('secrets', 'l-two', { limit: 1 });
    assert.deepEqual(JSON.parse(Buffer.from(page.continue, 'base64url').toString()), {
      v: 'meta.k8s.io/v1',
      rv: Number(page.resourceVersion),
      start: 's0\0',
    });
  });

  test('a token that was tampered with is a BadRequest', async () => {
    const forged = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    const bad = [
      '!!',
      forged(null),
      forged([]),
      forged({ v: 'v9', rv: 1, start: 'a' }),
      forged({ v: 'meta.k8s.io/v1', rv: 0, start: 'a' }),
      forged({ v: 'meta.k8s.io/v1', rv: 1, start: '' }),
      forged({ v: 'meta.k8s.io/v1', rv: 1, start: '../../secrets/l-one/s0' }),
      forged({ v: 'meta.k8s.io/v1', rv: 1.5, start: 'a' }),
    ];
    for (const token of bad) {
      const error = await failure(h.list('secrets', 'l-two', { limit: 1, continue: token }));
      assert.equal(error.code, 400);
      assert.match(error.message, /^invalid continue token: /);
    }
  });

  test('a token whose revision is compacted comes with a fresh one', async () => {
    const own = await createHarness();
    for (const name of ['a', 'b', 'c']) await own.create('configmaps', 'default', { metadata: { name } });
    const page = await own.list('configmaps', 'default', { limit: 1 });
    await own.create('configmaps', 'default', { metadata: { name: 'd' } });
    await own.store.compact((await own.store.status()).revision);
    const error = await failure(own.list('configmaps', 'default', { limit: 1, continue: page.continue }));
    assert.equal(error.code, 410);
    assert.equal(error.reason, 'Expired');
    const { metadata } = error.toStatus();
    const rest = await own.list('configmaps', 'default', {
      limit: 5,
      continue: String(metadata['continue']),
    });
    assert.deepEqual(rest.names, ['b', 'c', 'd']);
    const old = await failure(
      own.list('configmaps', 'default', { resourceVersion: '1', resourceVersionMatch: 'Exact' }),
    );
    assert.equal(old.message, 'The resourceVersion for the provided list is too old.');
    await own.close();
  });
});

describe('selectors', () => {
  const cases: readonly (readonly [string, readonly string[]])[] = [
    ['parity=even,n!=0', ['s2', 's4', 's6', 's8']],
    ['parity==even,n in (2,4)', ['s2', 's4']],
    ['n notin (0,1,2,3,4,5,6,7)', ['s8', 's9']],
    ['n>7', ['s8', 's9']],
    ['n<2', ['s0', 's1']],
    ['!parity', []],
    ['parity, n in (3)', ['s3']],
    ['in notin (in),n=1', ['s1']],
  ];
  for (const [labelSelector, names] of cases) {
    test(`labels ${labelSelector}`, async () => {
      assert.deepEqual((await h.list('secrets', 'l-two', { labelSelector })).names, names);
    });
  }

  const bad: readonly (readonly [string, string])[] = [
    ['a in', "unable to parse requirement: found '' expected: '('"],
    ['a in (b', "unable to parse requirement: found '', expected: ',' or ')'"],
    ['a=b c', "found 'c', expected: ',' or 'end of string'"],
    ['a=b,', "found '', expected: identifier after ','"],
    [',a', "found ',', expected: !, identifier, or 'end of string'"],
    ['a b', "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"],
  ];
  for (const [labelSelector, message] of bad) {
    test(`labels ${labelSelector} are refused`, async () => {
      const error = await failure(h.list('secrets', 'l-two', { labelSelector }));
      assert.equal(error.code, 400);
      assert.equal(error.message, message);
    });
  }

  test('fields', async () => {
    const by = async (fieldSelector: string, namespace = 'l-two'): Promise<readonly string[]> =>
      (await h.list('secrets', namespace, { fieldSelector })).names;
    assert.deepEqual(await by('type=example.com/special'), ['s0', 's1', 's2']);
    assert.deepEqual(await by('type!=Opaque,metadata.name!=s1'), ['s0', 's2']);
    assert.deepEqual(await by('metadata.name=s4'), ['s4']);
    assert.deepEqual(await by('metadata.name=none'), []);
    assert.deepEqual(await by('metadata.name=s4', ''), ['s4', 's4']);
    assert.deepEqual(await by('metadata.namespace=l-two', ''), all);
    assert.deepEqual(await by('metadata.name=s4,metadata.namespace=l-one', ''), ['s4']);
    assert.deepEqual(await by('metadata.namespace=other'), []);
  });

  test('fields that do not exist are refused', async () => {
    const secrets = await failure(h.list('secrets', 'l-two', { fieldSelector: 'spec.x=y' }));
    assert.equal(secrets.message, 'field label not supported: spec.x');
    const configMaps = await failure(h.list('configmaps', 'l-two', { fieldSelector: 'spec.x=y' }));
    assert.equal(
      configMaps.message,
      '"spec.x" is not a known field selector: only "metadata.name", "metadata.namespace"',
    );
    const nonsense = await failure(h.list('secrets', 'l-two', { fieldSelector: 'nonsense' }));
    assert.equal(nonsense.message, "invalid selector: 'nonsense'; can't understand 'nonsense'");
  });
});

describe('versions', () => {
  test('Exact is that revision, NotOlderThan the present one', async () => {
    const before = await h.list('secrets', 'l-two');
    await h.create('secrets', 'l-two', { metadata: { name: 'zz' } });
    const exact = await h.list('secrets', 'l-two', {
      resourceVersion: before.resourceVersion,
      resourceVersionMatch: 'Exact',
    });
    assert.deepEqual(exact.names, all);
    assert.equal(exact.resourceVersion, before.resourceVersion);
    const newer = await h.list('secrets', 'l-two', {
      resourceVersion: before.resourceVersion,
      resourceVersionMatch: 'NotOlderThan',
    });
    assert.deepEqual(newer.names, [...all, 'zz']);
    await h.delete('secrets', 'l-two', 'zz');
  });

  test('what makes no sense is refused', async () => {
    const future = await failure(h.list('secrets', 'l-two', { resourceVersion: '99999999' }));
    assert.equal(future.code, 504);
    const exactFuture = await failure(
      h.list('secrets', 'l-two', { resourceVersion: '99999999', resourceVersionMatch: 'Exact' }),
    );
    assert.equal(exactFuture.code, 504);
    const noVersion = await failure(h.list('secrets', 'l-two', { resourceVersionMatch: 'Exact' }));
    assert.match(noVersion.message, /resourceVersionMatch is forbidden unless resourceVersion is provided/);
    const zero = await failure(
      h.list('secrets', 'l-two', { resourceVersion: '0', resourceVersionMatch: 'Exact' }),
    );
    assert.equal(zero.code, 422);
  });
});

test('values that cannot be opened fail their objects and name themselves in the list', async () => {
  const own = await createHarness();
  await own.create('secrets', 'default', { metadata: { name: 'fine' } });
  own.encryption.use(transformerOf('other', 'first'));
  for (const name of ['lost-1', 'lost-2']) await own.create('secrets', 'default', { metadata: { name } });
  own.encryption.use(transformerOf('first'));

  const get = await failure(own.get('secrets', 'default', 'lost-1'));
  assert.equal(get.code, 500);
  assert.equal(get.reason, 'InternalError');
  assert.match(
    get.message,
    /^Internal error occurred: unable to transform key "\/registry\/secrets\/default\/lost-1": ./,
  );
  await own.get('secrets', 'default', 'fine');

  const list = await failure(own.list('secrets', 'default'));
  assert.equal(list.code, 500);
  assert.match(list.message, /unable to transform key "\/registry\/secrets\/default\/lost-1"/);
  assert.match(list.message, /unable to transform key "\/registry\/secrets\/default\/lost-2"/);
  assert.equal((await own.list('configmaps', 'default')).names.length, 0);

  const deletion = await failure(own.delete('secrets', 'default', 'lost-1'));
  assert.equal(deletion.reason, 'InternalError');
  await own.close();
});
