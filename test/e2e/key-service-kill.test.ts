/**
 * Goal: what the key service has answered is never lost. Method: keys, aliases, grants, rotations, policies and ciphertexts made by many
 * callers at once, kill -9 at seeded moments, under load and during the start; after each, everything acknowledged is asked for again;
 * at the end every acknowledged call is in the audit log, and the log is whole.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, randomInt } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { Agent } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import {
  CreateAliasCommand,
  CreateGrantCommand,
  CreateKeyCommand,
  DecryptCommand,
  DescribeKeyCommand,
  EncryptCommand,
  GetKeyPolicyCommand,
  KMSClient,
  KMSServiceException,
  ListAliasesCommand,
  ListGrantsCommand,
  ListKeyRotationsCommand,
  PutKeyPolicyCommand,
  RotateKeyOnDemandCommand,
} from '@aws-sdk/client-kms';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { run } from '../support/programs.js';
import { launcher, type Process, startWaxseal, temporaryFolder } from '../support/waxseal.js';

const KILLS = 4;
const CALLERS = 12;
const MAX_ROTATIONS = 8;
const ACCOUNT = '111122223333';
const ACCESS_KEY = { id: 'AKIAKILLTESTADMIN001', secret: 'kill-test-admin-secret' };

interface Ready {
  readonly endpoint: string;
}

/** What one caller was told of one key. Nobody else changes it. */
interface ToldKey {
  readonly id: string;
  readonly aliases: string[];
  readonly grants: string[];
  readonly ciphertexts: { readonly blob: Uint8Array; readonly plaintext: string }[];
  rotations: number;
  /** The last one acknowledged, and one that was asked for and not answered. */
  policies: readonly string[];
}

interface Told {
  readonly keys: ToldKey[];
  /** Of every call that was answered. */
  readonly requestIds: Set<string>;
}

/** Numbers that a seed repeats: SHA-256 of the seed and a counter. */
function random(seed: string): (below: number) => number {
  let count = 0;
  return (below) => createHash('sha256').update(`${seed}/${count++}`).digest().readUInt32BE() % below;
}

function connect(endpoint: string, told: Told): { readonly client: KMSClient; readonly close: () => void } {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const client = new KMSClient({
    endpoint,
    region: 'us-east-1',
    credentials: { accessKeyId: ACCESS_KEY.id, secretAccessKey: ACCESS_KEY.secret },
    maxAttempts: 1,
    requestHandler: new NodeHttpHandler({ httpAgent: agent }),
  });
  client.middlewareStack.add(
    (next) => async (args) => {
      const answer = await next(args);
      const { requestId } = answer.output.$metadata;
      told.requestIds.add(requestId ?? '');
      return answer;
    },
    { step: 'initialize' },
  );
  const close = (): void => {
    client.destroy();
    agent.destroy();
  };
  return { client, close };
}

const policyOf = (sid: string): string =>
  JSON.stringify({
    Version: '2012-10-17',
    Statement: [
      {
        Sid: sid,
        Effect: 'Allow',
        Principal: { AWS: `arn:aws:iam::${ACCOUNT}:root` },
        Action: 'kms:*',
        Resource: '*',
      },
    ],
  });

/** Makes and changes keys until the service is gone. */
async function work(
  client: KMSClient,
  told: Told,
  below: (n: number) => number,
  name: string,
): Promise<void> {
  const own: ToldKey[] = [];
  for (let i = 0; ; i++) {
    const key = own[below(Math.max(1, own.length))];
    try {
      await (key === undefined || below(8) === 0 ? create() : change(key, below(6), `${name}-${i}`));
    } catch (error) {
      // The service's own refusals are faults; a broken connection is the kill.
      if (error instanceof KMSServiceException) throw error;
      return;
    }
  }

  async function create(): Promise<void> {
    const Policy = policyOf('first');
    const { KeyMetadata } = await client.send(new CreateKeyCommand({ Policy }));
    const lists = { aliases: [], grants: [], ciphertexts: [] };
    const key = { id: KeyMetadata?.KeyId ?? '', ...lists, rotations: 0, policies: [Policy] };
    own.push(key);
    told.keys.push(key);
  }

  async function change(key: ToldKey, what: number, unique: string): Promise<void> {
    const KeyId = key.id;
    if (what === 0) {
      const AliasName = `alias/${unique}`;
      await client.send(new CreateAliasCommand({ AliasName, TargetKeyId: KeyId }));
      key.aliases.push(AliasName);
    } else if (what === 1) {
      const GranteePrincipal = `arn:aws:iam::${ACCOUNT}:root`;
      const { GrantId } = await client.send(
        new CreateGrantCommand({ KeyId, GranteePrincipal, Operations: ['Decrypt'], Name: unique }),
      );
      key.grants.push(GrantId ?? '');
    } else if (what === 2 && key.rotations < MAX_ROTATIONS) {
      await client.send(new RotateKeyOnDemandCommand({ KeyId }));
      key.rotations++;
    } else if (what === 3) {
      const Policy = policyOf(unique.replaceAll('-', ''));
      key.policies = [...key.policies, Policy];
      await client.send(new PutKeyPolicyCommand({ KeyId, Policy }));
      key.policies = [Policy];
    } else {
      const { CiphertextBlob } = await client.send(
        new EncryptCommand({ KeyId, Plaintext: Buffer.from(unique) }),
      );
      key.ciphertexts.push({ blob: CiphertextBlob ?? new Uint8Array(), plaintext: unique });
    }
  }
}

