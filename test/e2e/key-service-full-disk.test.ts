/**
 * Goal: when the disk of the key store is full, changes are refused in words, what changes nothing goes on, nothing is lost, and changes
 * go on by themselves when there is space. Method: a running `waxseal kms serve` whose files may not grow beyond the present size of
 * its store (prlimit), until that is lifted.
 */
import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  CreateKeyCommand,
  DecryptCommand,
  DescribeKeyCommand,
  EncryptCommand,
  KMSClient,
  ListKeysCommand,
  PutKeyPolicyCommand,
} from '@aws-sdk/client-kms';
import { ACCOUNT, ADMIN, REGION, startKeyService } from '../support/key-service.js';
import { run, succeed } from '../support/programs.js';
import { launcher, startWaxseal } from '../support/waxseal.js';

/** Each write of it takes 30 KiB of the store and of the audit log. */
const policy = (i: number): string =>
  JSON.stringify({
    Version: '2012-10-17',
    Statement: [
      {
        Sid: `s${i}${'x'.repeat(30 * 1024)}`,
        Effect: 'Allow',
        Principal: { AWS: `arn:aws:iam::${ACCOUNT}:root` },
        Action: 'kms:*',
        Resource: '*',
      },
    ],
  });

test('a full disk refuses changes, answers the rest, and heals', async (t) => {
  const first = await startKeyService();
  t.after(() => first.close());
  const writer = first.client();
  const { KeyMetadata } = await writer.send(new CreateKeyCommand({}));
  const KeyId = KeyMetadata?.KeyId ?? '';
  const Plaintext = Buffer.from('kept');
  const { CiphertextBlob } = await writer.send(new EncryptCommand({ KeyId, Plaintext }));
  for (let i = 0; i < 200; i++) await writer.send(new PutKeyPolicyCommand({ KeyId, Policy: policy(i) }));
  await first.stop();

  // Started again, the audit log begins a file of its own, far from the limit.
  const config = join(first.folder, 'config.yaml');
  const where = ['--data-dir', first.dataDir, '--config', config, '--port', '0', '--insecure-http'];
  const served = await startWaxseal<{ readonly endpoint: string }>('kms', 'serve', ...where);
  t.after(() => served.stop('SIGKILL'));
  const client = new KMSClient({
    endpoint: served.ready.endpoint,
    region: REGION,
    credentials: { accessKeyId: ADMIN.id, secretAccessKey: ADMIN.secret },
    maxAttempts: 1,
  });
  t.after(() => client.destroy());
  const limitFiles = (bytes: string): Promise<string> =>
    succeed('prlimit', ['--pid', String(served.child.pid), `--fsize=${bytes}:unlimited`]);
  const { size } = statSync(join(first.dataDir, 'key-service/store/data.mdb'));
  assert.ok(size > 4 * 1024 * 1024, 'the reserve of the audit log would not fit');
  await limitFiles(String(size));

  const made = [KeyId];
  let refused: unknown;
  for (let i = 0; i < 150 && refused === undefined; i++) {
    try {
      const created = await client.send(new CreateKeyCommand({ Policy: policy(i) }));
      made.push(created.KeyMetadata?.KeyId ?? '');
    } catch (error) {
      refused = error;
    }
  }
  assert.match(
    String(refused),
    /^KMSInternalException: The disk of the key store is full: nothing was changed/,
  );
  const opened = await client.send(new DecryptCommand({ CiphertextBlob }));
  assert.deepEqual(Buffer.from(opened.Plaintext ?? []), Plaintext);
  await client.send(new EncryptCommand({ KeyId, Plaintext }));
  assert.equal((await client.send(new DescribeKeyCommand({ KeyId }))).KeyMetadata?.KeyState, 'Enabled');

  await limitFiles('unlimited');
  const healed = await client.send(new CreateKeyCommand({ Policy: policy(0) }));
  made.push(healed.KeyMetadata?.KeyId ?? '');
  const { Keys = [] } = await client.send(new ListKeysCommand({ Limit: 1000 }));
  assert.deepEqual(new Set(Keys.map((key) => key.KeyId)), new Set(made));
  assert.equal(await served.stop(), 0);
  const verified = await run(process.execPath, [launcher, 'audit', 'verify', '--data-dir', first.dataDir]);
  assert.equal(verified.code, 0, verified.stdout + verified.stderr);
});
