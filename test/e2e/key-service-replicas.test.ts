/**
 * Goal: several key services over one etcd answer as one: what one has answered all others know, whatever happens to a replica or to a
 * member of the cluster. Method: real `waxseal kms serve` processes over a real etcd of three members, the AWS SDK, kill -9.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import {
  CreateAliasCommand,
  CreateGrantCommand,
  CreateKeyCommand,
  DecryptCommand,
  DescribeKeyCommand,
  DisableKeyCommand,
  EnableKeyCommand,
  EncryptCommand,
  GetKeyPolicyCommand,
  KMSClient,
  ListGrantsCommand,
  ListKeysCommand,
  PutKeyPolicyCommand,
  RevokeGrantCommand,
  ScheduleKeyDeletionCommand,
  UpdateKeyDescriptionCommand,
} from '@aws-sdk/client-kms';
import { type EtcdCluster, startEtcdCluster } from '../support/etcd.js';
import { type Process, startWaxseal, temporaryFolder } from '../support/waxseal.js';

const ACCOUNT = '111122223333';
const ADMIN = { id: 'AKIAREPLICAADMIN0001', secret: 'replica-admin-secret' };
const USER = { id: 'AKIAREPLICAUSER00001', secret: 'replica-user-secret' };

interface Ready {
  readonly endpoint: string;
  readonly healthEndpoint: string;
}

let folder = '';
let etcd: EtcdCluster;
const atEnd: (() => Promise<unknown>)[] = [];

before(async () => {
  folder = await temporaryFolder({ after: (fn) => void atEnd.unshift(fn) });
  etcd = await startEtcdCluster(join(folder, 'etcd'));
  atEnd.unshift(() => etcd.stop());
  const users = [
    { name: 'admin', accessKeys: [ADMIN], policies: ['AdministratorAccess'] },
    { name: 'user', accessKeys: [USER] },
  ];
  await writeFile(join(folder, 'config.yaml'), JSON.stringify({ accounts: [{ id: ACCOUNT, users }] }));
});

after(async () => {
  for (const end of atEnd) await end();
});

const storage = (): string => `etcd://${etcd.endpoints.map((one) => one.slice('http://'.length)).join(',')}`;

/** The first replica makes the root key file; the others get a copy of it, as an operator does it. */
async function startReplica(name: string, rootKeyOf?: string): Promise<Process<Ready>> {
  const dataDir = join(folder, name);
  if (rootKeyOf !== undefined) {
    await mkdir(join(dataDir, 'key-service'), { recursive: true, mode: 0o700 });
    await copyFile(join(folder, rootKeyOf, 'key-service/root.key'), join(dataDir, 'key-service/root.key'));
  }
  const where = ['--data-dir', dataDir, '--config', join(folder, 'config.yaml'), '--storage', storage()];
  const ports = ['--port', '0', '--health-port', '0', '--insecure-http'];
  const served = await startWaxseal<Ready>('kms', 'serve', ...where, ...ports);
  atEnd.unshift(() => served.stop('SIGKILL'));
  return served;
}

const clientOf = ({ ready }: Process<Ready>, { id, secret } = ADMIN): KMSClient => {
  const client = new KMSClient({
    endpoint: ready.endpoint,
    region: 'us-east-1',
    credentials: { accessKeyId: id, secretAccessKey: secret },
    maxAttempts: 1,
  });
  atEnd.unshift(async () => client.destroy());
  return client;
};

const isLeader = async ({ ready }: Process<Ready>): Promise<boolean> =>
  /^waxseal_kms_lifecycle_leader 1$/m.test(await (await fetch(`${ready.healthEndpoint}/metrics`)).text());

test('a replica without the root key of the others does not start', async () => {
  const one = await startReplica('one');
  await assert.rejects(startReplica('stranger'), /root\.key is missing/);
  await one.stop();
});

