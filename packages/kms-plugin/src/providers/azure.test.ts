/** The azure provider over Microsoft's client and a small vault: what it sends, what it makes of answers and faults. */
import assert from 'node:assert/strict';
import { constants, createHash, createPublicKey, publicEncrypt, type KeyObject } from 'node:crypto';
import { test } from 'node:test';
import { testProviderContract } from '../contract/provider-contract.js';
import { KmsPluginError, type FailureClass } from '../errors.js';
import { fail, send, testHsmHost, testKeyVersion } from '../testing/azure-key-vault-server.js';
import { createAzureTestMaterial, failing, open, seal, startAzureTest } from '../testing/azure-provider.js';
import { createAzureProvider } from './azure.js';

const material = await createAzureTestMaterial();
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
// RFC 8017 §7.1.1: 256 bytes less two hashes and two.
const oaepMaxBytes = 190;

testProviderContract(
  'azure, RSA-OAEP-256',
  async (t) => {
    const { create, vault, version } = await startAzureTest(t, material);
    return create({ keyUrl: `${vault.vaultUrl}/keys/k8s/${version.version}` });
  },
  oaepMaxBytes,
);

testProviderContract('azure, A256GCM of a managed HSM', async (t) => {
  const versions = [testKeyVersion(material.aes)];
  const { create, vault } = await startAzureTest(t, material, { host: testHsmHost, versions });
  const keyUrl = `${vault.vaultUrl}/keys/k8s/${versions[0]?.version ?? ''}`;
  return create({ keyUrl, algorithm: 'A256GCM' });
});

test('the vault is asked as it documents, and the value is what kubernetes-kms writes', async (t) => {
  const { create, vault, version } = await startAzureTest(t, material);
  const keyUrl = `${vault.vaultUrl}/keys/k8s/${version.version}`;
  const provider = await create({ keyUrl });
  const wrapped = await seal(provider, 'a seed');
  assert.equal(wrapped.keyId, sha256(keyUrl));
  assert.deepEqual(
    Object.fromEntries(Object.entries(wrapped.annotations).map(([name, value]) => [name, value.toString()])),
    {
      'version.azure.akv.io': '1',
      'algorithm.azure.akv.io': 'RSA-OAEP-256',
      'key-version.azure.akv.io': version.version,
    },
  );
  assert.match(wrapped.ciphertext.toString(), /^[A-Za-z0-9_-]{342}$/);
  assert.equal(await open(provider, wrapped), 'a seed');
  assert.deepEqual(vault.problems, []);
  // Beside them, the version is looked at in the background.
  const operations = vault.calls.filter(({ method }) => method === 'POST');
  assert.deepEqual(
    operations.map(({ method, path, fields }) => ({ method, path, fields })),
    [
      {
        method: 'POST',
        path: `/keys/k8s/${version.version}/encrypt`,
        fields: { alg: 'RSA-OAEP-256', value: Buffer.from('a seed').toString('base64url') },
      },
      {
        method: 'POST',
        path: `/keys/k8s/${version.version}/decrypt`,
        fields: { alg: 'RSA-OAEP-256', value: wrapped.ciphertext.toString() },
      },
    ],
  );
});

test('an AES key of a managed HSM binds the key and its version', async (t) => {
  const versions = [testKeyVersion(material.aes)];
  const { create, vault } = await startAzureTest(t, material, { host: testHsmHost, versions });
  const provider = await create({ algorithm: 'A256GCM' });
  const wrapped = await seal(provider, 'a seed');
  const sealed = vault.calls.find(({ path }) => path.endsWith('/encrypt'));
  assert.equal(
    Buffer.from(String(sealed?.fields['aad']), 'base64url').toString(),
    `waxseal azure v1 ${vault.vaultUrl}/keys/k8s/${versions[0]?.version ?? ''}`,
  );
  assert.match(wrapped.ciphertext.toString(), /^A256GCM\.[0-9a-f]{32}\./);
  assert.equal(await open(provider, wrapped), 'a seed');
  assert.deepEqual(vault.problems, []);
  const unaware = await create();
  assert.equal(
    await open(unaware, wrapped),
    'a seed',
    'the value says how it is opened, not the configuration',
  );
});

