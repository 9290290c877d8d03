/** An azure provider over the test vault, and what its tests say again and again. */
import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes, type KeyObject } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { inspect } from 'node:util';
import { ProviderError, type FailureClass } from '../errors.js';
import type { Provider, Unwrap } from '../provider.js';
import {
  createAzureProviderIn,
  type AzureEnvironment,
  type AzureProviderOptions,
} from '../providers/azure.js';
import {
  startTestVault,
  testKeyVersion,
  testToken,
  testVaultHosts,
  type TestKeyVersion,
  type TestVault,
  type TestVaultOptions,
} from './azure-key-vault-server.js';
import { createTestCertificates, type TestCertificates } from './certificates.js';
import { tempFolder } from './temp-folder.js';

/** Made once for a test file: RSA keys take their time. */
export interface AzureTestMaterial {
  readonly certificates: TestCertificates;
  readonly rsa: KeyObject;
  readonly aes: Buffer;
}

export async function createAzureTestMaterial(): Promise<AzureTestMaterial> {
  return {
    certificates: await createTestCertificates(testVaultHosts),
    rsa: generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey,
    aes: randomBytes(32),
  };
}

export interface AzureTest {
  readonly vault: TestVault;
  readonly version: TestKeyVersion;
  readonly create: (
    options?: Partial<AzureProviderOptions>,
    environment?: AzureEnvironment,
  ) => Promise<Provider>;
}

/** A vault with one version of the key `k8s`. */
export async function startAzureTest(
  t: TestContext,
  { certificates, rsa }: AzureTestMaterial,
  options: Partial<TestVaultOptions> = {},
): Promise<AzureTest> {
  const version = options.versions?.[0] ?? testKeyVersion(rsa);
  const vault = await startTestVault(t, { certificates, versions: [version], ...options });
  const caFile = join(await tempFolder(t), 'ca.pem');
  await writeFile(caFile, certificates.caPem);
  return {
    vault,
    version,
    create: async (overrides = {}, environment = {}) => {
      const provider = createAzureProviderIn(
        { keyUrl: `${vault.vaultUrl}/keys/k8s`, caFile, ...overrides },
        {
          credential: {
            getToken: () => Promise.resolve({ token: testToken, expiresOnTimestamp: Date.now() + 3_600_000 }),
          },
          lookup: vault.lookup,
          ...environment,
        },
      );
      t.after(() => provider.close());
      return provider;
    },
  };
}

export const never = (): AbortSignal => new AbortController().signal;

/** Wraps, and gives what an API server would keep of it under KMS v2. */
export async function seal(provider: Provider, plaintext: string, abort = never()): Promise<Unwrap> {
  const wrapped = await provider.encrypt(provider.snapshot(), Buffer.from(plaintext), abort);
  return { ...wrapped, version: 'v2', keyId: provider.snapshot().keyId };
}

export async function open(provider: Provider, wrapped: Unwrap, abort = never()): Promise<string> {
  return (await provider.decrypt(wrapped, abort)).toString();
}

/** For assert.rejects: the class, words of the message, and nothing of what must not be shown. */
export const failing =
  (failureClass: FailureClass, message = /./) =>
  (error: unknown): true => {
    assert.ok(error instanceof ProviderError, String(error));
    assert.equal(error.failure.class, failureClass, error.message);
    assert.match(error.message, message);
    // The plaintext of most tests, as it travels, among them.
    assert.doesNotMatch(inspect(error, { depth: 20, showHidden: true }), /never.shown|ZGVr/);
    return true;
  };
