/**
 * Goal: a person without an AWS client manages keys, backs them up, reseals and restores them, and verifies the audit log. Method:
 * the real command on a temporary data directory, with a service running and without.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const launcher = fileURLToPath(new URL('../../bin/waxseal.js', import.meta.url));

let root = '';
let dataDir = '';

before(async () => {
  root = await mkdtemp(join(tmpdir(), 'waxseal-cli-kms-'));
  dataDir = join(root, 'data');
});

const served = new Set<ChildProcess>();

after(async () => {
  // Those a failed test has left.
  for (const child of served) child.kill('SIGKILL');
  await rm(root, { recursive: true, force: true });
});

interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function waxseal(...args: readonly string[]): Outcome {
  const { AWS_PROFILE: _profile, ...env } = process.env;
  return spawnSync(
    process.execPath,
    [launcher, ...args, ...(args.includes('--data-dir') ? [] : ['--data-dir', dataDir])],
    {
      encoding: 'utf8',
      env,
    },
  );
}

/** Runs a command that must succeed and gives its JSON. */
function json(...args: readonly string[]): Record<string, unknown> {
  const { status, stdout, stderr } = waxseal(...args, '--output', 'json');
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout) as Record<string, unknown>;
}

interface Served {
  readonly ready: { readonly healthEndpoint: string };
  stop(): Promise<void>;
}

