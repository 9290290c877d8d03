/**
 * Goal: keys of this machine are made, served and rotated by command, and secrets are asked for by file or environment only.
 * Method: the real command, SoftHSM2, and a KMS client on the socket.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { connectKmsV2, type KmsV2Client } from '@waxseal/kms-api';
import { createSoftHsm, type SoftHsm } from '@waxseal/pkcs11/testing';
import { waxseal } from '../testing/command.js';

const launcher = fileURLToPath(new URL('../../bin/waxseal.js', import.meta.url));

let hsm: SoftHsm;
let root = '';
before(async () => {
  hsm = await createSoftHsm({ tokenLabels: ['hsm'] });
  root = await mkdtemp(join(tmpdir(), 'waxseal-cli-plugin-'));
  await writeFile(join(root, 'pin'), Buffer.concat([hsm.pin(), Buffer.from('\n')]), { mode: 0o600 });
  await writeFile(join(root, 'passphrase'), 'correct horse battery staple\n', { mode: 0o600 });
  await writeFile(join(root, 'next'), 'another one', { mode: 0o600 });
});
after(async () => {
  await rm(root, { recursive: true, force: true });
  await hsm.remove();
});

interface Served {
  readonly client: KmsV2Client;
  /** SIGHUP, and until Status names another key. */
  rotate(from: string): Promise<string>;
}

async function serve(t: TestContext, name: string, args: readonly string[]): Promise<Served> {
  const socket = join(root, `${name}.sock`);
  const child = spawn(
    process.execPath,
    [launcher, 'plugin', ...args, '--listen', socket, '--output', 'json'],
    { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, ...hsm.environment } },
  );
  const ended = once(child, 'exit');
  await once(createInterface({ input: child.stdout }), 'line');
  const client = connectKmsV2({ endpoint: `unix://${socket}` });
  t.after(async () => {
    client.close();
    child.kill('SIGTERM');
    await ended;
  });
  return {
    client,
    rotate: async (from) => {
      child.kill('SIGHUP');
      for (;;) {
        const { keyId } = await client.status();
        if (keyId !== from) return keyId;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
  };
}

/** @returns the key id after it */
async function rotates(served: Served, rotate: () => void): Promise<string> {
  const { client } = served;
  const first = await client.status();
  assert.equal(first.healthz, 'ok');
  const plaintext = Buffer.from('a DEK of an API server');
  const wrapped = await client.encrypt('one', plaintext);
  assert.equal(wrapped.keyId, first.keyId);
  rotate();
  const second = await served.rotate(first.keyId);
  const after = await client.encrypt('two', plaintext);
  assert.equal(after.keyId, second);
  for (const value of [wrapped, after]) assert.deepEqual(await client.decrypt('three', value), plaintext);
  return second;
}

test('an encrypted keyring is made, served, rotated and given another passphrase', async (t) => {
  const keyring = join(root, 'keyring.json');
  const options = ['--keyring', keyring, '--passphrase-file', join(root, 'passphrase')];
  let printed: unknown;
  const seen = await rotates(await serve(t, 'local', ['local', ...options]), () => {
    const { stdout, stderr } = waxseal(['plugin', 'local', 'rotate', ...options, '--output', 'json']);
    assert.equal(stderr, '');
    printed = JSON.parse(stdout);
  });
  assert.deepEqual(printed, { keyring, version: 2, keyId: seen });
  assert.equal((await stat(keyring)).mode & 0o777, 0o600);
  assert.match(await readFile(keyring, 'utf8'), /^-----BEGIN AGE ENCRYPTED FILE-----/);
  const changed = waxseal([
    'plugin',
    'local',
    'set-passphrase',
    ...options,
    '--new-passphrase-file',
    join(root, 'next'),
  ]);
  assert.equal(changed.stderr, '');
  const rotate = (env: Readonly<Record<string, string>>) =>
    waxseal(['plugin', 'local', 'rotate', '--keyring', keyring], { env });
  assert.match(
    rotate({}).stderr,
    /its passphrase is not given\n {2}Give --passphrase-file, set WAXSEAL_PASSPHRASE/,
  );
  assert.match(rotate({ WAXSEAL_PASSPHRASE: 'wrong' }).stderr, /does not open the keyring/);
  assert.match(rotate({ WAXSEAL_PASSPHRASE: 'another one' }).stdout, /^Version 3 writes/);
});

test('a key is made on a token, served, and followed by the next', async (t) => {
  const token = ['--module', hsm.modulePath, '--token-label', 'hsm', '--key-label', 'etcd'];
  const options = [...token, '--pin-file', join(root, 'pin')];
  const create = (expected: string): void => {
    const made = waxseal(['plugin', 'pkcs11', 'create-key', ...options, '--output', 'json'], {
      env: hsm.environment,
    });
    assert.equal(made.stderr, '');
    assert.deepEqual(JSON.parse(made.stdout), { keyLabel: 'etcd', keyId: expected, mechanism: 'aes-gcm' });
  };
  create('01');
  await rotates(await serve(t, 'pkcs11', ['pkcs11', ...options]), () => create('02'));
  const refused = waxseal(['plugin', 'pkcs11', 'create-key', ...token], {
    env: { ...hsm.environment, WAXSEAL_PKCS11_PIN: '111111' },
  });
  assert.notEqual(refused.status, 0);
  assert.match(refused.stderr, /refuses the PIN/);
  assert.doesNotMatch(refused.stderr, /111111|\n\s+at /);
  const unnamed = waxseal(['plugin', 'pkcs11', 'create-key', ...token], { env: hsm.environment });
  assert.match(unnamed.stderr, /Give --pin-file, set WAXSEAL_PKCS11_PIN/);
});

test('a plugin whose token is away starts, and says why it is not healthy', async (t) => {
  const token = ['--module', hsm.modulePath, '--token-label', 'absent', '--key-label', 'etcd'];
  const { client } = await serve(t, 'away', [
    'pkcs11',
    ...token,
    '--pin-file',
    join(root, 'pin'),
    '--log-level',
    'silent',
  ]);
  const { healthz, keyId } = await client.status();
  assert.match(healthz, /no such token/);
  assert.equal(keyId, '');
});
