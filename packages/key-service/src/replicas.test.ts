// Goal: of two services over one store, what one has answered the other knows at once, and what is due by date happens once. Method: two
// whole services, one store, one clock that is moved; the same asked of both at the same moment.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import {
  CreateGrantCommand,
  CreateKeyCommand,
  DisableKeyCommand,
  EnableKeyCommand,
  EnableKeyRotationCommand,
  EncryptCommand,
  type KMSClient,
  ListGrantsCommand,
  ListKeyRotationsCommand,
  ListKeysCommand,
  ScheduleKeyDeletionCommand,
} from '@aws-sdk/client-kms';
import { openLmdbStore } from '@waxseal/storage';
import { ACCOUNT, startTestService, type TestService } from './testing/harness.js';
import { rejectsWith } from './testing/rejects.js';

const START = Date.parse('2026-01-01T00:00:00Z');
const DAY_MS = 86_400_000;
const Plaintext = Buffer.from('p');

async function startReplicas(t: TestContext) {
  const path = await mkdtemp(join(tmpdir(), 'waxseal-replicas-'));
  const store = await openLmdbStore({ path });
  const rootKey = randomBytes(32);
  const protector = {
    kind: 'test',
    prepared: async () => Buffer.from(rootKey),
    seal: async () => Buffer.alloc(0),
    open: async () => Buffer.from(rootKey),
  };
  const clock = { nowMs: START };
  const start = (): Promise<TestService> =>
    startTestService({ store, replicas: true, rootKeyProtectors: [protector], now: () => clock.nowMs });
  const services = [await start(), await start()] as const;
  t.after(async () => {
    // Both before the store, which the first close() closes.
    for (const { service } of services) await service.close();
    for (const service of services) await service.close();
    await rm(path, { recursive: true, force: true });
  });
  const clients = (): readonly [KMSClient, KMSClient] => [services[0].client(), services[1].client()];
  return { clock, clients };
}

test('a change is known to the other service when it is answered', async (t) => {
  const { clients } = await startReplicas(t);
  const [here, there] = clients();
  for (let i = 0; i < 20; i++) {
    const [writer, reader] = i % 2 === 0 ? [here, there] : [there, here];
    const { KeyMetadata } = await writer.send(new CreateKeyCommand({}));
    const KeyId = KeyMetadata?.KeyId ?? '';
    await reader.send(new EncryptCommand({ KeyId, Plaintext }));
    await writer.send(new DisableKeyCommand({ KeyId }));
    await rejectsWith(reader.send(new EncryptCommand({ KeyId, Plaintext })), 'DisabledException');
    await reader.send(new EnableKeyCommand({ KeyId }));
    await writer.send(new EncryptCommand({ KeyId, Plaintext }));
  }
});

test('a named grant asked for at both at once is one', async (t) => {
  const { clients } = await startReplicas(t);
  const [here, there] = clients();
  const { KeyMetadata } = await here.send(new CreateKeyCommand({}));
  const KeyId = KeyMetadata?.KeyId ?? '';
  const GranteePrincipal = `arn:aws:iam::${ACCOUNT}:user/nobody`;
  const make = (client: KMSClient) =>
    client.send(new CreateGrantCommand({ KeyId, GranteePrincipal, Operations: ['Decrypt'], Name: 'once' }));
  const made = await Promise.all([here, there, here, there].map(make));
  assert.equal(new Set(made.map(({ GrantId }) => GrantId)).size, 1);
  assert.equal((await there.send(new ListGrantsCommand({ KeyId }))).Grants?.length, 1);
});

test('a rotation or deletion that is due happens once, whoever comes first', async (t) => {
  const { clock, clients } = await startReplicas(t);
  const [here] = clients();
  const rotated = (await here.send(new CreateKeyCommand({}))).KeyMetadata?.KeyId ?? '';
  await here.send(new EnableKeyRotationCommand({ KeyId: rotated, RotationPeriodInDays: 90 }));
  const deleted = (await here.send(new CreateKeyCommand({}))).KeyMetadata?.KeyId ?? '';
  await here.send(new ScheduleKeyDeletionCommand({ KeyId: deleted, PendingWindowInDays: 30 }));

  clock.nowMs = START + 90 * DAY_MS;
  const late = clients();
  const encrypt = (KeyId: string) => (i: number) =>
    (late[i % 2] as KMSClient).send(new EncryptCommand({ KeyId, Plaintext }));
  const blobs = await Promise.all([0, 1, 2, 3, 4, 5].map(encrypt(rotated)));
  assert.ok(blobs.every(({ CiphertextBlob }) => CiphertextBlob !== undefined));
  for (const client of late) {
    const { Rotations } = await client.send(new ListKeyRotationsCommand({ KeyId: rotated }));
    assert.equal(Rotations?.length, 1);
  }
  const refused = await Promise.allSettled([0, 1, 2, 3].map(encrypt(deleted)));
  for (const { status } of refused) assert.equal(status, 'rejected');
  for (const client of late) {
    const { Keys } = await client.send(new ListKeysCommand({}));
    assert.deepEqual(
      Keys?.map(({ KeyId }) => KeyId),
      [rotated],
    );
  }
});
