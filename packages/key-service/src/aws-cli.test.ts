// Goal: the real AWS CLI works against the service with --endpoint-url, over TLS.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { awsCli } from './testing/aws-cli.js';
import { REGION, startTestService } from './testing/harness.js';

test('aws kms encrypts and decrypts, aws sts says who it is', async (t) => {
  const kms = await startTestService();
  t.after(() => kms.close());
  const plaintextFile = join(kms.dataDir, 'plaintext');
  const blobFile = join(kms.dataDir, 'blob');
  await writeFile(plaintextFile, 'hello');
  await kms.service.ensureKey({ accountId: '111122223333', region: REGION, aliasName: 'alias/cli' });

  const aws = await awsCli(kms);
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
