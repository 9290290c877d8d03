/** How the vault provider comes by its token: each login, renewal, a token that is refused, how often it logs in. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { ProviderError, type FailureClass } from '../errors.js';
import type { Provider } from '../provider.js';
import { createTestCertificates } from '../testing/certificates.js';
import { createFakeClock, type FakeClock } from '../testing/fake-clock.js';
import { tempFolder } from '../testing/temp-folder.js';
import {
  startTestVault,
  testJwt,
  testKeyName,
  testRole,
  testRoleId,
  testSecretId,
  testWrappingToken,
  type TestVault,
} from '../testing/vault-transit-server.js';
import type { VaultAuth } from './vault-logins.js';
import { createVaultProvider, type VaultProviderOptions } from './vault.js';

const signal = (): AbortSignal => new AbortController().signal;
const roleId = testRoleId;

interface Bench {
  readonly vault: TestVault;
  readonly clock: FakeClock;
  readonly folder: string;
  readonly start: (auth: VaultAuth, options?: Partial<VaultProviderOptions>) => Provider;
  readonly file: (name: string, content: string) => Promise<string>;
  /** Paths below auth/ and sys/ that were asked so far. */
  readonly asked: () => readonly string[];
  /** Until the provider has planned its next look at the lease, or so many looks at anything; what it planned before does not count. */
  readonly planned: (looks?: number) => Promise<void>;
}

async function bench(t: TestContext, tls?: Parameters<typeof startTestVault>[1]): Promise<Bench> {
  const vault = await startTestVault(t, tls);
  const fake = createFakeClock();
  let onPlan = (): void => {};
  const clock: FakeClock = {
    ...fake,
    after: (delayMs, run) => {
      const cancel = fake.after(delayMs, run);
      // Shorter ones are deadlines.
      if (delayMs > 10_000) onPlan();
      return cancel;
    },
  };
  vault.nowMs = () => clock.nowMs();
  const folder = await tempFolder(t);
  return {
    vault,
    clock,
    folder,
    start: (auth, options = {}) => {
      const provider = createVaultProvider({
        address: vault.address,
        keyName: testKeyName,
        auth,
        clock,
        keyPollMs: 1e13,
        ...options,
      });
      t.after(() => provider.close());
      return provider;
    },
    file: async (name, content) => {
      const path = join(folder, name);
      await writeFile(path, content, { mode: 0o600 });
      return path;
    },
    asked: () => vault.calls.map((call) => call.path).filter((path) => /^(auth|sys)\//.test(path)),
    planned: (looks = 1) =>
      new Promise((resolve) => {
        let left = looks;
        onPlan = () => {
          left -= 1;
          if (left === 0) resolve();
        };
      }),
  };
}

const seal = (provider: Provider): Promise<unknown> =>
  provider.encrypt(provider.snapshot(), Buffer.from('dek'), signal());
const failing = (failureClass: FailureClass, message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof ProviderError, String(error));
  assert.equal(error.failure.class, failureClass, error.message);
  assert.match(error.message, message);
  return true;
};

test('AppRole logs in with the files, once for many calls', async (t) => {
  const { vault, start, file, asked } = await bench(t);
  const auth: VaultAuth = {
    kind: 'approle',
    roleIdFile: await file('role-id', `${testRoleId}\n`),
    secretIdFile: await file('secret-id', `${testSecretId}\n`),
  };
  const provider = start(auth, { namespace: 'team' });
  await Promise.all(Array.from({ length: 8 }, () => seal(provider)));
  assert.deepEqual(asked(), ['auth/approle/login']);
  assert.deepEqual(vault.calls[0]?.body, { role_id: testRoleId, secret_id: testSecretId });
  assert.equal(vault.calls[0]?.namespace, 'team');
  assert.deepEqual(vault.problems, []);
});

test('a wrapped secret id is unwrapped once and used again', async (t) => {
  const { vault, clock, start, file, asked } = await bench(t);
  const secretIdFile = await file('secret-id', testWrappingToken);
  const provider = start({ kind: 'approle', roleId, secretIdFile, secretIdWrapped: true });
  await seal(provider);
  vault.tokens.clear();
  clock.advance(1000);
  await seal(provider);
  assert.deepEqual(asked(), ['sys/wrapping/unwrap', 'auth/approle/login', 'auth/approle/login']);
});

for (const kind of ['kubernetes', 'jwt'] as const) {
  test(`${kind} logs in with the token in its file, read each time`, async (t) => {
    const { vault, clock, start, file } = await bench(t);
    const jwtFile = await file('jwt', 'old');
    const provider = start({ kind, role: testRole, jwtFile });
    await assert.rejects(seal(provider), failing('denied', /permission/));
    await file('jwt', testJwt);
    await assert.rejects(seal(provider), failing('denied', /permission/), 'not twice in a second');
    clock.advance(1000);
    await seal(provider);
    assert.deepEqual(
      vault.calls.filter((call) => call.path === `auth/${kind}/login`).map((call) => call.body),
      [
        { role: testRole, jwt: 'old' },
        { role: testRole, jwt: testJwt },
      ],
    );
  });
}

