/**
 * Goal: `waxseal plugin vault` asks Vault with what its options and the environment say, starts whether or not Vault answers, and says what is
 * missing. Method: the real command before a Vault that is sealed.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test, type TestContext } from 'node:test';
import { connectKmsV2 } from '@waxseal/kms-api';
import { spawnWaxseal, waxseal } from '../testing/command.js';

let root = '';

before(async () => {
  root = await mkdtemp(join(tmpdir(), 'waxseal-vault-'));
});
after(() => rm(root, { recursive: true, force: true }));

/** Answers as a sealed Vault, and gives the first request it gets. */
async function sealedVault(
  t: TestContext,
): Promise<{ readonly address: string; readonly first: Promise<IncomingMessage> }> {
  const server = createServer((_request, response) => {
    response.writeHead(503, { 'content-type': 'application/json' }).end('{"errors":["Vault is sealed"]}');
  });
  const first = once(server, 'request').then(([request]) => request as IncomingMessage);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return { address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, first };
}

async function statusOf(
  t: TestContext,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<{ readonly keyId: string; readonly healthz: string }> {
  const socket = join(root, `${Math.random().toString(36).slice(2)}.sock`);
  const plugin = await spawnWaxseal(['plugin', 'vault', '--listen', socket, '--output', 'json', ...args], {
    env,
  });
  t.after(() => plugin.stop());
  assert.deepEqual(JSON.parse(plugin.line), { sockets: [`unix://${socket}`], healthEndpoint: null });
  const client = connectKmsV2({ endpoint: socket });
  t.after(() => {
    client.close();
  });
  return client.status();
}

test('the environment of Vault’s own tools is understood', async (t) => {
  const { address, first } = await sealedVault(t);
  const { healthz, keyId } = await statusOf(t, ['--key', 'k8s'], {
    VAULT_ADDR: address,
    VAULT_TOKEN: 'hvs.environment',
    VAULT_NAMESPACE: 'team',
  });
  assert.match(healthz, /Vault is sealed; unseal it/);
  assert.equal(keyId, '', 'no key id while the key cannot encrypt');
  const { url, headers } = await first;
  assert.equal(url, '/v1/auth/token/lookup-self');
  assert.equal(headers['x-vault-token'], 'hvs.environment');
  assert.equal(headers['x-vault-namespace'], 'team');
});

test('options say the same and more, under the names of other plugins too', async (t) => {
  const { address, first } = await sealedVault(t);
  const secretIdFile = join(root, 'secret-id');
  await writeFile(secretIdFile, 'secret');
  const args = [
    '--vault-address',
    address,
    '--transit-key',
    'k8s',
    '--auth-method',
    'approle',
    '--auth-mount',
    'team',
  ];
  const { healthz } = await statusOf(
    t,
    [...args, '--approle-role-id', 'role', '--approle-secret-id-path', secretIdFile],
    { VAULT_ADDR: 'https://unused.invalid' },
  );
  assert.match(healthz, /sealed/);
  assert.equal((await first).url, '/v1/auth/team/login');
});

test('what is missing or cannot be is said in a sentence', () => {
  const refused = (args: readonly string[], message: RegExp, status: number): void => {
    const outcome = waxseal(['plugin', 'vault', '--listen', join(root, 'x.sock'), '--key', 'k8s', ...args], {
      env: { VAULT_ADDR: '', BAO_ADDR: '', VAULT_TOKEN: '', BAO_TOKEN: '' },
    });
    assert.match(outcome.stderr, message);
    assert.equal(outcome.status, status);
  };
  const address = ['--address', 'https://vault.example:8200'];
  refused([], /needs --address/, 2);
  refused(address, /needs a token or another --auth-method/, 2);
  refused([...address, '--auth-method', 'jwt'], /needs --auth-role/, 2);
  refused([...address, '--auth-method', 'magic'], /Allowed choices/, 2);
  refused(['--address', 'http://vault.example', '--auth-method', 'cert'], /in the clear/, 3);
  refused([...address, '--auth-method', 'approle'], /role id/, 3);
});