async function serve(...args: readonly string[]): Promise<Served> {
  const child: ChildProcess = spawn(
    process.execPath,
    [
      launcher,
      'kms',
      'serve',
      '--data-dir',
      dataDir,
      '--port',
      '0',
      '--health-port',
      '0',
      '--output',
      'json',
      ...args,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  served.add(child);
  child.once('exit', () => served.delete(child));
  assert.ok(child.stdout);
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  return {
    ready: JSON.parse(line) as Served['ready'],
    stop: async () => {
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      assert.deepEqual(await ended, [0, null]);
    },
  };
}

test('keys, principals, backup, reseal, restore, audit, cost', async () => {
  assert.match(waxseal('kms', 'key', 'list').stderr, /is not a data directory with a key service/);
  const first = await serve();
  const { keyId } = json('kms', 'key', 'create', '--alias', 'app', '--description', 'for the app');
  const key = String(keyId);
  assert.match(
    waxseal('kms', 'key', 'list').stdout,
    /KEY ID +ALIAS +STATE.*\n.*alias\/app +Enabled +SYMMETRIC_DEFAULT +for the app/,
  );
  assert.equal(json('kms', 'key', 'rotate', 'alias/app')['keyId'], key);
  assert.equal(json('kms', 'key', 'disable', 'alias/app')['state'], 'Disabled');
  assert.equal(json('kms', 'key', 'show', 'alias/app')['state'], 'Disabled');
  assert.equal(json('kms', 'key', 'enable', key)['state'], 'Enabled');
  assert.ok(json('kms', 'key', 'schedule-deletion', key, '--days', '7')['deletionDate']);
  assert.equal(json('kms', 'key', 'cancel-deletion', key)['state'], 'Disabled');
  const policy = join(root, 'policy.json');
  await writeFile(policy, JSON.stringify({ ...json('kms', 'key', 'policy', key), Id: 'mine' }));
  assert.equal(json('kms', 'key', 'policy', key, '--set', policy)['Id'], 'mine');
  const missing = waxseal('kms', 'key', 'show', 'alias/none');
  assert.equal(missing.status, 3);
  assert.match(
    missing.stderr,
    /^waxseal: NotFoundException: Alias .*alias\/none is not found\.\n {2}See what there is/,
  );

  const added = json('kms', 'principal', 'add', 'app', '--policy', 'AdministratorAccess');
  assert.match(String(added['accessKeyId']), /^AKIA[A-Z2-7]{16}$/);
  assert.equal(added['running'], true);
  // It can call at once.
  const asApp = join(root, 'app-credentials');
  const { accessKeyId, secretAccessKey } = added;
  await writeFile(
    asApp,
    `[default]\naws_access_key_id = ${String(accessKeyId)}\naws_secret_access_key = ${String(secretAccessKey)}\n`,
  );
  const shown = json('kms', 'key', 'show', 'alias/app', '--credentials-file', asApp);
  assert.deepEqual(shown, json('kms', 'key', 'show', 'alias/app'));
  assert.match(waxseal('kms', 'principal', 'add', 'app').stderr, /has a user app already/);

  const ready = await fetch(`${first.ready.healthEndpoint}/readyz`);
  assert.equal(await ready.text(), '[+]store ok\n[+]audit ok\n');

  const passphraseFile = join(root, 'passphrase');
  await writeFile(passphraseFile, 'correct horse battery\n');
  const backup = join(root, 'keys.backup');
  json('kms', 'backup', backup);
  assert.equal((await stat(backup)).mode & 0o777, 0o600);
  assert.match(waxseal('kms', 'backup', backup).stderr, /is there already/);
  const resealed = json('kms', 'reseal', '--to', 'passphrase', '--new-passphrase-file', passphraseFile);
  assert.deepEqual(resealed, { rootKeyProtector: 'passphrase', online: true });
  assert.equal(existsSync(join(dataDir, 'key-service', 'root.key')), false);
  const sealedBackup = join(root, 'sealed.backup');
  json('kms', 'backup', sealedBackup);
  await first.stop();

  const refused = waxseal('kms', 'serve', '--port', '0');
  assert.equal(refused.status, 3);
  assert.match(refused.stderr, /protected by a passphrase, and none is given/);

  const second = await serve('--passphrase-file', passphraseFile);
  assert.equal(json('kms', 'key', 'show', 'alias/app')['state'], 'Disabled');
  await second.stop();

  const restored = join(root, 'restored');
  const withPassphrase = ['--data-dir', restored, '--passphrase-file', passphraseFile];
  assert.ok(Number(json('kms', 'restore', sealedBackup, ...withPassphrase)['records']) >= 3);
  assert.match(
    waxseal('kms', 'restore', sealedBackup, ...withPassphrase).stderr,
    /Restore into an empty one/,
  );
  assert.match(
    waxseal('kms', 'restore', backup, '--data-dir', join(root, 'other')).stderr,
    /root key file .*other\/key-service\/root\.key is missing, and the backup opens with no other\n {2}Copy the root\.key/,
  );
  const offline = json('kms', 'reseal', '--to', 'file', '--passphrase-file', passphraseFile);
  assert.deepEqual(offline, { rootKeyProtector: 'file', online: false });

  const verified = json('audit', 'verify');
  assert.equal(verified['ok'], true);
  assert.ok(Number(verified['records']) > 10);
  const { months } = json('kms', 'cost');
  assert.equal((months as { accountId: string }[])[0]?.accountId, '111122223333');

  const logs = join(dataDir, 'key-service', 'audit', 'AWSLogs');
  const files = await readdir(logs, { recursive: true });
  const log = join(logs, files.find((path) => path.includes('/CloudTrail/') && path.endsWith('.gz')) ?? '');
  const bytes = await readFile(log);
  await writeFile(log, bytes.subarray(0, -1));
  const tampered = waxseal('audit', 'verify');
  assert.equal(tampered.status, 1);
  assert.match(
    tampered.stdout,
    /changed {2}AWSLogs\/111122223333\/CloudTrail\/us-east-1\/.*\.json\.gz: is not what was delivered/,
  );
  await rm(join(dataDir, 'key-service', 'audit'), { recursive: true });
  await mkdir(join(dataDir, 'key-service', 'audit'));
  const emptied = waxseal('audit', 'verify');
  assert.equal(emptied.status, 3);
  assert.match(emptied.stderr, /holds no audit record/);
});
