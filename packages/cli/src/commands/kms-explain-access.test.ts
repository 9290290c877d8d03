// Goal: the command names the statement that decides, and its exit code is the answer.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../main.js', import.meta.url));
const KEY = '1234abcd-12ab-34cd-56ef-1234567890ab';
const CONFIG = `
accounts:
  - id: "123456789012"
    users:
      - name: bob
        policies:
          - Version: "2012-10-17"
            Statement:
              - Sid: OnlyShop
                Effect: Allow
                Action: kms:Decrypt
                Resource: "*"
                Condition: { StringEquals: { "kms:EncryptionContext:app": shop } }
    keys:
      - { region: us-east-1, keyId: ${KEY}, alias: alias/app }
`;

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'waxseal-explain-'));
  await writeFile(join(folder, 'config.yaml'), CONFIG);
});
after(() => rm(folder, { recursive: true, force: true }));

function explain(
  ...args: readonly string[]
): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }> {
  const common = [
    'kms',
    'explain-access',
    '--config',
    join(folder, 'config.yaml'),
    '--action',
    'kms:Decrypt',
  ];
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, ...common, ...args], (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr });
    });
  });
}

const bob = ['--principal', 'arn:aws:iam::123456789012:user/bob', '--key', 'alias/app'];

test('allowed, by two statements', async () => {
  const { code, stdout } = await explain(...bob, '--context', 'app=shop', '--output', 'json');
  assert.equal(code, 0);
  const { allowed, resource, decidedBy } = JSON.parse(stdout) as Record<string, unknown>;
  assert.equal(allowed, true);
  assert.equal(resource, `arn:aws:kms:us-east-1:123456789012:key/${KEY}`);
  assert.deepEqual(
    (decidedBy as { sid: string }[]).map(({ sid }) => sid),
    ['Enable IAM User Permissions', 'OnlyShop'],
  );
});

test('denied, with the reason', async () => {
  const { code, stdout } = await explain(...bob, '--context', 'app=other');
  assert.equal(code, 1);
  assert.match(stdout, /^DENIED: .*user\/bob kms:Decrypt/);
  assert.match(stdout, /No identity policy of the principal allows it/);
});

test('a principal or key that is not there', async () => {
  const nobody = await explain('--principal', 'arn:aws:iam::123456789012:user/eve', '--key', 'alias/app');
  assert.equal(nobody.code, 3);
  assert.match(nobody.stderr, /There is no principal/);
  const noKey = await explain('--principal', 'arn:aws:iam::123456789012:user/bob', '--key', 'alias/none');
  assert.equal(noKey.code, 3);
  assert.match(noKey.stderr, /There is no key alias\/none/);
});
