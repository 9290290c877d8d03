/** The vault provider against a small Vault: what it sends, which version it uses, what it makes of answers and faults. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { testProviderContract } from '../contract/provider-contract.js';
import { KmsPluginError, ProviderError, type FailureClass } from '../errors.js';
import type { Provider } from '../provider.js';
import { createTestCertificates } from '../testing/certificates.js';
import { createFakeClock } from '../testing/fake-clock.js';
import { tempFolder } from '../testing/temp-folder.js';
import {
  createTransitKey,
  rotateTransitKey,
  transitEncrypt,
  type TestTransitKey,
} from '../testing/vault-transit-engine.js';
import {
  refuse,
  send,
  startTestVault,
  testKeyMadeAtSeconds,
  testKeyName,
  type TestVault,
} from '../testing/vault-transit-server.js';
import { createVaultProvider, type VaultProviderOptions } from './vault.js';

const token = 'hvs.test-token';
const firstKeyId = `vault:transit/${testKeyName}:v1:${testKeyMadeAtSeconds}`;
const signal = (): AbortSignal => new AbortController().signal;

function create(t: TestContext, vault: TestVault, options: Partial<VaultProviderOptions> = {}): Provider {
  vault.addToken(token);
  const provider = createVaultProvider({
    address: vault.address,
    keyName: testKeyName,
    auth: { kind: 'token', token },
    ...options,
  });
  t.after(() => provider.close());
  return provider;
}

/** A provider that has looked at its key. */
async function ready(
  t: TestContext,
  vault: TestVault,
  options: Partial<VaultProviderOptions> = {},
): Promise<Provider> {
  const provider = create(t, vault, options);
  await provider.describe?.(signal());
  return provider;
}

async function seal(provider: Provider, plaintext = 'dek'): Promise<Buffer> {
  return (await provider.encrypt(provider.snapshot(), Buffer.from(plaintext), signal())).ciphertext;
}
const open = async (provider: Provider, ciphertext: Buffer, version: 'v1' | 'v2' = 'v2'): Promise<string> =>
  (await provider.decrypt({ ciphertext, version, keyId: undefined, annotations: {} }, signal())).toString();
const failing =
  (failureClass: FailureClass, message = /./) =>
  (error: unknown) => {
    assert.ok(error instanceof ProviderError, String(error));
    assert.equal(error.failure.class, failureClass, error.message);
    assert.match(error.message, message);
    assert.doesNotMatch(error.message, /never shown/);
    return true;
  };
const keyOf = (vault: TestVault): TestTransitKey => {
  const key = vault.keys.get(testKeyName);
  assert.ok(key !== undefined);
  return key;
};

testProviderContract('vault', async (t) => ready(t, await startTestVault(t)));

test('the call carries the version of the snapshot, the token and the namespace; the ciphertext is what Vault said', async (t) => {
  const vault = await startTestVault(t);
  const provider = await ready(t, vault, { namespace: 'team/a' });
  assert.equal(provider.snapshot().keyId, firstKeyId);
  assert.equal(provider.snapshot().keyVersion, '1');
  const ciphertext = await seal(provider);
  assert.match(ciphertext.toString(), /^vault:v1:[A-Za-z0-9+/]+=*$/);
  assert.equal(await open(provider, ciphertext), 'dek');
  assert.deepEqual(vault.problems, []);
  assert.ok(vault.calls.every((call) => call.token === token && call.namespace === 'team/a'));
  assert.deepEqual(
    vault.calls.slice(-2).map(({ method, path, body }) => ({ method, path, body })),
    [
      {
        method: 'POST',
        path: `transit/encrypt/${testKeyName}`,
        body: { plaintext: Buffer.from('dek').toString('base64'), key_version: 1 },
      },
      { method: 'POST', path: `transit/decrypt/${testKeyName}`, body: { ciphertext: ciphertext.toString() } },
    ],
  );
});

test('a rotation is seen at the next look, and the snapshot changes as a whole', async (t) => {
  const vault = await startTestVault(t);
  const clock = createFakeClock();
  const provider = await ready(t, vault, { clock });
  const before = provider.snapshot();
  const old = await seal(provider);
  rotateTransitKey(keyOf(vault), testKeyMadeAtSeconds + 60);
  assert.match((await seal(provider)).toString(), /^vault:v1:/, 'the snapshot decides');
  const looked = new Promise<void>((resolve) => {
    vault.interfere = ({ path }) => {
      if (path === `transit/keys/${testKeyName}`) setImmediate(resolve);
      return false;
    };
  });
  clock.advance(60_000);
  await looked;
  await provider.describe?.(signal());
  assert.equal(provider.snapshot().keyId, `vault:transit/${testKeyName}:v2:${testKeyMadeAtSeconds + 60}`);
  assert.match((await seal(provider)).toString(), /^vault:v2:/);
  assert.equal(await open(provider, old), 'dek');
  const { ciphertext } = await provider.encrypt(before, Buffer.from('dek'), signal());
  assert.match(ciphertext.toString(), /^vault:v1:/, 'an old snapshot keeps its version');
});