test('what one replica has answered the others know, and a lost replica or member changes nothing', async (t) => {
  const replicas = [
    await startReplica('one'),
    await startReplica('two', 'one'),
    await startReplica('three', 'one'),
  ];
  const clients = replicas.map((replica) => clientOf(replica));
  const at = (i: number): KMSClient => clients[i % clients.length] as KMSClient;

  // Each round writes at one replica and asks the next at once, with nothing in between.
  const rounds = 15;
  const disabled = /is disabled/;
  for (let i = 0; i < rounds; i++) {
    const { KeyMetadata } = await at(i).send(new CreateKeyCommand({}));
    const KeyId = KeyMetadata?.KeyId ?? '';
    const AliasName = `alias/round-${i}`;
    await at(i + 1).send(new CreateAliasCommand({ AliasName, TargetKeyId: KeyId }));
    const Plaintext = randomBytes(32);
    const { CiphertextBlob } = await at(i + 2).send(new EncryptCommand({ KeyId: AliasName, Plaintext }));
    await at(i).send(new DisableKeyCommand({ KeyId }));
    for (const other of [1, 2])
      await assert.rejects(at(i + other).send(new DecryptCommand({ CiphertextBlob })), disabled);
    await at(i + 1).send(new EnableKeyCommand({ KeyId }));
    const opened = await at(i + 2).send(new DecryptCommand({ CiphertextBlob }));
    assert.deepEqual(Buffer.from(opened.Plaintext ?? []), Plaintext);
    const Description = `round ${i}`;
    await at(i).send(new UpdateKeyDescriptionCommand({ KeyId, Description }));
    const described = await at(i + 1).send(new DescribeKeyCommand({ KeyId }));
    assert.equal(described.KeyMetadata?.Description, Description);
    const { Policy = '' } = await at(i).send(new GetKeyPolicyCommand({ KeyId }));
    await at(i + 1).send(new PutKeyPolicyCommand({ KeyId, Policy: Policy.replace('"Sid"', ' "Sid"') }));
    assert.match((await at(i).send(new GetKeyPolicyCommand({ KeyId }))).Policy ?? '', / "Sid"/);
  }

  // A grant counts at every replica once it is made, and at none once it is revoked.
  const { KeyMetadata } = await at(0).send(new CreateKeyCommand({}));
  const KeyId = KeyMetadata?.KeyId ?? '';
  const grantees = replicas.map((replica) => clientOf(replica, USER));
  const encrypt = (i: number): Promise<unknown> =>
    (grantees[i % 3] as KMSClient).send(
      new EncryptCommand({ KeyId: KeyMetadata?.Arn, Plaintext: Buffer.from('p') }),
    );
  const GranteePrincipal = `arn:aws:iam::${ACCOUNT}:user/user`;
  for (let i = 0; i < rounds; i++) {
    const { GrantId } = await at(i).send(
      new CreateGrantCommand({ KeyId, GranteePrincipal, Operations: ['Encrypt'] }),
    );
    await encrypt(i + 1);
    await at(i + 2).send(new RevokeGrantCommand({ KeyId, GrantId }));
    await assert.rejects(encrypt(i), /not authorized/);
  }

  // One grant, however many replicas are asked for it at once.
  const Name = 'made-once';
  const made = await Promise.all(
    Array.from({ length: 24 }, (_, i) =>
      at(i).send(new CreateGrantCommand({ KeyId, GranteePrincipal, Operations: ['Decrypt'], Name })),
    ),
  );
  assert.equal(new Set(made.map(({ GrantId }) => GrantId)).size, 1);
  assert.equal((await at(1).send(new ListGrantsCommand({ KeyId }))).Grants?.length, 1);

  // What is due by date is one replica's work; when it is killed another takes over.
  const leaders = await Promise.all(replicas.map(isLeader));
  assert.equal(leaders.filter(Boolean).length, 1);
  const dead = leaders.indexOf(true);
  await replicas[dead]?.stop('SIGKILL');
  const left = replicas.filter((_, i) => i !== dead);
  const startedMs = Date.now();
  while (!(await Promise.all(left.map(isLeader))).includes(true)) {
    assert.ok(Date.now() - startedMs < 30_000, 'nobody took over');
    await setTimeout(200);
  }
  t.diagnostic(`another replica led ${Date.now() - startedMs} ms after the kill`);

  // A member of the cluster is lost in the middle of work; calls that fail meanwhile are repeated, as SDKs do it.
  const survivors = left.map((replica) => clientOf(replica));
  const [here, there] = survivors as [KMSClient, KMSClient];
  const again = async <T>(call: () => Promise<T>): Promise<T> => {
    for (let attempt = 0; ; attempt++) {
      try {
        return await call();
      } catch (error) {
        if (attempt === 20) throw error;
        await setTimeout(100);
      }
    }
  };
  await etcd.kill(0);
  for (let i = 0; i < 10; i++) {
    const [writer, reader] = i % 2 === 0 ? [here, there] : [there, here];
    const created = await again(() => writer.send(new CreateKeyCommand({})));
    const id = created.KeyMetadata?.KeyId ?? '';
    const seen = await again(() => reader.send(new DescribeKeyCommand({ KeyId: id })));
    assert.equal(seen.KeyMetadata?.KeyState, 'Enabled');
    await again(() => reader.send(new ScheduleKeyDeletionCommand({ KeyId: id })));
    const { KeyState } =
      (await again(() => writer.send(new DescribeKeyCommand({ KeyId: id })))).KeyMetadata ?? {};
    assert.equal(KeyState, 'PendingDeletion');
  }
  const lists = await Promise.all(survivors.map((client) => client.send(new ListKeysCommand({}))));
  assert.deepEqual(lists[0]?.Keys, lists[1]?.Keys);

  // Without a quorum nothing is answered from memory: another replica might have changed it.
  await etcd.kill(1);
  await assert.rejects(here.send(new DescribeKeyCommand({ KeyId })), { name: 'DependencyTimeoutException' });
});
