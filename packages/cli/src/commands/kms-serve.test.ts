/**
 * Goal: `waxseal kms serve` listens where it is told and nowhere else, refuses what would be unsafe, and asks for a passphrase as a
 * person expects. Method: the real command; the prompt in a pseudo terminal made by util-linux's `script`.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { serveKms, waxseal } from '../testing/command.js';

const launcher = fileURLToPath(new URL('../../bin/waxseal.js', import.meta.url));

let root = '';

before(async () => {
  root = await mkdtemp(join(tmpdir(), 'waxseal-serve-'));
});
after(() => rm(root, { recursive: true, force: true }));

const refused = (args: readonly string[], status: number, message: RegExp): void => {
  const outcome = waxseal(['kms', ...args]);
  assert.match(outcome.stderr, message);
  assert.equal(outcome.status, status);
};

test('what is unsafe, unknown or taken is refused in a sentence', async () => {
  const serve = ['serve', '--data-dir', join(root, 'refused')];
  refused(
    [...serve, '--insecure-http', '--host', '0.0.0.0'],
    2,
    /plain HTTP is served on loopback only, not on 0\.0\.0\.0/,
  );
  refused([...serve, '--host', 'http://x'], 2, /Expected an address or a host name/);
  refused(['srve'], 2, /There is no command srve/);
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const { port } = taken.address() as AddressInfo;
  refused(
    [...serve, '--port', String(port)],
    3,
    new RegExp(`cannot listen on 127\\.0\\.0\\.1:${port}\\. Choose a free port`),
  );
  taken.close();
  refused([...serve, '--config', join(root, 'absent.yaml')], 3, /absent\.yaml/);
  const broken = join(root, 'broken.yaml');
  await writeFile(broken, 'accounts: [ {secret: "do not print this" ');
  const outcome = waxseal(['kms', ...serve, '--config', broken]);
  assert.match(outcome.stderr, /the file is not YAML at line 1, column 42 \(BAD_INDENT\)/);
  assert.doesNotMatch(outcome.stderr, /do not print this/);
  const open = join(root, 'open');
  await mkdir(open);
  await chmod(open, 0o777);
  refused(
    ['serve', '--data-dir', open],
    3,
    /can be written by other users\n {2}Take the right away first: chmod go-w/,
  );
});

test('plain HTTP on loopback, with principals of another file, running and stopped', async (t) => {
  const dataDir = join(root, 'plain');
  const config = join(root, 'principals.yaml');
  const accessKey = { id: 'AKIATESTTESTTESTTEST', secret: 'a-secret-for-tests' };
  const users = [{ name: 'admin', accessKeys: [accessKey], policies: ['AdministratorAccess'] }];
  await writeFile(config, JSON.stringify({ accounts: [{ id: '123456789012', users }] }));
  const served = await serveKms(['--data-dir', dataDir, '--config', config, '--insecure-http']);
  t.after(() => served.stop());
  assert.match(served.ready.endpoint, /^http:\/\/127\.0\.0\.1:\d+$/);
  const key = ['key', 'create', '--data-dir', dataDir];
  refused(key, 3, /no access key for the key service.*\n {2}Give --credentials-file/);
  refused([...key, '--region', 'nowhere'], 2, /Expected a Region/);
  const env = { AWS_ACCESS_KEY_ID: accessKey.id, AWS_SECRET_ACCESS_KEY: accessKey.secret };
  assert.equal(waxseal(['kms', ...key, '--alias', 'app'], { env }).status, 0);
  await served.stop();
  const show = ['key', 'show', 'alias/app', '--data-dir', dataDir];
  refused(show, 3, /no key service runs on .*\n.*\n {2}Or name the file with its principals: --config FILE/);
  assert.equal(waxseal(['kms', ...show, '--config', config], { env }).status, 0);
});

test('only the key service’s own certificates are made; credentials are named when the file knows them', async (t) => {
  const dataDir = join(root, 'alone');
  const first = await serveKms(['--data-dir', dataDir]);
  t.after(() => first.stop());
  assert.deepEqual((await readdir(join(dataDir, 'pki'))).toSorted(), [
    'ca.crt',
    'ca.key',
    'key-service.crt',
    'key-service.key',
  ]);
  const { credentialsFile } = first.ready;
  assert.equal(credentialsFile, join(dataDir, 'aws-credentials'));
  await first.stop();
  const named = await serveKms(['--data-dir', dataDir, '--config', join(dataDir, 'principals.yaml')]);
  t.after(() => named.stop());
  assert.equal(named.ready.credentialsFile, credentialsFile);
  await named.stop();
  const others = join(root, 'others.yaml');
  await writeFile(others, 'accounts: [{id: "123456789012"}]');
  const other = await serveKms(['--data-dir', dataDir, '--config', others]);
  t.after(() => other.stop());
  assert.equal(other.ready.credentialsFile, undefined);
});

test('the certificate names where the service listens', async (t) => {
  const dataDir = join(root, 'everywhere');
  const names = async (): Promise<X509Certificate> =>
    new X509Certificate(await readFile(join(dataDir, 'pki', 'key-service.crt')));
  const loopback = await serveKms(['--data-dir', dataDir, '--host', '::1']);
  t.after(() => loopback.stop());
  assert.match(loopback.ready.endpoint, /^https:\/\/\[::1\]:\d+$/);
  const first = await names();
  assert.equal(first.checkHost(hostname()), undefined);
  const listed = waxseal(['kms', 'key', 'list', '--data-dir', dataDir]);
  assert.equal(listed.status, 0, listed.stderr);
  await loopback.stop();
  // Loopback too, and none of the addresses that every certificate names.
  const named = await serveKms(['--data-dir', dataDir, '--host', '127.0.0.2']);
  t.after(() => named.stop());
  const second = await names();
  assert.equal(second.checkIP('127.0.0.2'), '127.0.0.2');
  assert.equal(second.checkIP('127.0.0.1'), '127.0.0.1');
  await named.stop();
  const again = await serveKms(['--data-dir', dataDir, '--host', '127.0.0.2']);
  t.after(() => again.stop());
  assert.equal((await names()).fingerprint256, second.fingerprint256);
});

test('the passphrase comes from the terminal, unseen, or from the environment', async () => {
  const dataDir = join(root, 'sealed');
  const made = await serveKms(['--data-dir', dataDir]);
  await made.stop();
  const WAXSEAL_PASSPHRASE = 'correct horse';
  const list = ['kms', 'key', 'list', '--data-dir', dataDir];
  const resealed = waxseal(['kms', 'reseal', '--to', 'passphrase', '--data-dir', dataDir], {
    env: { WAXSEAL_NEW_PASSPHRASE: WAXSEAL_PASSPHRASE },
  });
  assert.equal(resealed.status, 0, resealed.stderr);
  assert.match(waxseal(list).stderr, /protected by a passphrase, and none is given\n.*WAXSEAL_PASSPHRASE/);
  assert.equal(waxseal(list, { env: { WAXSEAL_PASSPHRASE } }).status, 0);
  assert.match(waxseal(list, { env: { WAXSEAL_PASSPHRASE: 'wrong' } }).stderr, /passphrase/);

  /** Types once it is asked. */
  const inTerminal = async (typed: string): Promise<{ readonly status: number; readonly shown: string }> => {
    const command = [process.execPath, launcher, ...list].map((word) => `'${word}'`).join(' ');
    const child = spawn('script', ['-qec', command, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] });
    let shown = '';
    child.stdout.on('data', (chunk: Buffer) => {
      const asked = shown.includes('root key: ');
      shown += chunk.toString();
      if (!asked && shown.includes('root key: ')) child.stdin.write(`${typed}\n`);
    });
    // `script` is in util-linux (bsdutils on Debian).
    const [status] = (await once(child, 'close')) as [number];
    return { status, shown };
  };
  const right = await inTerminal(WAXSEAL_PASSPHRASE);
  assert.equal(right.status, 0, right.shown);
  assert.doesNotMatch(right.shown, /correct horse/);
  assert.match(right.shown, /Passphrase of the root key: [\s\S]*KEY ID/);
  const wrong = await inTerminal('battery staple');
  assert.equal(wrong.status, 3);
});
