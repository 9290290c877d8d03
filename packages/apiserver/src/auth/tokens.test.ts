import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import type { VerifiedToken } from './service-account-tokens.js';
import { ApiServerError } from '../errors.js';
import { createServiceAccountTokens } from './service-account-tokens.js';
import { createTokenAuthenticator } from './authenticator.js';
import { createStaticTokens, parseTokenFile } from './static-tokens.js';

const ISSUER = 'https://issuer.test';

function pem(type: 'rsa' | 'ec'): string {
  const { privateKey } =
    type === 'rsa'
      ? generateKeyPairSync('rsa', { modulusLength: 2048 })
      : generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

const ecKey = pem('ec');
const rsaKey = pem('rsa');
const start = new Date('2030-01-01T00:00:00Z');

function tokensWith(privateKey: string, now: () => Date = () => start, verifyKeys: string[] = []) {
  return createServiceAccountTokens({ keys: { privateKey, verifyKeys }, issuer: ISSUER, now, randomBytes });
}

const spec = { namespace: 'team', name: 'robot', uid: 'u-1', audiences: [], expirationSeconds: 600 };

describe('service account tokens', () => {
  for (const [name, key] of [
    ['EC', ecKey],
    ['RSA', rsaKey],
  ] as const) {
    test(`${name}: what is signed verifies and names the account`, async () => {
      const tokens = tokensWith(key);
      const { token, expires } = await tokens.sign(spec);
      assert.equal(expires.getTime(), start.getTime() + 600_000);
      assert.equal(tokens.claims(token), true);
      const verified = await tokens.verify(token);
      assert.equal(verified.user.name, 'system:serviceaccount:team:robot');
      assert.equal(verified.user.uid, 'u-1');
      assert.deepEqual(verified.user.groups, ['system:serviceaccounts', 'system:serviceaccounts:team']);
      assert.deepEqual(verified.audiences, [ISSUER]);
      const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Record<
        string,
        unknown
      >;
      assert.deepEqual(claims['kubernetes.io'], {
        namespace: 'team',
        serviceaccount: { name: 'robot', uid: 'u-1' },
      });
    });
  }

  test('a token bound to an object carries it', async () => {
    const tokens = tokensWith(ecKey);
    const boundObject = { kind: 'Pod', name: 'p', uid: 'pu' } as const;
    const { token } = await tokens.sign({ ...spec, boundObject });
    const verified = await tokens.verify(token);
    assert.deepEqual(verified.boundObject, boundObject);
    assert.deepEqual(verified.user.extra['authentication.kubernetes.io/pod-name'], ['p']);
  });

  test('expiry, audience, issuer, key and every flipped character are noticed', async () => {
    const tokens = tokensWith(ecKey);
    const { token } = await tokens.sign(spec);
    const later = tokensWith(ecKey, () => new Date(start.getTime() + 601_000));
    await assert.rejects(later.verify(token), { code: 'service-account-token-expired' });
    await assert.rejects(tokens.verify(token, ['other']), { code: 'service-account-token-invalid' });
    await assert.rejects(tokensWith(rsaKey).verify(token), { code: 'service-account-token-invalid' });
    const elsewhere = createServiceAccountTokens({
      keys: { privateKey: ecKey },
      issuer: 'https://other.test',
      now: () => start,
      randomBytes,
    });
    await assert.rejects(elsewhere.verify(token), { code: 'service-account-token-invalid' });
    assert.equal(elsewhere.claims(token), false);
    for (let i = 0; i < token.length; i += 7) {
      const flipped = token.slice(0, i) + (token[i] === 'A' ? 'B' : 'A') + token.slice(i + 1);
      await assert.rejects(tokens.verify(flipped), ApiServerError, `character ${i}`);
    }
    for (const junk of ['', '.', '..', 'a.b.c', '{}', 'x'.repeat(100_000)]) {
      await assert.rejects(tokens.verify(junk), ApiServerError);
      assert.equal(tokens.claims(junk), false);
    }
  });

  test('an unsigned token is refused', async () => {
    const tokens = tokensWith(ecKey);
    const { token } = await tokens.sign(spec);
    const header = Buffer.from('{"alg":"none"}').toString('base64url');
    await assert.rejects(tokens.verify(`${header}.${token.split('.')[1] ?? ''}.`), {
      code: 'service-account-token-invalid',
    });
  });

  test('a rotated-out key still verifies when it is listed', async () => {
    const { token } = await tokensWith(ecKey).sign(spec);
    const verified = await tokensWith(rsaKey, () => start, [ecKey]).verify(token);
    assert.equal(verified.name, 'robot');
    assert.equal((await tokensWith(rsaKey, () => start, [ecKey]).jwks()).keys.length, 2);
    for (const key of (await tokensWith(rsaKey).jwks()).keys) assert.equal('d' in key, false);
  });

  test('keys that are no keys, too short or of another curve are refused without quoting them', () => {
    const short = generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey;
    const curve = generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).privateKey;
    for (const key of [
      'no PEM at all: hunter2',
      short.export({ type: 'pkcs8', format: 'pem' }).toString(),
      curve.export({ type: 'pkcs8', format: 'pem' }).toString(),
    ]) {
      assert.throws(
        () => tokensWith(key),
        (error: unknown) => {
          assert.ok(error instanceof ApiServerError);
          assert.equal(error.code, 'bad-service-account-key');
          assert.doesNotMatch(error.message, /hunter2/);
          return true;
        },
      );
    }
  });
});