test('a version that may not encrypt any more is looked into at once', async (t) => {
  const vault = await startTestVault(t);
  const provider = await ready(t, vault);
  rotateTransitKey(keyOf(vault), testKeyMadeAtSeconds + 60);
  keyOf(vault).minEncryptionVersion = 2;
  await assert.rejects(seal(provider), failing('user-induced', /rotated/));
  assert.equal(provider.snapshot().keyVersion, '2');
  await seal(provider);
});

test('a key made anew under the same name is another key', async (t) => {
  const vault = await startTestVault(t);
  const provider = await ready(t, vault);
  vault.keys.set(testKeyName, createTransitKey(testKeyMadeAtSeconds + 1));
  await provider.describe?.(signal());
  assert.notEqual(provider.snapshot().keyId, firstKeyId);
});

test('a key that is gone is not made anew by Encrypt', async (t) => {
  const vault = await startTestVault(t);
  const provider = await ready(t, vault);
  const key = keyOf(vault);
  vault.keys.clear();
  assert.equal((await provider.describe?.(signal()))?.state, 'gone');
  const asked = vault.calls.length;
  await assert.rejects(seal(provider), failing('user-induced', /does not exist/));
  assert.ok(vault.calls.slice(asked).every((call) => !call.path.includes('encrypt')));
  vault.keys.set(testKeyName, key);
  await seal(provider);
});

test('without permission to read the key its version is learnt from Encrypt', async (t) => {
  const vault = await startTestVault(t);
  vault.denied.add(`transit/keys/${testKeyName}`);
  const provider = await ready(t, vault);
  assert.equal(provider.snapshot().keyId, `vault:transit/${testKeyName}`);
  await seal(provider);
  const first = provider.snapshot();
  assert.equal(first.keyId, `vault:transit/${testKeyName}:v1`);
  await seal(provider);
  assert.equal(provider.snapshot(), first);
  rotateTransitKey(keyOf(vault), testKeyMadeAtSeconds + 60);
  assert.match(
    (await seal(provider)).toString(),
    /^vault:v1:/,
    'the answer fits the snapshot it was asked for',
  );
  assert.equal(provider.snapshot().keyId, `vault:transit/${testKeyName}:v2`);
  assert.match((await seal(provider)).toString(), /^vault:v2:/);
});

test('context and associated data go with every call, and others do not open', async (t) => {
  const vault = await startTestVault(t);
  keyOf(vault).derived = true;
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  const options = { context: base64('cluster'), associatedData: base64('etcd') };
  const provider = await ready(t, vault, options);
  const ciphertext = await seal(provider);
  assert.equal(await open(provider, ciphertext), 'dek');
  assert.deepEqual(vault.calls.at(-1)?.body, {
    ciphertext: ciphertext.toString(),
    context: options.context,
    associated_data: options.associatedData,
  });
  const other = await ready(t, vault, { ...options, associatedData: base64('other') });
  await assert.rejects(open(other, ciphertext), failing('corrupt'));
  const without = await ready(t, vault);
  await assert.rejects(seal(without), failing('user-induced', /context/));
});

test("other plugins' values open, with v1 and v2", async (t) => {
  const vault = await startTestVault(t);
  const provider = await ready(t, vault);
  const text = String(
    transitEncrypt(keyOf(vault), { plaintext: Buffer.from('dek').toString('base64') })['ciphertext'],
  );
  for (const version of ['v1', 'v2'] as const) {
    assert.equal(await open(provider, Buffer.from(text), version), 'dek');
    const oracle = Buffer.from(text.replace('vault', testKeyName));
    assert.equal(await open(provider, oracle, version), 'dek');
  }
  const foreign = Buffer.from(text.replace('vault', 'other-key'));
  assert.ok(!provider.recognizes({ ciphertext: foreign, version: 'v1', keyId: undefined, annotations: {} }));
  const asked = vault.calls.length;
  await assert.rejects(open(provider, foreign), failing('corrupt'));
  assert.equal(vault.calls.length, asked, 'what is not a ciphertext of this key is not sent');
});

test('one old value that the key forbids says nothing against the key', async (t) => {
  const vault = await startTestVault(t);
  const provider = await ready(t, vault);
  const old = await seal(provider);
  rotateTransitKey(keyOf(vault), testKeyMadeAtSeconds + 60);
  keyOf(vault).minDecryptionVersion = 2;
  await assert.rejects(open(provider, old), failing('corrupt', /min_decryption_version/));
});

