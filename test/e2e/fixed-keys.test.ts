/**
 * Goal: a configuration file gives known keys from the first call on. Method: `waxseal kms serve --config`, the real aws CLI, two
 * data directories, one of them started twice.
 */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { succeed, tool } from '../support/programs.js';
import { startWaxseal, temporaryFolder, type Process } from '../support/waxseal.js';

interface KmsReady {
  readonly endpoint: string;
  readonly caFile: string;
}

const KEY_ID = '1234abcd-12ab-34cd-56ef-1234567890ab';
const ACCESS_KEY = { id: 'AKIAFIXEDKEYS0000001', secret: 'a-secret-for-tests-only-0123456789' };

const config = (material: Buffer): string =>
  JSON.stringify({
    accounts: [
      {
        id: '123456789012',
        users: [{ name: 'admin', accessKeys: [ACCESS_KEY], policies: ['AdministratorAccess'] }],
        keys: [
          { region: 'us-east-1', keyId: KEY_ID, alias: 'alias/app', material: material.toString('base64') },
        ],
      },
    ],
  });

const serve = (folder: string, dataDir: string, ...more: readonly string[]): Promise<Process<KmsReady>> => {
  const files = ['--data-dir', join(folder, dataDir), '--config', join(folder, 'config.yaml')];
  return startWaxseal<KmsReady>('kms', 'serve', ...files, '--port', '0', ...more);
};

const aws = async ({ endpoint, caFile }: KmsReady, ...args: readonly string[]): Promise<string> => {
  const where = ['--endpoint-url', endpoint, '--ca-bundle', caFile, '--region', 'us-east-1'];
  const stdout = await succeed(tool('aws'), [...where, '--output', 'text', 'kms', ...args], {
    env: {
      AWS_ACCESS_KEY_ID: ACCESS_KEY.id,
      AWS_SECRET_ACCESS_KEY: ACCESS_KEY.secret,
      AWS_EC2_METADATA_DISABLED: 'true',
    },
  });
  return stdout.trim();
};

test('keys of the configuration file are the same in every data directory and at every start', async (t) => {
  const folder = await temporaryFolder(t);
  await writeFile(join(folder, 'config.yaml'), config(Buffer.alloc(32, 7)));
  await assert.rejects(serve(folder, 'one'), /--allow-plaintext-seeds/);

  const first = await serve(folder, 'one', '--allow-plaintext-seeds');
  t.after(() => first.stop());
  const plaintext = join(folder, 'plaintext');
  await writeFile(plaintext, 'kept');
  const encrypted = await aws(
    first.ready,
    'encrypt',
    '--key-id',
    'alias/app',
    '--plaintext',
    `fileb://${plaintext}`,
    '--query',
    'CiphertextBlob',
  );
  const blob = join(folder, 'blob');
  await writeFile(blob, Buffer.from(encrypted, 'base64'));
  await first.stop();

  for (const dataDir of ['one', 'two']) {
    const again = await serve(folder, dataDir, '--allow-plaintext-seeds');
    t.after(() => again.stop());
    const opened = await aws(
      again.ready,
      'decrypt',
      '--ciphertext-blob',
      `fileb://${blob}`,
      '--query',
      'Plaintext',
    );
    assert.equal(Buffer.from(opened, 'base64').toString(), 'kept');
    const listed = await aws(again.ready, 'list-keys', '--query', 'Keys[].KeyId');
    assert.equal(listed, KEY_ID);
    await again.stop();
  }

  await writeFile(join(folder, 'config.yaml'), config(Buffer.alloc(32, 8)));
  await assert.rejects(serve(folder, 'one', '--allow-plaintext-seeds'), /its material is another there/);
});
