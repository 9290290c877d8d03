/** DescribeKey as early warning: both ways the calls travel tell the same condition. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { ProviderError } from '../errors.js';
import type { KeyCondition } from '../key-condition.js';
import type { Provider } from '../provider.js';
import {
  fail,
  send,
  startTestKms,
  testCredentials,
  testKeyArn,
  testRegion,
} from '../testing/aws-kms-server.js';
import { tempFolder } from '../testing/temp-folder.js';
import { createAwsProvider } from './aws.js';
import { createWaxsealProvider } from './waxseal.js';

const metadata: readonly (readonly [object, KeyCondition])[] = [
  [
    { KeyState: 'Enabled', MultiRegion: false },
    { state: 'usable', warnings: [] },
  ],
  [{ KeyState: 'Disabled' }, { state: 'disabled', warnings: [] }],
  [{ KeyState: 'PendingImport' }, { state: 'pending-import', warnings: [] }],
  [
    { KeyState: 'PendingDeletion', DeletionDate: 1_800_000_000.5 },
    { state: 'pending-deletion', warnings: [], unreadableFromMs: 1_800_000_000_500 },
  ],
  [
    { KeyState: 'PendingDeletion', DeletionDate: 1_800_000_000, MultiRegion: true },
    {
      state: 'pending-deletion',
      unreadableFromMs: 1_800_000_000_000,
      warnings: [
        'The key is one of a multi-Region set; related keys in other Regions can still open its ciphertexts.',
      ],
    },
  ],
  [
    { KeyState: 'PendingReplicaDeletion', PendingDeletionWindowInDays: 7 },
    {
      state: 'pending-deletion',
      warnings: [
        'The key waits for its replicas to be deleted, and is deleted 7 days after the last of them.',
      ],
    },
  ],
  [
    { KeyState: 'Enabled', ValidTo: 1_790_000_000, ExpirationModel: 'KEY_MATERIAL_EXPIRES' },
    { state: 'usable', warnings: [], unreadableFromMs: 1_790_000_000_000 },
  ],
  [
    { KeyState: 'Unavailable' },
    {
      state: 'usable',
      warnings: ['The custom key store of the key is not connected; connect it in the key service.'],
    },
  ],
  [
    { KeyState: 'SomethingNew' },
    { state: 'usable', warnings: ['The key service tells a key state this plugin does not know.'] },
  ],
];

const creators: Readonly<Record<string, (t: TestContext, endpoint: string) => Promise<Provider>>> = {
  aws: async (_t, endpoint) =>
    createAwsProvider({
      keyId: testKeyArn,
      endpoint,
      region: testRegion,
      credentials: testCredentials,
    }),
  waxseal: async (t, endpoint) => {
    const credentialsFile = join(await tempFolder(t), 'credentials');
    const { accessKeyId, secretAccessKey } = testCredentials;
    const text = `[default]\naws_access_key_id = ${accessKeyId}\naws_secret_access_key = ${secretAccessKey}\n`;
    await writeFile(credentialsFile, text, { mode: 0o600 });
    return createWaxsealProvider({
      keyId: testKeyArn,
      endpoint,
      region: testRegion,
      credentialsFile,
    });
  },
};

for (const [name, create] of Object.entries(creators)) {
  const described = async (provider: Provider): Promise<KeyCondition> => {
    assert.ok(provider.describe !== undefined);
    return provider.describe(new AbortController().signal);
  };

  test(`${name}: every key state becomes a condition`, async (t) => {
    const kms = await startTestKms(t);
    const provider = await create(t, kms.endpoint);
    t.after(() => provider.close());
    for (const [answer, condition] of metadata) {
      kms.interfere = (_call, response) => {
        send(response, 200, { KeyMetadata: { KeyId: testKeyArn, ...answer } });
        return true;
      };
      assert.deepEqual(await described(provider), condition);
    }
    const [first] = kms.calls;
    assert.deepEqual(first, { action: 'DescribeKey', fields: { KeyId: testKeyArn } });
    assert.deepEqual(kms.problems, []);
  });

  test(`${name}: a missing permission is a warning, a missing key a condition, an outage a failure`, async (t) => {
    const kms = await startTestKms(t);
    const provider = await create(t, kms.endpoint);
    t.after(() => provider.close());
    const refuse = (status: number, type: string): void => {
      kms.interfere = (_call, response) => {
        fail(response, status, type);
        return true;
      };
    };
    refuse(400, 'AccessDeniedException');
    const denied = await described(provider);
    assert.equal(denied.state, 'usable');
    assert.match(denied.warnings.join(), /allow kms:DescribeKey/);
    refuse(400, 'NotFoundException');
    assert.deepEqual(await described(provider), { state: 'gone', warnings: [] });
    refuse(500, 'KMSInternalException');
    await assert.rejects(
      described(provider),
      (error) => error instanceof ProviderError && error.failure.class === 'unavailable',
    );
    kms.interfere = (_call, response) => {
      send(response, 200, { KeyMetadata: 'nonsense' });
      return true;
    };
    await assert.rejects(
      described(provider),
      (error) => error instanceof ProviderError && error.failure.class === 'internal',
    );
  });
}
