/**
 * Goal: a service started from a file that names a token keeps keys there, and the commands show them.
 * Method: the real command, the SDK, SoftHSM2.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { test } from 'node:test';
import {
  ConnectCustomKeyStoreCommand,
  CreateCustomKeyStoreCommand,
  CreateKeyCommand,
  DescribeCustomKeyStoresCommand,
  EncryptCommand,
  KMSClient,
} from '@aws-sdk/client-kms';
import { createSoftHsm } from '@waxseal/pkcs11/testing';
import { serveKms, waxseal } from '../testing/command.js';

const CLUSTER = 'cluster-1a23b4cdefg';
const SECRET = 'test-secret-access-key-0123456789abcdef';

test('a key of a custom key store is shown as what it is, with the service running or not', async (t) => {
  const hsm = await createSoftHsm({ pin: '62481735' });
  const root = await mkdtemp(join(tmpdir(), 'waxseal-cli-custom-key-store-'));
  t.after(async () => {
    await rm(root, { recursive: true, force: true });
    await hsm.remove();
  });
  const config = join(root, 'config.yaml');
  const write = (module: string) =>
    writeFile(
      config,
      `accounts:
  - id: "123456789012"
    users: [{ name: admin, accessKeys: [{ id: AKIAADMIN, secret: ${SECRET} }], policies: [AdministratorAccess] }]
    tokens: [{ id: ${CLUSTER}, module: ${module}, token: ${hsm.tokenLabel} }]
`,
      { mode: 0o600 },
    );
  await write(hsm.modulePath);
  const credentials = join(root, 'credentials');
  await writeFile(
    credentials,
    `[default]\naws_access_key_id = AKIAADMIN\naws_secret_access_key = ${SECRET}\n`,
    { mode: 0o600 },
  );
  const env = hsm.environment;
  const dataDir = ['--data-dir', join(root, 'data')];
  const served = await serveKms([...dataDir, '--config', config, '--insecure-http'], { env });
  const client = new KMSClient({
    endpoint: served.ready.endpoint,
    region: 'us-east-1',
    credentials: { accessKeyId: 'AKIAADMIN', secretAccessKey: SECRET },
  });
  const { CustomKeyStoreId } = await client.send(
    new CreateCustomKeyStoreCommand({
      CustomKeyStoreName: 'hsm',
      CloudHsmClusterId: CLUSTER,
      KeyStorePassword: hsm.pin().toString(),
      CustomKeyStoreType: 'PKCS11' as 'AWS_CLOUDHSM',
    }),
  );
  await client.send(new ConnectCustomKeyStoreCommand({ CustomKeyStoreId }));
  const state = async (): Promise<string | undefined> => {
    const { CustomKeyStores } = await client.send(new DescribeCustomKeyStoresCommand({ CustomKeyStoreId }));
    return CustomKeyStores?.[0]?.ConnectionState;
  };
  for (let look = 0; look < 500 && (await state()) === 'CONNECTING'; look++) await delay(10);
  assert.equal(await state(), 'CONNECTED');
  const created = await client.send(new CreateKeyCommand({ Origin: 'AWS_CLOUDHSM', CustomKeyStoreId }));
  const keyId = created.KeyMetadata?.KeyId ?? '';
  await client.send(new EncryptCommand({ KeyId: keyId, Plaintext: Buffer.from('x') }));

  const show = (): Record<string, unknown> => {
    const options = [...dataDir, '--credentials-file', credentials, '--config', config, '--output', 'json'];
    const shown = waxseal(['kms', 'key', 'show', keyId, ...options], { env });
    assert.equal(shown.status, 0, shown.stderr);
    const {
      origin,
      state: keyState,
      customKeyStoreId,
      clusterId,
    } = JSON.parse(shown.stdout) as Record<string, unknown>;
    return { origin, keyState, customKeyStoreId, clusterId };
  };
  const expected = {
    origin: 'AWS_CLOUDHSM',
    keyState: 'Enabled',
    customKeyStoreId: CustomKeyStoreId,
    clusterId: CLUSTER,
  };
  assert.deepEqual(show(), expected);
  client.destroy();
  await served.stop();
  assert.deepEqual(show(), expected);

  await write('relative.so');
  const refused = waxseal(['kms', 'serve', ...dataDir, '--config', config, '--port', '0'], { env });
  assert.notEqual(refused.status, 0);
  assert.match(refused.stderr, /tokens\[0\]\.module must be the absolute path of a PKCS#11 module/);
});