describe('token file', () => {
  test('lines become users; quotes hold several groups; comments and empty lines are skipped', () => {
    const tokens = parseTokenFile('# who\n\nt1,ann,1\r\nt2,bob,2,"ops,dev"\nt3,"a ""b""",3,one\n');
    assert.deepEqual(
      tokens.map(({ user }) => [user.name, user.uid, user.groups]),
      [
        ['ann', '1', []],
        ['bob', '2', ['ops', 'dev']],
        ['a "b"', '3', ['one']],
      ],
    );
    const find = createStaticTokens(tokens);
    assert.equal(find('t2')?.name, 'bob');
    assert.equal(find('t4'), undefined);
    assert.equal(find(''), undefined);
  });

  test('a bad line is named by its number and its token is not printed', () => {
    for (const [content, line] of [
      ['a,b,c\nhunter2,b', 2],
      ['hunter2,,c', 1],
      [',b,c', 1],
      ['hunter2,b,c,"open', 1],
      ['hunter2,b,c\nhunter2,d,e', 2],
    ] as const) {
      assert.throws(
        () => parseTokenFile(content),
        (error: unknown) => {
          assert.ok(error instanceof Error);
          assert.match(error.message, new RegExp(`line ${line}`));
          assert.doesNotMatch(error.message, /hunter2/);
          return true;
        },
      );
    }
  });
});

describe('authenticating a token', () => {
  test('service account tokens are checked against the account, and believed for ten seconds', async () => {
    let clock = start;
    const tokens = tokensWith(ecKey, () => clock);
    const asked: VerifiedToken[] = [];
    let alive = true;
    const authenticate = createTokenAuthenticator({
      staticTokens: createStaticTokens([]),
      serviceAccountTokens: tokens,
      checkServiceAccount: async (token) => {
        asked.push(token);
        return alive;
      },
      now: () => clock,
    });
    const { token } = await tokens.sign(spec);
    const untilMs = start.getTime() + 10_000;
    const outcome = await authenticate(token);
    assert.equal(outcome.kind === 'authenticated' && outcome.untilMs, untilMs);
    clock = new Date(untilMs - 1);
    const remembered = await authenticate(token);
    assert.equal(remembered.kind === 'authenticated' && remembered.untilMs, untilMs, 'not ten seconds more');
    assert.equal(asked.length, 1);
    alive = false;
    clock = new Date(untilMs);
    assert.equal((await authenticate(token)).kind, 'refused');
    alive = true;
    assert.equal((await authenticate(token)).kind, 'authenticated', 'a refusal is not remembered');
    assert.equal((await authenticate('somebody-elses')).kind, 'unknown');
  });

  test('no token is believed after it has expired', async () => {
    const tokens = tokensWith(ecKey);
    const authenticate = createTokenAuthenticator({
      staticTokens: createStaticTokens([]),
      serviceAccountTokens: tokens,
      checkServiceAccount: async () => true,
      now: () => start,
    });
    const { token, expires } = await tokens.sign({ ...spec, expirationSeconds: 5 });
    const outcome = await authenticate(token);
    assert.equal(outcome.kind === 'authenticated' && outcome.untilMs, expires.getTime());
  });

  test('a static token is for this server only', async () => {
    const authenticate = createTokenAuthenticator({
      staticTokens: createStaticTokens(parseTokenFile('t,ann,1')),
      serviceAccountTokens: tokensWith(ecKey),
      checkServiceAccount: async () => true,
      now: () => start,
    });
    const outcome = await authenticate('t');
    assert.equal(
      outcome.kind === 'authenticated' && outcome.user.groups.includes('system:authenticated'),
      true,
    );
    assert.equal((await authenticate('t', ['vault'])).kind, 'unknown');
    assert.equal((await authenticate('t', [ISSUER])).kind, 'authenticated');
  });
});
