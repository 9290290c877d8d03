/** `waxseal plugin explain` against the real key service: each cause is told in a sentence, and the exit code is the answer. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { connectKmsV2 } from '@waxseal/kms-api';
import { serveKms, spawnWaxseal, waxseal } from '../testing/command.js';

interface Explained {
  readonly works: boolean;
  readonly keySets: readonly {
    readonly name: string;
    readonly keys: readonly {
      readonly keyId: string;
      readonly findings: readonly {
        readonly step: string;
        readonly result: string;
        readonly sentences: readonly string[];
      }[];
    }[];
  }[];
}

let dir: string;
let kms: Awaited<ReturnType<typeof serveKms>>;
let keyArn: string;

const create = (...args: readonly string[]): string => {
  const made = waxseal(['kms', 'key', 'create', '--data-dir', dataDir(), '--output', 'json', ...args]);
  assert.equal(made.status, 0, made.stderr);
  return (JSON.parse(made.stdout) as { arn: string }).arn;
};
const dataDir = (): string => join(dir, 'kms');
const idOf = (arn: string): string => arn.slice(arn.lastIndexOf('/') + 1);
const key = (...args: readonly string[]): void => {
  const [verb = '', ...more] = args;
  const changed = waxseal(['kms', 'key', verb, '--data-dir', dataDir(), ...more]);
  assert.equal(changed.status, 0, changed.stderr);
};

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'waxseal-explain-'));
  kms = await serveKms(['--data-dir', dataDir()]);
  keyArn = create('--alias', 'alias/explained');
});
after(async () => {
  await kms.stop();
  await rm(dir, { recursive: true, force: true });
});

function explain(...args: readonly string[]): { readonly status: number; readonly explained: Explained } {
  const { endpoint, caFile, credentialsFile } = kms.ready;
  const given = [...args];
  const unlessGiven = (name: string, value: string): void => {
    if (!given.includes(name)) given.push(name, value);
  };
  unlessGiven('--key', keyArn);
  unlessGiven('--kms-endpoint', endpoint);
  unlessGiven('--ca-file', caFile);
  unlessGiven('--credentials-file', credentialsFile);
  const run = waxseal(['plugin', 'explain', 'waxseal', '--output', 'json', ...given]);
  assert.equal(run.stderr, '');
  return { status: run.status ?? -1, explained: JSON.parse(run.stdout) as Explained };
}

/** What is said of one step, in one text. */
function said({ explained }: ReturnType<typeof explain>, step: string): string {
  const findings = explained.keySets.flatMap(({ keys }) => keys.flatMap((one) => one.findings));
  const finding = findings.find((one) => one.step === step);
  return finding === undefined ? 'no such step' : `${finding.result}: ${finding.sentences.join(' ')}`;
}

const profile = async (name: string, accessKeyId: string, secret: string): Promise<string> => {
  const file = join(dir, `${name}.credentials`);
  await writeFile(
    file,
    `[default]\naws_access_key_id = ${accessKeyId}\naws_secret_access_key = ${secret}\n`,
    { mode: 0o600 },
  );
  return file;
};

/** Credentials of a user with this policy document. */
async function user(name: string, statement: object): Promise<string> {
  const policy = join(dir, `${name}.json`);
  await writeFile(policy, JSON.stringify({ Version: '2012-10-17', Statement: [statement] }));
  const args = ['kms', 'principal', 'add', name, '--data-dir', dataDir(), '--policy', policy];
  const added = waxseal([...args, '--output', 'json']);
  assert.equal(added.status, 0, added.stderr);
  const { accessKeyId, secretAccessKey } = JSON.parse(added.stdout) as Record<string, string>;
  return profile(name, accessKeyId ?? '', secretAccessKey ?? '');
}

test('everything works', () => {
  const answer = explain('--key', 'alias/explained');
  assert.equal(answer.status, 0, JSON.stringify(answer.explained));
  assert.equal(answer.explained.works, true);
  assert.match(said(answer, 'connect'), /^works: https:.* answers\.$/);
  for (const step of ['describe', 'encrypt', 'decrypt']) assert.equal(said(answer, step), 'works: ');
});

test('a missing permission is named', async () => {
  const allowed = { Effect: 'Allow', Action: ['kms:Encrypt', 'kms:DescribeKey'], Resource: '*' };
  const answer = explain('--credentials-file', await user('writer', allowed));
  assert.equal(answer.status, 1);
  assert.equal(said(answer, 'encrypt'), 'works: ');
  assert.match(said(answer, 'decrypt'), /^fails: AccessDeniedException: .* needs kms:Decrypt\./);
  const blind = { Effect: 'Allow', Action: ['kms:Encrypt', 'kms:Decrypt'], Resource: '*' };
  const unseen = explain('--credentials-file', await user('blind', blind));
  assert.equal(unseen.status, 0, 'a warning does not keep the key from working');
  assert.match(said(unseen, 'describe'), /^warns: .*allow kms:DescribeKey/);
});

test('a context that a policy asks for and the plugin does not send', async () => {
  const bound = {
    Effect: 'Allow',
    Action: 'kms:*',
    Resource: '*',
    Condition: { StringEquals: { 'kms:EncryptionContext:cluster': 'prod' } },
  };
  const credentials = await user('bound', bound);
  const answer = explain('--credentials-file', credentials, '--encryption-context', 'cluster=test');
  assert.equal(answer.status, 1);
  assert.match(said(answer, 'encrypt'), /needs kms:Encrypt\. .*sends an encryption context of cluster\./);
  const right = explain('--credentials-file', credentials, '--encryption-context', 'cluster=prod');
  assert.equal(said(right, 'encrypt'), 'works: ');
});