test('describe tells what is a danger to the data', async (t) => {
  const vault = await startTestVault(t);
  const provider = create(t, vault);
  assert.deepEqual(await provider.describe?.(signal()), { state: 'usable', warnings: [] });
  const key = keyOf(vault);
  for (let more = 0; more < 3; more++) rotateTransitKey(key, testKeyMadeAtSeconds + 60);
  key.deletionAllowed = true;
  key.minAvailableVersion = 2;
  key.minDecryptionVersion = 3;
  const condition = await provider.describe?.(signal());
  assert.equal(condition?.state, 'usable');
  assert.match(condition?.warnings.join('\n') ?? '', /deletion_allowed[^]*before 2[^]*before 3/);
  key.softDeleted = true;
  assert.equal((await provider.describe?.(signal()))?.state, 'disabled');
  await assert.rejects(seal(provider), failing('user-induced', /soft-deleted/));
});

const refusals: readonly (readonly [number, string, FailureClass, RegExp])[] = [
  [400, 'encryption key not found', 'user-induced', /does not exist/],
  [403, '1 error occurred:\n\t* permission denied\n\n', 'denied', /update on encrypt/],
  [404, 'no handler for route "transit/encrypt/k8s". route entry not found.', 'user-induced', /mount/],
  [412, 'required index state not present', 'unavailable', /caught up/],
  [429, 'request path "x": rate limit quota exceeded', 'throttled', /quota/],
  [472, '', 'unavailable', /standby/],
  [473, '', 'unavailable', /standby/],
  [500, 'internal error', 'unavailable', /tried again/],
  [503, 'Vault is sealed', 'unavailable', /unseal/],
  [503, '', 'unavailable', /sealed or in maintenance/],
  [400, 'never shown', 'user-induced', /refuses/],
];
for (const [status, words, failureClass, message] of refusals) {
  test(`HTTP ${status} ${JSON.stringify(words)} is ${failureClass}`, async (t) => {
    const vault = await startTestVault(t);
    const provider = await ready(t, vault);
    vault.interfere = (_call, response) => {
      refuse(response, status, words);
      return true;
    };
    await assert.rejects(seal(provider), failing(failureClass, message));
  });
}

test('garbage and error pages are refused and never quoted', async (t) => {
  const vault = await startTestVault(t);
  const provider = await ready(t, vault);
  const ciphertext = await seal(provider);
  const bodies = [
    '',
    'never shown',
    '[]',
    'null',
    '{}',
    '{"data":null}',
    '{"data":{}}',
    '<html>never shown</html>',
  ];
  const data = [
    { ciphertext: '' },
    { ciphertext: 'vault:v1:' },
    { ciphertext: 'never shown', plaintext: 'never shown' },
    { ciphertext: 5, plaintext: 5 },
    { ciphertext: `vault:v1:${'A'.repeat(1200)}`, plaintext: 'AB==' },
    { ciphertext: 'vault:v1:AB==', plaintext: 'A' },
  ].map((fields) => JSON.stringify({ data: fields }));
  for (const body of [...bodies, ...data]) {
    vault.interfere = (_call, response) => {
      response.writeHead(200, { 'content-type': 'text/html' }).end(body);
      return true;
    };
    await assert.rejects(seal(provider), failing('internal'), body);
    await assert.rejects(open(provider, ciphertext), failing('internal'), body);
  }
  vault.interfere = (_call, response) => {
    response.writeHead(502, { 'content-type': 'text/html' }).end('<html>never shown</html>');
    return true;
  };
  await assert.rejects(seal(provider), failing('unavailable', /HTTP 502/));
  vault.interfere = (_call, response) => {
    response.writeHead(200).end('x'.repeat(2 * 1024 * 1024));
    return true;
  };
  await assert.rejects(seal(provider), failing('internal', /bytes/));
});

test('an answer with another version of the key is not trusted', async (t) => {
  const vault = await startTestVault(t);
  const provider = await ready(t, vault);
  vault.interfere = (_call, response) => {
    send(response, 200, { data: { ciphertext: 'vault:v2:AAAA', key_version: 1 } });
    return true;
  };
  await assert.rejects(seal(provider), failing('internal', /another/));
});

test('a hanging Vault is left when the caller says so', async (t) => {
  const vault = await startTestVault(t);
  const provider = await ready(t, vault);
  const abort = new AbortController();
  vault.interfere = () => {
    setImmediate(() => {
      abort.abort();
    });
    return true;
  };
  await assert.rejects(
    provider.encrypt(provider.snapshot(), Buffer.from('dek'), abort.signal),
    failing('cancelled'),
  );
});

