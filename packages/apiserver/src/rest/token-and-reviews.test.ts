/**
 * Goal: service accounts get tokens, reviews get answers, nothing of either is stored.
 * Method: the REST layer with real token keys and the real authorizer.
 */
import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import type { ApiError } from '../errors.js';
import { createServiceAccountTokens, type ServiceAccountTokens } from '../auth/service-account-tokens.js';
import { createHarness, type Harness } from './testing/harness.js';

let h: Harness;
let tokens: ServiceAccountTokens;
before(async () => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  tokens = createServiceAccountTokens({
    keys: { privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() },
    issuer: 'https://issuer.example.com',
    now: () => new Date(),
    randomBytes,
  });
  h = await createHarness({ serviceAccountTokens: tokens });
  await h.until(async () =>
    (await h.list('serviceaccounts', 'default')).names.length > 0 ? true : undefined,
  );
});
after(() => h.close());

interface TokenAnswer {
  readonly spec: { readonly audiences: readonly string[]; readonly expirationSeconds: number };
  readonly status: { readonly token: string; readonly expirationTimestamp: string };
}

const ask = async (spec: object, name = 'default'): Promise<TokenAnswer> =>
  (await h.create(
    'serviceaccounts',
    'default',
    { spec },
    { subresource: 'token', name },
  )) as unknown as TokenAnswer;

test('a token names its account and lives as long as asked', async () => {
  const { uid } = (await h.get('serviceaccounts', 'default', 'default')).metadata;
  const answer = await ask({ audiences: null, expirationSeconds: 1200, boundObjectRef: null });
  const verified = await tokens.verify(answer.status.token);
  assert.equal(verified.user.name, 'system:serviceaccount:default:default');
  assert.equal(verified.uid, uid);
  assert.equal(answer.spec.expirationSeconds, 1200);
  assert.deepEqual(answer.spec.audiences, ['https://issuer.example.com']);
  assert.match(answer.status.expirationTimestamp, /Z$/);
});

test('a token is bound to a secret that exists', async () => {
  const made = await h.create('secrets', 'default', { metadata: { name: 'bound' } });
  const answer = await ask({ boundObjectRef: { kind: 'Secret', apiVersion: 'v1', name: 'bound' } });
  const verified = await tokens.verify(answer.status.token);
  assert.deepEqual(verified.boundObject, { kind: 'Secret', name: 'bound', uid: made.metadata.uid });
  await assert.rejects(
    ask({ boundObjectRef: { kind: 'Secret', name: 'none' } }),
    (error: ApiError) => error.code === 404,
  );
});

test('what makes no sense is refused', async () => {
  await assert.rejects(ask({ expirationSeconds: 5 }), (error: ApiError) =>
    error.message.includes('may not specify a duration less than 10 minutes'),
  );
  await assert.rejects(ask({ boundObjectRef: { kind: 'Pod', name: 'p' } }), (e: ApiError) => e.code === 422);
  await assert.rejects(ask({}, 'nobody'), (error: ApiError) => error.code === 404);
});

test('reviews are answered from the roles and bindings there are', async () => {
  const user = { name: 'alice', uid: '', groups: ['system:authenticated'], extra: {} };
  const resourceAttributes = { verb: 'get', resource: 'secrets', namespace: 'default' };
  const allowed = async (): Promise<unknown> => {
    const answer = await h.create('selfsubjectaccessreviews', '', { spec: { resourceAttributes } }, { user });
    return (answer['status'] as { allowed: boolean }).allowed;
  };
  assert.equal(await allowed(), false);
  await h.create('rolebindings', 'default', {
    metadata: { name: 'alice-views' },
    subjects: [{ kind: 'User', name: 'alice' }],
    roleRef: { kind: 'ClusterRole', name: 'admin' },
  });
  await h.until(async () => ((await allowed()) === true ? true : undefined));
  await h.delete('rolebindings', 'default', 'alice-views');
  await h.until(async () => ((await allowed()) === false ? true : undefined));

  const who = await h.create('selfsubjectreviews', '', {}, { user });
  assert.deepEqual((who['status'] as { userInfo: { username: string } }).userInfo.username, 'alice');
  const { kvs } = await h.store.range({
    key: Buffer.from('/registry/'),
    rangeEnd: Buffer.from('/registry0'),
    keysOnly: true,
  });
  assert.equal(
    kvs.some(({ key }) => key.toString().includes('review')),
    false,
  );
});