async function checkKey(client: KMSClient, key: ToldKey): Promise<void> {
  const KeyId = key.id;
  assert.equal((await client.send(new DescribeKeyCommand({ KeyId }))).KeyMetadata?.KeyState, 'Enabled');
  const { Policy = '' } = await client.send(new GetKeyPolicyCommand({ KeyId }));
  assert.ok(
    key.policies.some((policy) => JSON.stringify(JSON.parse(Policy)) === policy),
    `the policy of ${KeyId} is none that was put: ${Policy}`,
  );
  const { Aliases = [] } = await client.send(new ListAliasesCommand({ KeyId, Limit: 100 }));
  const aliases = Aliases.map(({ AliasName }) => AliasName);
  for (const alias of key.aliases) assert.ok(aliases.includes(alias), alias);
  const { Grants = [] } = await client.send(new ListGrantsCommand({ KeyId, Limit: 100 }));
  const grants = Grants.map(({ GrantId }) => GrantId);
  for (const grant of key.grants) assert.ok(grants.includes(grant), `grant ${grant}`);
  const { Rotations = [] } = await client.send(new ListKeyRotationsCommand({ KeyId }));
  assert.ok(
    Rotations.length >= key.rotations,
    `${KeyId} has ${Rotations.length} of ${key.rotations} rotations`,
  );
  for (const { blob, plaintext } of key.ciphertexts) {
    const { Plaintext } = await client.send(new DecryptCommand({ CiphertextBlob: blob }));
    assert.equal(Buffer.from(Plaintext ?? []).toString(), plaintext);
  }
}

test('kill -9 at any moment loses nothing that was answered', async (t) => {
  const seed = process.env['WAXSEAL_KILL_SEED'] ?? String(randomInt(1_000_000));
  t.diagnostic(`WAXSEAL_KILL_SEED=${seed}`);
  const below = random(seed);
  const folder = await temporaryFolder(t);
  const dataDir = join(folder, 'data');
  const config = join(folder, 'config.yaml');
  const users = [{ name: 'admin', accessKeys: [ACCESS_KEY], policies: ['AdministratorAccess'] }];
  await writeFile(config, JSON.stringify({ accounts: [{ id: ACCOUNT, users }] }));
  const serve = ['kms', 'serve', '--data-dir', dataDir, '--config', config, '--port', '0', '--insecure-http'];
  const told: Told = { keys: [], requestIds: new Set() };
  let running: Process<Ready> | undefined;
  t.after(() => running?.stop('SIGKILL'));

  for (let round = 0; round < KILLS; round++) {
    running = await startWaxseal<Ready>(...serve);
    const { client, close } = connect(running.ready.endpoint, told);
    const callers = Array.from({ length: CALLERS }, (_, i) =>
      work(client, told, random(`${seed}/${round}/${i}`), `${round}-${i}`),
    );
    await setTimeout(100 + below(700));
    await running.stop('SIGKILL');
    await Promise.all(callers);
    close();
    // Killed while it starts and brings its data in order, too.
    const starting = spawn(process.execPath, [launcher, ...serve], { stdio: 'ignore' });
    await setTimeout(below(700));
    starting.kill('SIGKILL');
    await once(starting, 'exit');
  }
  assert.ok(told.keys.length > 0);

  running = await startWaxseal<Ready>(...serve);
  const { client, close } = connect(running.ready.endpoint, told);
  const left = [...told.keys];
  const check = async (): Promise<void> => {
    for (let key = left.pop(); key !== undefined; key = left.pop()) await checkKey(client, key);
  };
  await Promise.all(Array.from({ length: 16 }, check));
  close();
  assert.equal(await running.stop(), 0);

  const recorded = new Set(recordedRequestIds(join(dataDir, 'key-service/audit')));
  const missing = [...told.requestIds].filter((id) => !recorded.has(id));
  assert.deepEqual(missing, [], 'calls that were answered and are not in the audit log');
  const verified = await run(process.execPath, [launcher, 'audit', 'verify', '--data-dir', dataDir]);
  assert.equal(verified.code, 0, verified.stdout + verified.stderr);
  t.diagnostic(`${told.keys.length} keys, ${told.requestIds.size} answered calls`);
});

function* recordedRequestIds(folder: string): Iterable<string> {
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.name.endsWith('.json.gz') || entry.name.includes('Digest')) continue;
    const text = gunzipSync(readFileSync(join(entry.parentPath, entry.name))).toString();
    for (const { requestID } of (JSON.parse(text) as { Records: { requestID: string }[] }).Records)
      yield requestID;
  }
}