test('a certificate logs in, and only with its key', async (t) => {
  const certificates = await createTestCertificates();
  const { vault, start, file } = await bench(t, certificates);
  const caFile = await file('ca.pem', certificates.caPem);
  const clientCertFile = await file('client.pem', certificates.cert);
  const clientKeyFile = await file('client.key', certificates.key);
  const provider = start({ kind: 'cert', role: testRole }, { caFile, clientCertFile, clientKeyFile });
  await seal(provider);
  assert.deepEqual(vault.calls[0]?.body, { name: testRole });
  await assert.rejects(seal(start({ kind: 'cert' }, { caFile })), failing('denied', /certificate/));
});

test('other mounts are used as they are named', async (t) => {
  const { start, asked } = await bench(t);
  await assert.rejects(
    seal(start({ kind: 'approle', roleId, mount: 'team/approle' })),
    failing('denied', /permission|policy/),
  );
  await assert.rejects(seal(start({ kind: 'cert', mount: 'other' })), failing('denied', /permission/));
  assert.deepEqual(asked(), ['auth/team/approle/login', 'auth/other/login']);
});

test('a login that is refused says so, and is tried once a second at most', async (t) => {
  const { clock, start, file, asked } = await bench(t);
  const provider = start({ kind: 'approle', roleId, secretIdFile: await file('secret-id', 'wrong') });
  for (let attempt = 0; attempt < 5; attempt++)
    await assert.rejects(seal(provider), failing('denied', /role id, the secret id/));
  assert.equal(asked().length, 1);
  await file('secret-id', testSecretId);
  clock.advance(1000);
  await seal(provider);
  assert.equal(asked().length, 2);
});

test('a lease is renewed after two thirds of it', async (t) => {
  const { vault, clock, start, planned, asked } = await bench(t);
  vault.leaseSeconds = 300;
  vault.addToken('hvs.static', 300);
  const tokens = start({ kind: 'token', token: 'hvs.static' });
  await seal(tokens);
  for (let round = 0; round < 5; round++) {
    const renewed = planned();
    clock.advance(200_000);
    await renewed;
  }
  await seal(tokens);
  assert.equal(asked().filter((path) => path.endsWith('renew-self')).length, 5);
});

test('a token that cannot be renewed for long is replaced by a login before it ends', async (t) => {
  const { vault, clock, start, file, planned, asked } = await bench(t);
  vault.leaseSeconds = 300;
  vault.maxLeaseSeconds = 330;
  const provider = start({ kind: 'approle', roleId, secretIdFile: await file('secret-id', testSecretId) });
  await seal(provider);
  const renewed = planned();
  clock.advance(200_000);
  await renewed;
  const again = planned();
  // Not by more: the deadline of the login moves with the same clock.
  clock.advance(31_000);
  await again;
  await seal(provider);
  assert.deepEqual(asked(), ['auth/approle/login', 'auth/token/renew-self', 'auth/approle/login']);
});

test('a lease of years is renewed after two thirds of it as well', async (t) => {
  const { vault, clock, start, planned, asked } = await bench(t);
  const dayMs = 86_400_000;
  vault.addToken('hvs.years', (900 * dayMs) / 1000);
  await seal(start({ kind: 'token', token: 'hvs.years' }));
  for (let day = 1; day < 600; day++) clock.advance(dayMs);
  assert.deepEqual(asked(), ['auth/token/lookup-self']);
  const renewed = planned();
  clock.advance(dayMs);
  await renewed;
  assert.equal(asked().at(-1), 'auth/token/renew-self');
});

test('a renewal that fails is followed by a login', async (t) => {
  const { vault, clock, start, file, planned } = await bench(t);
  vault.leaseSeconds = 300;
  const provider = start({ kind: 'approle', roleId, secretIdFile: await file('secret-id', testSecretId) });
  await seal(provider);
  vault.denied.add('auth/token/renew-self');
  const again = planned();
  clock.advance(200_000);
  await again;
  await seal(provider);
});

test('an expired token is replaced before it is used', async (t) => {
  const { vault, clock, start, file, asked } = await bench(t);
  vault.leaseSeconds = 300;
  const provider = start({ kind: 'approle', roleId, secretIdFile: await file('secret-id', testSecretId) });
  await seal(provider);
  clock.advance(400_000);
  await seal(provider);
  assert.equal(asked().filter((path) => path.endsWith('login')).length, 2);
  assert.notEqual(vault.calls.at(-1)?.token, vault.calls[1]?.token);
});

