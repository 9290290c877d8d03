/** Ways to be someone to Azure, through Microsoft's own library and a small token endpoint. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { KmsPluginError } from '../errors.js';
import type { Provider } from '../provider.js';
import { testClient, testTenant, testToken, type TestVault } from '../testing/azure-key-vault-server.js';
import { createAzureTestMaterial, failing, open, seal, startAzureTest } from '../testing/azure-provider.js';
import { tempFolder } from '../testing/temp-folder.js';
import { createAzureCredential, type AzureCredentialOptions } from './azure-credentials.js';
import { createAzureProviderIn } from './azure.js';

const material = await createAzureTestMaterial();

/** A provider that has to fetch its own token. */
async function identified(
  t: TestContext,
  credential: AzureCredentialOptions,
): Promise<{ readonly vault: TestVault; readonly provider: Provider }> {
  const { vault } = await startAzureTest(t, material);
  const ca = material.certificates.caPem;
  const caFile = join(await tempFolder(t), 'ca.pem');
  await writeFile(caFile, ca);
  const provider = createAzureProviderIn(
    { keyUrl: `${vault.vaultUrl}/keys/k8s`, caFile, credential },
    { lookup: vault.lookup, authority: { authorityHost: vault.authorityHost, ca } },
  );
  t.after(() => provider.close());
  return { vault, provider };
}

async function fileWith(t: TestContext, text: string): Promise<string> {
  const path = join(await tempFolder(t), 'credential');
  await writeFile(path, text, { mode: 0o600 });
  return path;
}

const application = { tenantId: testTenant, clientId: testClient.id } as const;

test('a client secret from a file gets a token once, for many calls', async (t) => {
  const secretFile = await fileWith(t, `${testClient.secret}\n`);
  const { vault, provider } = await identified(t, { kind: 'client-secret', ...application, secretFile });
  assert.equal(await open(provider, await seal(provider, 'dek')), 'dek');
  assert.equal(vault.tokensGiven, 1);
  assert.deepEqual(vault.problems, []);
});

test("the debug output of Azure's client holds no token, secret or plaintext", () => {
  const { NODE_TEST_CONTEXT: _inner, ...env } = process.env;
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['--test', '--test-name-pattern=gets a token once', fileURLToPath(import.meta.url)],
    { env: { ...env, AZURE_LOG_LEVEL: 'verbose' }, encoding: 'utf8', maxBuffer: 2 ** 26 },
  );
  assert.equal(status, 0, stderr);
  const output = stdout + stderr;
  assert.match(output, /azure:keyvault-keys:info/);
  for (const marker of [testToken, testClient.secret, Buffer.from('dek').toString('base64url')]) {
    assert.ok(!output.includes(marker), marker);
  }
});

test('azure.json of the cloud provider is read as kubernetes-kms reads it', async (t) => {
  const { id: aadClientId, secret: aadClientSecret } = testClient;
  const azureJson = { cloud: 'AzurePublicCloud', tenantId: testTenant, aadClientId, aadClientSecret };
  const file = await fileWith(t, JSON.stringify(azureJson));
  const { provider } = await identified(t, { kind: 'azure-json', file });
  assert.equal(await open(provider, await seal(provider, 'dek')), 'dek');
});

test('a secret that was renewed is read again on reload; one that is wrong keeps its words to itself', async (t) => {
  const secretFile = await fileWith(t, 'never-shown');
  const { provider } = await identified(t, { kind: 'client-secret', ...application, secretFile });
  await assert.rejects(seal(provider, 'dek'), failing('denied', /secret or certificate/));
  await writeFile(secretFile, testClient.secret);
  await provider.reload();
  assert.equal(await open(provider, await seal(provider, 'dek')), 'dek');
});

test('a file that cannot be used is named and never quoted, and a failed reload changes nothing', async (t) => {
  const secretFile = await fileWith(t, testClient.secret);
  const { provider } = await identified(t, { kind: 'client-secret', ...application, secretFile });
  await seal(provider, 'dek');
  await writeFile(secretFile, '  \n');
  await assert.rejects(
    provider.reload(),
    (error) => error instanceof KmsPluginError && error.code === 'credentials_invalid',
  );
  assert.equal(await open(provider, await seal(provider, 'dek')), 'dek');
  const bad = [
    { kind: 'client-secret', ...application, secretFile: `${secretFile}.absent` },
    { kind: 'client-certificate', ...application, certificateFile: `${secretFile}.absent` },
    { kind: 'azure-json', file: `${secretFile}.absent` },
    ...(await Promise.all(
      ['never-shown', '[]', '{}', '{"tenantId":"never-shown"}'].map(
        async (text) => ({ kind: 'azure-json', file: await fileWith(t, text) }) as const,
      ),
    )),
  ] as const;
  for (const credential of bad) {
    const { provider: unable } = await identified(t, credential);
    await assert.rejects(seal(unable, 'dek'), failing('user-induced', /file/));
  }
});

test('a directory that cannot be reached is unavailable', async (t) => {
  const secretFile = await fileWith(t, testClient.secret);
  const { vault } = await startAzureTest(t, material);
  const ca = material.certificates.caPem;
  const caFile = await fileWith(t, ca);
  const provider = createAzureProviderIn(
    {
      keyUrl: `${vault.vaultUrl}/keys/k8s`,
      caFile,
      credential: { kind: 'client-secret', ...application, secretFile },
    },
    { lookup: vault.lookup, authority: { authorityHost: 'https://127.0.0.1:1', ca } },
  );
  t.after(() => provider.close());
  await assert.rejects(seal(provider, 'dek'), failing('unavailable', /directory|reached/));
});

test('each kind becomes the credential of its name', async (t) => {
  const identity = JSON.stringify({ useManagedIdentityExtension: true, userAssignedIdentityID: 'x' });
  const kinds: readonly (readonly [AzureCredentialOptions, string])[] = [
    [{ kind: 'default', ...application }, 'DefaultAzureCredential'],
    [{ kind: 'managed-identity' }, 'ManagedIdentityCredential'],
    [{ kind: 'managed-identity', clientId: 'x' }, 'ManagedIdentityCredential'],
    [{ kind: 'azure-json', file: await fileWith(t, identity) }, 'ManagedIdentityCredential'],
    [{ kind: 'workload-identity', ...application, tokenFile: '/token' }, 'WorkloadIdentityCredential'],
    [
      {
        kind: 'client-certificate',
        ...application,
        certificateFile: await fileWith(t, material.certificates.cert),
      },
      'ClientCertificateCredential',
    ],
  ];
  for (const [options, name] of kinds) {
    assert.equal((await createAzureCredential(options, 'public')).constructor.name, name);
  }
});
