// Goal: the real AWS CLI works against the service with --endpoint-url, over TLS.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { REGION, SECRET, startTestService } from './testing/harness.js';

const AWS = fileURLToPath(new URL('../../../.tools/bin/aws', import.meta.url));

test('aws kms encrypts and decrypts, aws sts says who it is', async (t) => {
  assert.ok(existsSync(AWS), 'the AWS CLI is missing; install it with: npm run tools');
  const kms = await startTestService();
  t.after(() => kms.close());
  const caFile = join(kms.dataDir, 'ca.pem');
  const plaintextFile = join(kms.dataDir, 'plaintext');
  const blobFile = join(kms.dataDir, 'blob');
  await writeFile(caFile, kms.ca);
  await writeFile(plaintextFile, 'hello');
  await kms.service.ensureKey({ accountId: '111122223333', region: REGION, aliasName: 'alias/cli' });

  const env = {
    PATH: process.env['PATH'],
    HOME: kms.dataDir,
    AWS_ACCESS_KEY_ID: 'admin',
    AWS_SECRET_ACCESS_KEY: SECRET,
    AWS_REGION: REGION,
    AWS_DEFAULT_REGION: REGION,
    AWS_CA_BUNDLE: caFile,
    AWS_EC2_METADATA_DISABLED: 'true',
  };
  const aws = async (...args: string[]): Promise<string> => {
    const options = { env, timeout: 30_000 };
    const { stdout } = await promisify(execFile)(
      AWS,
      ['--endpoint-url', kms.service.endpoint, ...args],
      options,
    );
    return stdout.trim();
  };
  const text = ['--output', 'text', '--query'];
  const plaintext = ['--plaintext', `fileb://${plaintextFile}`];
  const context = ['--encryption-context', 'app=cli'];
  const blob = await aws(
    'kms',
    'encrypt',
    '--key-id',
    'alias/cli',
    ...plaintext,
    ...context,
    ...text,
    'CiphertextBlob',
  );
  await writeFile(blobFile, Buffer.from(blob, 'base64'));
  const ciphertext = ['--ciphertext-blob', `fileb://${blobFile}`];
  const opened = await aws('kms', 'decrypt', ...ciphertext, ...context, ...text, 'Plaintext');
  assert.equal(Buffer.from(opened, 'base64').toString(), 'hello');
  await assert.rejects(aws('kms', 'decrypt', ...ciphertext), /InvalidCiphertextException/);
  assert.equal(
    await aws('sts', 'get-caller-identity', ...text, 'Arn'),
    'arn:aws:iam::111122223333:user/admin',
  );
});