test('a revoked token is replaced within the call', async (t) => {
  const { vault, clock, start, file, asked } = await bench(t);
  const provider = start({ kind: 'approle', roleId, secretIdFile: await file('secret-id', testSecretId) });
  await seal(provider);
  vault.tokens.clear();
  clock.advance(1000);
  await Promise.all([seal(provider), seal(provider), seal(provider)]);
  assert.equal(asked().filter((path) => path.endsWith('login')).length, 2);
});

test('a policy that lacks something costs one login a minute, not one a call', async (t) => {
  const { vault, clock, start, file, asked } = await bench(t);
  const provider = start({ kind: 'approle', roleId, secretIdFile: await file('secret-id', testSecretId) });
  await seal(provider);
  vault.denied.add(`transit/encrypt/${testKeyName}`);
  for (let second = 0; second < 30; second++) {
    clock.advance(1000);
    await assert.rejects(seal(provider), failing('denied', /Allow the token/));
  }
  assert.equal(asked().filter((path) => path.endsWith('login')).length, 2);
});

test('a key that may not be read costs no login', async (t) => {
  const { vault, clock, start, file, asked } = await bench(t);
  vault.denied.add(`transit/keys/${testKeyName}`);
  const provider = start({ kind: 'approle', roleId, secretIdFile: await file('secret-id', testSecretId) });
  for (let minute = 0; minute < 5; minute++) {
    clock.advance(60_000);
    await provider.describe?.(signal());
  }
  assert.equal(asked().length, 1);
});

test('a token in a file is read again when it is refused, and on reload', async (t) => {
  const { vault, clock, start, file } = await bench(t);
  vault.addToken('hvs.one');
  const tokenFile = await file('token', 'hvs.one\n');
  const provider = start({ kind: 'token', tokenFile });
  await seal(provider);
  vault.tokens.clear();
  vault.addToken('hvs.two');
  await file('token', 'hvs.two\n');
  clock.advance(1000);
  await seal(provider);
  assert.equal(vault.calls.at(-1)?.token, 'hvs.two');
  vault.addToken('hvs.three');
  await file('token', 'hvs.three');
  clock.advance(1000);
  await provider.reload();
  await seal(provider);
  assert.equal(vault.calls.at(-1)?.token, 'hvs.three');
});

test('a token in a file that somebody renews is followed without a refusal', async (t) => {
  const { vault, clock, start, file, planned } = await bench(t);
  vault.addToken('hvs.one', 3600);
  vault.addToken('hvs.two', 3600);
  const tokenFile = await file('token', 'hvs.one');
  const provider = start({ kind: 'token', tokenFile }, { keyPollMs: 30_000 });
  await seal(provider);
  await file('token', 'hvs.two');
  // At the key and at the file.
  const looked = planned(2);
  clock.advance(30_000);
  await looked;
  await seal(provider);
  assert.equal(vault.calls.at(-1)?.token, 'hvs.two');
});

test('a reload that fails leaves the token as it was', async (t) => {
  const { vault, clock, start, file } = await bench(t);
  vault.addToken('hvs.one');
  const tokenFile = await file('token', 'hvs.one');
  const provider = start({ kind: 'token', tokenFile });
  await seal(provider);
  await file('token', 'never shown\n');
  clock.advance(1000);
  await assert.rejects(
    provider.reload(),
    (error) => error instanceof ProviderError && !error.message.includes('never'),
  );
  await seal(provider);
  assert.equal(vault.calls.at(-1)?.token, 'hvs.one');
});

test('a login that gives no token is said so', async (t) => {
  const { vault, start } = await bench(t);
  for (const body of [
    '{}',
    '{"auth":null}',
    '{"auth":{}}',
    '{"auth":{"client_token":"a\\nb"}}',
    '{"auth":{"client_token":5}}',
  ]) {
    vault.interfere = (_call, response) => {
      response.writeHead(200).end(body);
      return true;
    };
    await assert.rejects(seal(start({ kind: 'cert' })), failing('denied', /no token/), body);
  }
});

test('a caller that gives up leaves a login that hangs', async (t) => {
  const { vault, start } = await bench(t);
  const provider = start({ kind: 'cert' });
  const abort = new AbortController();
  vault.interfere = () => {
    setImmediate(() => {
      abort.abort();
    });
    return true;
  };
  await assert.rejects(
    provider.decrypt(
      { ciphertext: Buffer.from('vault:v1:AAAA'), version: 'v2', keyId: undefined, annotations: {} },
      abort.signal,
    ),
    failing('cancelled', /gave up/),
  );
});