test('a reset connection is tried again, one that always resets is unavailable', async (t) => {
  const vault = await startTestVault(t);
  const provider = await ready(t, vault);
  let resets = 1;
  vault.interfere = (_call, _response, request) => {
    resets -= 1;
    if (resets < 0) return false;
    request.socket.resetAndDestroy();
    return true;
  };
  await seal(provider);
  resets = 100;
  await assert.rejects(seal(provider), failing('unavailable', /cannot be reached/));
});

test('a Vault that is away at the start, or sealed, is unavailable, and works once it is back', async (t) => {
  const vault = await startTestVault(t);
  const clock = createFakeClock();
  const provider = create(t, vault, { clock });
  assert.equal(provider.snapshot().keyId, `vault:transit/${testKeyName}`);
  vault.sealed = true;
  await assert.rejects(seal(provider), failing('unavailable', /unseal/));
  vault.sealed = false;
  clock.advance(1000);
  await seal(provider);
  assert.equal(provider.snapshot().keyId, firstKeyId);
  vault.server.close();
  vault.server.closeAllConnections();
  await assert.rejects(seal(provider), failing('unavailable', /ECONNREFUSED/));
});

test('the next node is asked when one does not serve', async (t) => {
  const [one, two] = [await startTestVault(t), await startTestVault(t)];
  two.keys.set(testKeyName, keyOf(one));
  two.addToken(token);
  const provider = await ready(t, one, { address: [one.address, two.address] });
  one.sealed = true;
  const ciphertext = await seal(provider);
  const asked = one.calls.length;
  assert.equal(await open(provider, ciphertext), 'dek');
  assert.equal(one.calls.length, asked, 'the node that answered is asked first');
});

test('a redirection is followed to a node that is named, and to no other', async (t) => {
  const [standby, active, stranger] = [
    await startTestVault(t),
    await startTestVault(t),
    await startTestVault(t),
  ];
  for (const vault of [active, stranger]) {
    vault.keys.set(testKeyName, keyOf(standby));
    vault.addToken(token);
  }
  const provider = await ready(t, standby, { address: [standby.address, active.address] });
  const redirect =
    (to: string): TestVault['interfere'] =>
    ({ path }, response) => {
      response.writeHead(307, { location: `${to}/v1/${path}` }).end();
      return true;
    };
  standby.interfere = redirect(active.address);
  await seal(provider);
  assert.ok(active.calls.length > 0);
  active.interfere = redirect(stranger.address);
  await assert.rejects(seal(provider), failing('user-induced', /redirects/));
  assert.deepEqual(stranger.calls, []);
  active.interfere = redirect(standby.address);
  await assert.rejects(seal(provider), failing('user-induced', /redirects/), 'no circle');
});

test('a private CA is trusted when it is named and only then', async (t) => {
  const certificates = await createTestCertificates();
  const vault = await startTestVault(t, certificates);
  const caFile = join(await tempFolder(t), 'ca.pem');
  await writeFile(caFile, certificates.caPem);
  const trusting = await ready(t, vault, { caFile });
  assert.equal(await open(trusting, await seal(trusting)), 'dek');
  await trusting.reload();
  assert.equal(await open(trusting, await seal(trusting)), 'dek');
  await assert.rejects(seal(create(t, vault)), failing('unavailable', /not trusted/));
  await assert.rejects(
    seal(create(t, vault, { caFile: `${caFile}.absent` })),
    failing('user-induced', /cannot be read/),
  );
});

test('options that cannot be used are refused before anything is sent', () => {
  const base = { address: 'https://vault.example', keyName: 'k', auth: { kind: 'token', token } } as const;
  const bad: readonly Partial<VaultProviderOptions>[] = [
    { address: 'http://vault.example' },
    { address: [] },
    { address: 'https://vault.example/v1' },
    { keyName: '' },
    { keyName: '../x' },
    { keyName: 'a/b' },
    { mount: 'a//b' },
    { mount: '../sys' },
    { mount: 'a?b' },
    { namespace: 'a\r\nb' },
    { context: 'not base64' },
    { associatedData: '' },
    { clientCertFile: 'x' },
    { auth: { kind: 'token' } },
    { auth: { kind: 'token', token: 'a\nb' } },
    { auth: { kind: 'token', token, tokenFile: 'x' } },
    { auth: { kind: 'approle', mount: '..', roleId: 'r' } },
  ];
  for (const options of bad) {
    assert.throws(
      () => createVaultProvider({ ...base, ...options }),
      (error) => error instanceof KmsPluginError && error.code === 'invalid_options',
      JSON.stringify(options),
    );
  }
});