test('a stored value of another encryption context', async (t) => {
  const socket = join(dir, 'context.sock');
  const { endpoint, caFile, credentialsFile } = kms.ready;
  const plugin = await spawnWaxseal(
    [
      'plugin waxseal --encryption-context cluster=prod --output json --listen',
      socket,
      `--key ${keyArn} --kms-endpoint ${endpoint} --ca-file`,
      caFile,
      '--credentials-file',
      credentialsFile,
    ].flatMap((part) => (part.includes(dir) ? [part] : part.split(' '))),
  );
  t.after(() => plugin.stop());
  const client = connectKmsV2({ endpoint: socket });
  const sealed = await client.encrypt('u', Buffer.alloc(32, 1));
  client.close();
  const value = sealed.ciphertext.toString('base64');
  const right = explain('--encryption-context', 'cluster=prod', '--sealed', value);
  assert.equal(said(right, 'open'), 'works: The stored value opens.');
  assert.equal(right.status, 0);
  const wrong = explain('--encryption-context', 'cluster=test', '--sealed', value);
  assert.equal(wrong.status, 1);
  assert.match(said(wrong, 'open'), /^fails: InvalidCiphertext.*another encryption context.*cluster/);
  const foreign = explain('--sealed', Buffer.from('vault:v1:xyz').toString('base64'));
  assert.match(said(foreign, 'open'), /does not look like a value of this provider/);
});

test('a wrong region, a key that is not there', () => {
  const elsewhere = explain('--region', 'eu-west-1');
  assert.equal(elsewhere.status, 1);
  assert.match(said(elsewhere, 'encrypt'), /lies in region us-east-1, and the calls go to eu-west-1/);
  const missing = explain('--key', 'alias/none');
  assert.match(said(missing, 'describe'), /^fails: There is no such key/);
  assert.match(said(missing, 'encrypt'), /NotFoundException: The key does not exist/);
});

test('a disabled key, one that waits for its deletion, one for something else', () => {
  const disabled = create();
  key('disable', idOf(disabled));
  const off = explain('--key', disabled);
  assert.equal(off.status, 1);
  assert.match(said(off, 'describe'), /^fails: The key is disabled; enable it\./);
  assert.match(said(off, 'encrypt'), /DisabledException/);
  const doomed = create();
  key('schedule-deletion', '--days', '7', idOf(doomed));
  const going = explain('--key', doomed);
  assert.match(
    said(going, 'describe'),
    /^fails: The key waits for its deletion; cancel .*From 20\d\d-\d\d-\d\dT.* cannot be unwrapped/,
  );
  const signing = create('--spec', 'ECC_NIST_P256', '--usage', 'SIGN_VERIFY');
  assert.match(said(explain('--key', signing), 'encrypt'), /InvalidKeyUsageException: .*ENCRYPT_DECRYPT/);
});

test('an endpoint that is not there, one that is not trusted, credentials that are not known', async () => {
  const nobody = explain('--kms-endpoint', 'https://127.0.0.1:1');
  assert.equal(nobody.status, 1);
  assert.match(said(nobody, 'connect'), /^fails: Nothing listens at 127\.0\.0\.1:1;/);
  assert.match(said(nobody, 'encrypt'), /^fails: ECONNREFUSED/);
  const { endpoint, credentialsFile } = kms.ready;
  const untrusted = waxseal([
    'plugin',
    'explain',
    'waxseal',
    '--key',
    keyArn,
    '--kms-endpoint',
    endpoint,
    '--credentials-file',
    credentialsFile,
  ]);
  assert.equal(untrusted.status, 1);
  assert.match(untrusted.stdout, /FAILED {3}connect .*is not trusted; give the CA file/);
  assert.match(untrusted.stdout, /Something does not work/);
  const stranger = explain(
    '--credentials-file',
    await profile('stranger', 'AKIAEXAMPLESTRANGER1', 'x'.repeat(40)),
  );
  assert.match(said(stranger, 'encrypt'), /does not know these credentials/);
});

test('the file of plugin serve, the local provider, and what is wrong on the command line', async () => {
  const keyring = join(dir, 'keyring.json');
  const absent = waxseal(['plugin', 'explain', 'local', '--keyring', keyring]);
  assert.equal(absent.status, 3, 'nothing is made where keys are only tried');
  const plugin = await spawnWaxseal([
    'plugin',
    'local',
    '--keyring',
    keyring,
    '--listen',
    join(dir, 'l.sock'),
    '--output',
    'json',
  ]);
  await plugin.stop();
  assert.equal(waxseal(['plugin', 'explain', 'local', '--keyring', keyring]).status, 0);
  const { endpoint, caFile, credentialsFile } = kms.ready;
  const config = join(dir, 'plugin.yaml');
  await writeFile(
    config,
    `keys:
  - name: here
    listen: ${join(dir, 'a.sock')}
    provider: { local: { keyringFile: ${keyring} } }
  - name: there
    listen: ${join(dir, 'b.sock')}
    provider:
      waxseal: { keyId: alias/none, endpoint: "${endpoint}", caFile: ${caFile}, credentialsFile: ${credentialsFile} }
`,
  );
  const both = waxseal(['plugin', 'explain', '--config', config, '--output', 'json']);
  assert.equal(both.status, 1, both.stderr);
  const { keySets } = JSON.parse(both.stdout) as Explained;
  assert.deepEqual(
    keySets.map(({ name, keys }) => [
      name,
      keys.every(({ findings }) => findings.every(({ result }) => result !== 'fails')),
    ]),
    [
      ['here', true],
      ['there', false],
    ],
  );
  assert.equal(waxseal(['plugin', 'explain']).status, 2);
  assert.equal(waxseal(['plugin', 'explain', 'waxseal']).status, 2);
});
