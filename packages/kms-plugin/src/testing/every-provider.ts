/** One of each provider with a backend of its own and a key of its own, for tests that hold for all of them. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { Provider } from '../provider.js';
import { createAwsProvider } from '../providers/aws.js';
import { createGcpProvider } from '../providers/gcp.js';
import { createLocalProvider } from '../providers/local.js';
import { createKeyring } from '../providers/local-keyring.js';
import { createPkcs11Provider } from '../providers/pkcs11.js';
import { createVaultProvider } from '../providers/vault.js';
import { createWaxsealProvider } from '../providers/waxseal.js';
import { startTestKms, testCredentials, testKeyArn, testRegion, type TestKms } from './aws-kms-server.js';
import { createAzureTestMaterial, startAzureTest } from './azure-provider.js';
import { startTestCloudKms, testGcpKey } from './google-cloud-kms-server.js';
import { createMemoryToken } from './memory-token.js';
import { tempFolder } from './temp-folder.js';
import { startTestVault, testKeyName } from './vault-transit-server.js';

export type CreateProvider = (t: TestContext) => Promise<Provider>;

/** The providers that speak AWS's protocol, against a server of the test's. */
export const awsProviders: Readonly<
  Record<
    'aws' | 'waxseal',
    (t: TestContext, kms: TestKms, decryptKeyIds?: readonly string[]) => Promise<Provider>
  >
> = {
  aws: async (_t, kms, decryptKeyIds) =>
    createAwsProvider({
      keyId: testKeyArn,
      endpoint: kms.endpoint,
      region: testRegion,
      credentials: testCredentials,
      ...(decryptKeyIds === undefined ? {} : { decryptKeyIds }),
    }),
  waxseal: async (t, kms, decryptKeyIds) => {
    const credentialsFile = join(await tempFolder(t), 'credentials');
    const { accessKeyId, secretAccessKey } = testCredentials;
    const text = `[default]\naws_access_key_id = ${accessKeyId}\naws_secret_access_key = ${secretAccessKey}\n`;
    await writeFile(credentialsFile, text, { mode: 0o600 });
    return createWaxsealProvider({
      keyId: testKeyArn,
      endpoint: kms.endpoint,
      region: testRegion,
      credentialsFile,
      ...(decryptKeyIds === undefined ? {} : { decryptKeyIds }),
    });
  },
};

export const everyProvider: Readonly<Record<string, CreateProvider>> = {
  local: async (t) => {
    const keyringFile = join(await tempFolder(t), 'keyring.json');
    await createKeyring(keyringFile);
    return createLocalProvider({ keyringFile });
  },
  aws: async (t) => awsProviders.aws(t, await startTestKms(t)),
  waxseal: async (t) => awsProviders.waxseal(t, await startTestKms(t)),
  azure: async (t) => {
    const { create } = await startAzureTest(t, await createAzureTestMaterial());
    return create();
  },
  gcp: async (t) => {
    const kms = await startTestCloudKms(t);
    const { endpoint, credentialsFile } = kms;
    return createGcpProvider({ key: testGcpKey, endpoint, credentialsFile });
  },
  vault: async (t) => {
    const vault = await startTestVault(t);
    const token = 'hvs.every';
    vault.addToken(token);
    return createVaultProvider({
      address: vault.address,
      keyName: testKeyName,
      auth: { kind: 'token', token },
    });
  },
  pkcs11: async () => {
    const memory = createMemoryToken();
    memory.addAesKey('kek', 1);
    return createPkcs11Provider({
      modulePath: '/memory.so',
      keyLabel: 'kek',
      mechanism: 'aes-gcm',
      openModule: memory.openModule,
      pin: async () => Buffer.from(memory.pin),
      startTimeoutMs: 10_000,
    });
  },
};
