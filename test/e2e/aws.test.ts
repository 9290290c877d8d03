/** Goal: the real aws CLI works against the key service. Method: Debian's awscli with --endpoint-url and --ca-bundle. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { clientsOf, run, tool } from '../support/programs.js';
import { startUp, type Process, type UpReady } from '../support/waxseal.js';

let up: Process<UpReady>;
let folder: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'waxseal-aws-'));
  up = await startUp(join(folder, 'data'));
});
after(async () => {
  await up.stop();
  await rm(folder, { recursive: true, force: true });
});

const kms = async (...args: readonly string[]): Promise<Record<string, unknown>> => {
  const text = await clientsOf(up.ready).aws(['kms', ...args]);
  return text.trim() === '' ? {} : (JSON.parse(text) as Record<string, unknown>);
};

test('the key of waxseal up is listed under its alias', async () => {
  const { Aliases } = await kms('list-aliases');
  const names = (Aliases as readonly { AliasName: string }[]).map((alias) => alias.AliasName);
  assert.ok(names.includes('alias/waxseal'), names.join());
});

test('a key lives a life: create, alias, encrypt, enable rotation, decrypt, schedule deletion, cancel', async () => {
  const { KeyMetadata } = (await kms('create-key', '--description', 'e2e')) as {
    KeyMetadata: { KeyId: string; Arn: string; KeyState: string };
  };
  assert.equal(KeyMetadata.KeyState, 'Enabled');
  await kms('create-alias', '--alias-name', 'alias/e2e', '--target-key-id', KeyMetadata.KeyId);
  const plaintext = join(folder, 'plaintext');
  await writeFile(plaintext, 'hello');
  const context = ['--encryption-context', 'purpose=test'];
  const { CiphertextBlob } = (await kms(
    'encrypt',
    '--key-id',
    'alias/e2e',
    '--plaintext',
    `fileb://${plaintext}`,
    ...context,
  )) as {
    CiphertextBlob: string;
  };
  // Debian's CLI is older than rotate-key-on-demand; the key service's own tests rotate with the SDK.
  await kms('enable-key-rotation', '--key-id', KeyMetadata.KeyId);
  assert.equal(
    (await kms('get-key-rotation-status', '--key-id', KeyMetadata.KeyId))['KeyRotationEnabled'],
    true,
  );
  const blob = join(folder, 'blob');
  await writeFile(blob, Buffer.from(CiphertextBlob, 'base64'));
  const opened = await kms('decrypt', '--ciphertext-blob', `fileb://${blob}`, ...context);
  assert.equal(Buffer.from(opened['Plaintext'] as string, 'base64').toString(), 'hello');
  assert.equal(opened['KeyId'], KeyMetadata.Arn);
  const wrong = await clientsOf(up.ready).tryAws(['kms', 'decrypt', '--ciphertext-blob', `fileb://${blob}`]);
  assert.match(wrong.stderr, /InvalidCiphertextException/);

  await kms('schedule-key-deletion', '--key-id', KeyMetadata.KeyId, '--pending-window-in-days', '7');
  const refused = await clientsOf(up.ready).tryAws([
    'kms',
    'decrypt',
    '--ciphertext-blob',
    `fileb://${blob}`,
    ...context,
  ]);
  assert.match(refused.stderr, /KMSInvalidStateException/);
  await kms('cancel-key-deletion', '--key-id', KeyMetadata.KeyId);
  await kms('enable-key', '--key-id', KeyMetadata.KeyId);
  assert.equal(
    (await kms('decrypt', '--ciphertext-blob', `fileb://${blob}`, ...context))['KeyId'],
    KeyMetadata.Arn,
  );
});

test('a wrong secret key is refused', async () => {
  const result = await run(
    tool('aws'),
    ['--endpoint-url', up.ready.kmsEndpoint, '--region', up.ready.region, 'kms', 'list-keys'],
    {
      env: {
        AWS_ACCESS_KEY_ID: 'AKIAAAAAAAAAAAAAAAAA',
        AWS_SECRET_ACCESS_KEY: 'wrong',
        AWS_CA_BUNDLE: up.ready.caFile,
        AWS_EC2_METADATA_DISABLED: 'true',
      },
    },
  );
  assert.notEqual(result.code, 0);
  assert.match(result.stderr, /UnrecognizedClientException/);
});
