/**
 * Goal: botocore, under boto3 and every Python program for AWS, works against the key service: its own parsing, typed exceptions,
 * paginators, retries, presigned URLs and role sessions. Method: support/botocore/cases.py on the Python and botocore of the aws CLI.
 */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import {
  ACCOUNT,
  ADMIN,
  REGION,
  ROLE_ARN,
  startKeyService,
  type KeyServiceUnderTest,
} from '../support/key-service.js';
import { python, succeed } from '../support/programs.js';
import { repository } from '../support/waxseal.js';

let kms: KeyServiceUnderTest;

before(async () => {
  kms = await startKeyService({ throttling: { ListAliases: { perSecond: 20, burst: 3 } } });
});
after(() => kms.close());

async function runCase(name: string, env: Readonly<Record<string, string>> = {}): Promise<unknown> {
  const script = join(repository, 'test/support/botocore/cases.py');
  const { program, environment } = python();
  const { endpoint, caFile } = kms.ready;
  const stdout = await succeed(program, [script, name, endpoint, caFile], {
    env: { ...kms.environment, ...environment, ...env },
  });
  return JSON.parse(stdout) as unknown;
}

test('every operation of the model answers what botocore can read', async () => {
  assert.deepEqual(await runCase('operations'), {
    aliasMoved: 'alias/botocore',
    cancelled: true,
    creationAge: true,
    creationDateIsAware: true,
    dataKey: true,
    decrypted: true,
    describedByAlias: true,
    grants: [true],
    imported: ['Enabled', true, 'PendingImport'],
    listed: true,
    mac: true,
    notCalled: [],
    openedThere: 'both',
    pair: true,
    pairWithoutPlaintext: ['KeyId', 'KeyPairSpec', 'PrivateKeyCiphertextBlob', 'PublicKey'],
    pendingWindow: 7,
    policies: ['default'],
    random: 33,
    reEncrypted: true,
    replica: 'REPLICA',
    retirable: 1,
    rotation: true,
    tags: [{ TagKey: 'b', TagValue: '2' }],
    verified: true,
    withoutPlaintext: ['CiphertextBlob', 'KeyId'],
  });
});

test('errors are the exceptions of the model', async () => {
  const outcomes = (await runCase('errors')) as Readonly<Record<string, string>>;
  assert.deepEqual(
    Object.entries(outcomes).filter(([, outcome]) => outcome !== 'caught'),
    [],
  );
});

test('paginators walk every list to its end', async () => {
  assert.deepEqual(await runCase('pages'), {
    keys: true,
    aliases: [2, 2, 2, 1],
    grants: [2, 2, 1],
    retirable: [2, 2, 1],
    tags: [2, 2, 2, 1],
    policies: [1],
  });
});

test('presigned URLs are verified, for the action they were signed for', async () => {
  const { identity, signedAction, otherAction } = (await runCase('presigned')) as Readonly<
    Record<string, unknown>
  >;
  assert.match(String(identity), new RegExp(`<Arn>arn:aws:iam::${ACCOUNT}:user/admin</Arn>`));
  assert.equal(signedAction, 'SerializationException');
  assert.equal(otherAction, 'InvalidSignatureException');
});

test('throttled calls are made again, and told as throttled when they are not', async () => {
  assert.deepEqual(await runCase('throttled'), { retried: true, codes: ['ThrottlingException'] });
});

test('a profile with a role gets a session', async () => {
  const config = join(kms.folder, 'aws-config');
  const credentials = join(kms.folder, 'aws-credentials');
  await writeFile(
    config,
    `[profile operator]\nrole_arn = ${ROLE_ARN}\nsource_profile = admin\nrole_session_name = py\nregion = ${REGION}\n`,
  );
  await writeFile(
    credentials,
    `[admin]\naws_access_key_id = ${ADMIN.id}\naws_secret_access_key = ${ADMIN.secret}\n`,
  );
  const env = { AWS_CONFIG_FILE: config, AWS_SHARED_CREDENTIALS_FILE: credentials };
  assert.deepEqual(await runCase('role', env), {
    method: 'assume-role',
    identity: `arn:aws:sts::${ACCOUNT}:assumed-role/operator/py`,
    plaintext: 'as a role',
  });
});