/** As kubernetes-kms makes it: RSA under the public half, and the vault's base64url text as it is. */
function sealedElsewhere(rsa: KeyObject, plaintext: string | Buffer, v1 = false): Buffer {
  const padding = v1
    ? { padding: constants.RSA_PKCS1_PADDING }
    : { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' };
  return publicEncrypt({ key: createPublicKey(rsa), ...padding }, Buffer.from(plaintext));
}

test('values of kubernetes-kms are read: KMS v2, KMS v1, and the build over the newer SDK', async (t) => {
  const { create, vault, version } = await startAzureTest(t, material);
  const keyUrl = `${vault.vaultUrl}/keys/k8s/${version.version}`;
  const annotations = {
    'date.azure.akv.io': Buffer.from('Mon, 02 Jan 2023 03:04:05 GMT'),
    'x-ms-request-id.azure.akv.io': Buffer.from('11112222-3333-4444-5555-666677778888'),
    'x-ms-keyvault-region.azure.akv.io': Buffer.from('westus2'),
    'version.azure.akv.io': Buffer.from('1'),
    'algorithm.azure.akv.io': Buffer.from('RSA-OAEP-256'),
  };
  const stored = Buffer.from(sealedElsewhere(material.rsa, 'seed v2').toString('base64url'));
  const v2 = { ciphertext: stored, annotations, version: 'v2', keyId: sha256(keyUrl) } as const;
  const v1 = {
    ciphertext: Buffer.from(sealedElsewhere(material.rsa, 'dek v1', true).toString('base64url')),
    annotations: {},
    version: 'v1',
    keyId: undefined,
  } as const;
  const twice = Buffer.from('seed twice').toString('base64url');
  const newer = { ...v2, ciphertext: sealedElsewhere(material.rsa, twice) };
  for (const provider of [await create({ keyUrl }), await create()]) {
    for (const [value, plaintext] of [
      [v2, 'seed v2'],
      [v1, 'dek v1'],
      [newer, 'seed twice'],
    ] as const) {
      assert.ok(provider.recognizes(value));
      assert.equal(await open(provider, value), plaintext);
    }
    await assert.rejects(
      open(provider, { ...v2, keyId: sha256('another') }),
      failing('corrupt', /another key/),
    );
    for (const [name, text] of [
      ['version.azure.akv.io', '2'],
      ['algorithm.azure.akv.io', 'RSA-OAEP'],
      ['algorithm.azure.akv.io', 'A256GCM'],
      ['key-version.azure.akv.io', '../../secrets'],
      ['key-version.azure.akv.io', '0'.repeat(32)],
    ] as const) {
      const changed = { ...v2, annotations: { ...annotations, [name]: Buffer.from(text) } };
      await assert.rejects(open(provider, changed), failing('corrupt'), `${name}: ${text}`);
    }
  }
  assert.ok(vault.calls.every(({ path }) => !path.includes('secrets')));
  const known = await create({ keyUrl });
  for (const foreign of ['', 'vault:v1:abc', '1', 'A256GCM.x.y.z', '\u0001\u0002']) {
    assert.ok(!known.recognizes({ ...v2, ciphertext: Buffer.from(foreign, 'latin1') }), foreign);
  }
});

test('an answer of another key is not trusted, nor one without its key', async (t) => {
  const { create, vault, version } = await startAzureTest(t, material);
  const keyUrl = `${vault.vaultUrl}/keys/k8s/${version.version}`;
  const provider = await create({ keyUrl });
  const wrapped = await seal(provider, 'dek');
  const answers: readonly (readonly [unknown, RegExp])[] = [
    [keyUrl.replace(version.version, '0'.repeat(32)), /another key/],
    [keyUrl.replace('k8s', 'other'), /another key/],
    [keyUrl.replace('wax-test', 'evil'), /another key/],
    [undefined, /lacks the id/],
    [7, /lacks the id/],
    ['no url', /lacks the id/],
  ];
  for (const [kid, message] of answers) {
    vault.interfere = (_call, response) => {
      send(response, 200, { kid, value: 'AAAA' });
      return true;
    };
    await assert.rejects(seal(provider, 'dek'), failing('internal', message));
    await assert.rejects(open(provider, wrapped), failing('internal', message));
  }
});

const refusals: readonly (readonly [number, string, string | undefined, FailureClass, RegExp])[] = [
  [403, 'Forbidden', 'AccessDenied', 'denied', /access policy/],
  [403, 'Forbidden', 'ForbiddenByRbac', 'denied', /Crypto User/],
  [403, 'Forbidden', 'ForbiddenByPolicy', 'denied', /access policy/],
  [403, 'Forbidden', 'ForbiddenByFirewall', 'denied', /firewall/],
  [403, 'Forbidden', 'KeyDisabled', 'user-induced', /enable it/],
  [403, 'Forbidden', 'KeyExpired', 'user-induced', /expired/],
  [403, 'Forbidden', 'KeyNotYetValid', 'user-induced', /not valid yet/],
  [403, 'Forbidden', undefined, 'denied', /Allow the identity/],
  [404, 'KeyNotFound', undefined, 'user-induced', /does not exist/],
  [409, 'Conflict', 'ObjectIsDeletedButRecoverable', 'user-induced', /recover it/],
  [400, 'BadParameter', undefined, 'user-induced', /algorithm/],
  [429, 'Throttled', undefined, 'throttled', /rate/],
  [500, 'InternalServerError', undefined, 'unavailable', /tried again/],
  [503, 'NeverHeardOf', undefined, 'unavailable', /tried again/],
  [418, 'NeverHeardOf', undefined, 'internal', /./],
];
for (const [status, code, inner, failureClass, message] of refusals) {
  test(`${status} ${code} ${inner ?? ''} is ${failureClass}`, async (t) => {
    const { create, vault, version } = await startAzureTest(t, material);
    const provider = await create({
      keyUrl: `${vault.vaultUrl}/keys/k8s/${version.version}`,
      maxAttempts: 1,
    });
    vault.interfere = (_call, response) => {
      fail(response, status, code, inner);
      return true;
    };
    await assert.rejects(seal(provider, 'dek'), failing(failureClass, message));
  });
}

test('a vault that says when to come back is not waited for past the deadline', async (t) => {
  const { create, vault, version } = await startAzureTest(t, material);
  const provider = await create({ keyUrl: `${vault.vaultUrl}/keys/k8s/${version.version}` });
  for (const [status, failureClass] of [
    [429, 'throttled'],
    [503, 'unavailable'],
  ] as const) {
    vault.interfere = (_call, response) => {
      response.setHeader('retry-after', '3600');
      fail(response, status, 'Throttled');
      return true;
    };
    const posts = (): number => vault.calls.filter(({ method }) => method === 'POST').length;
    const before = posts();
    await assert.rejects(seal(provider, 'dek'), failing(failureClass));
    assert.equal(posts(), before + 1);
  }
});

test('garbage is refused and never quoted', async (t) => {
  const { create, vault, version } = await startAzureTest(t, material);
  const provider = await create({ keyUrl: `${vault.vaultUrl}/keys/k8s/${version.version}` });
  const kid = `${vault.vaultUrl}/keys/k8s/${version.version}`;
  for (const body of [
    '',
    'never shown',
    '[]',
    'null',
    '{}',
    JSON.stringify({ kid }),
    JSON.stringify({ kid, value: '' }),
  ]) {
    vault.interfere = (_call, response) => {
      response.writeHead(200, { 'content-type': 'application/json' }).end(body);
      return true;
    };
    await assert.rejects(seal(provider, 'dek'), failing('internal'), body);
  }
});

test('a hanging vault is left when the caller says so', async (t) => {
  const { create, vault } = await startAzureTest(t, material);
  const provider = await create();
  await seal(provider, 'dek');
  const abort = new AbortController();
  vault.interfere = () => {
    setImmediate(() => {
      abort.abort();
    });
    return true;
  };
  await assert.rejects(seal(provider, 'dek', abort.signal), failing('cancelled'));
});

test('a reset connection is tried again, one that always resets is unavailable', async (t) => {
  const { create, vault } = await startAzureTest(t, material);
  const provider = await create();
  let resets = 1;
  vault.interfere = (_call, _response, request) => {
    resets -= 1;
    if (resets < 0) return false;
    request.socket.resetAndDestroy();
    return true;
  };
  await seal(provider, 'dek');
  resets = 100;
  await assert.rejects(seal(provider, 'dek'), failing('unavailable', /cannot be reached/));
});

test('nobody at the endpoint, or a certificate of nobody we know, is unavailable', async (t) => {
  const { create, vault } = await startAzureTest(t, material);
  const { certificates } = await createAzureTestMaterial();
  const other = await startAzureTest(t, { ...material, certificates });
  const doubting = await create({ keyUrl: `${other.vault.vaultUrl}/keys/k8s` });
  await assert.rejects(seal(doubting, 'dek'), failing('unavailable', /not trusted/));
  const provider = await create();
  vault.server.close();
  vault.server.closeAllConnections();
  await assert.rejects(seal(provider, 'dek'), failing('unavailable', /cannot be reached/));
});

test('a closed provider does not come back', async (t) => {
  const { create } = await startAzureTest(t, material);
  const provider = await create();
  const wrapped = await seal(provider, 'dek');
  await provider.close();
  await assert.rejects(open(provider, wrapped), failing('cancelled'));
});

test('options that cannot be used are said at once', () => {
  for (const options of [
    {},
    { keyUrl: 'http://v.vault.azure.net/keys/k' },
    { keyUrl: 'https://v.vault.azure.net/secrets/k' },
    { keyUrl: 'https://v.vault.azure.net/keys/k/not-a-version' },
    { keyUrl: 'https://v.vault.azure.net/keys/k?x=y' },
    { keyUrl: 'https://v.vault.azure.net/keys/k', keyName: 'k' },
    { vaultName: 'v', keyName: 'k' },
    { vaultName: 'v_v', keyName: 'k' },
    { vaultName: 'vault', keyName: 'k/..' },
    { vaultName: 'vault' },
    { vaultName: 'vault', keyName: 'k', pollIntervalMs: 0 },
  ]) {
    assert.throws(
      () => createAzureProvider(options),
      (error) => error instanceof KmsPluginError && error.code === 'invalid_options',
      JSON.stringify(options),
    );
  }
});

test('the names of kubernetes-kms make its key id', () => {
  const keyVersion = '262067a9e8ba401aa8a746c5f1a7e147';
  for (const [options, host] of [
    [{ vaultName: 'TestKV' }, 'testkv.vault.azure.net'],
    [{ vaultName: 'testkv', managedHsm: true }, 'testkv.managedhsm.azure.net'],
    [{ vaultName: 'testkv', cloud: 'china' }, 'testkv.vault.azure.cn'],
    [{ vaultName: 'testkv', cloud: 'us-government' }, 'testkv.vault.usgovcloudapi.net'],
  ] as const) {
    const provider = createAzureProvider({ ...options, keyName: 'key1', keyVersion });
    assert.equal(provider.snapshot().keyId, sha256(`https://${host}/keys/key1/${keyVersion}`));
  }
});
