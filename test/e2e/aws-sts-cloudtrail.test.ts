/**
 * Goal: the real aws CLI assumes a role, works as it, and finds what it did. Method: `aws sts`, `aws kms` and `aws cloudtrail` against a key
 * service that runs as its own process.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  ACCOUNT,
  REGION,
  ROLE_ARN,
  startKeyService,
  type KeyServiceUnderTest,
} from '../support/key-service.js';
import { run, succeed, tool } from '../support/programs.js';

let kms: KeyServiceUnderTest;

before(async () => {
  kms = await startKeyService();
});
after(() => kms.close());

test('sts and cloudtrail: a role is assumed, and what it did is looked up', async () => {
  const assumed = await kms.aws(
    'sts',
    'assume-role',
    '--role-arn',
    ROLE_ARN,
    '--role-session-name',
    'journey',
    '--output',
    'json',
  );
  assert.equal(assumed.code, 0, assumed.stderr);
  const { Credentials } = JSON.parse(assumed.stdout) as { Credentials: Readonly<Record<string, string>> };
  const session = {
    ...kms.environment,
    AWS_ACCESS_KEY_ID: Credentials['AccessKeyId'] ?? '',
    AWS_SECRET_ACCESS_KEY: Credentials['SecretAccessKey'] ?? '',
    AWS_SESSION_TOKEN: Credentials['SessionToken'] ?? '',
  };
  const asRole = (...args: readonly string[]) =>
    succeed(tool('aws'), ['--endpoint-url', kms.ready.endpoint, '--output', 'text', ...args], {
      env: session,
    });
  const arn = `arn:aws:sts::${ACCOUNT}:assumed-role/operator/journey`;
  assert.equal((await asRole('sts', 'get-caller-identity', '--query', 'Arn')).trim(), arn);
  const key = (await asRole('kms', 'create-key', '--query', 'KeyMetadata.KeyId')).trim();
  const lookup = ['cloudtrail', 'lookup-events', '--output', 'json', '--lookup-attributes'];
  const events = await kms.aws(
    ...lookup,
    `AttributeKey=ResourceName,AttributeValue=arn:aws:kms:${REGION}:${ACCOUNT}:key/${key}`,
  );
  assert.equal(events.code, 0, events.stderr);
  const { Events } = JSON.parse(events.stdout) as { Events: readonly Readonly<Record<string, string>>[] };
  assert.deepEqual(
    Events.map(({ EventName }) => EventName),
    ['CreateKey'],
  );
  const record = JSON.parse(Events[0]?.['CloudTrailEvent'] ?? '') as {
    userIdentity: Readonly<Record<string, unknown>>;
  };
  assert.equal(record.userIdentity['arn'], arn);
  const stranger = await run(tool('aws'), ['--endpoint-url', kms.ready.endpoint, 'kms', 'list-keys'], {
    env: { ...session, AWS_SESSION_TOKEN: `${Credentials['SessionToken']?.slice(0, -4)}AAAA` },
  });
  assert.match(stranger.stderr, /UnrecognizedClientException|InvalidClientTokenId|InvalidToken/);
});
