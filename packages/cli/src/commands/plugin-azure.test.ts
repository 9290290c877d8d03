/** `waxseal plugin azure` as it is typed, kubernetes-kms's own flags among them. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { waxseal } from '../testing/command.js';
import { startPluginProcess } from '../testing/plugin-process.js';

async function socketIn(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'waxseal-azure-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return join(folder, 'kms.sock');
}

test('it listens while no vault can be reached, and Status says why', async (t) => {
  const socket = await socketIn(t);
  const key = 'https://127.0.0.1:1/keys/k8s/262067a9e8ba401aa8a746c5f1a7e147';
  const plugin = await startPluginProcess(t, ['azure', '--listen', socket, '--key', key]);
  assert.deepEqual(plugin.ready, { sockets: [`unix://${socket}`], healthEndpoint: null });
  const status = await plugin.client(`unix://${socket}`).status();
  assert.match(status.healthz, /ECONNREFUSED: The vault cannot be reached/);
  assert.equal(status.keyId, '');
  assert.equal(await plugin.stop(), 0);
});

test('the flags of kubernetes-kms are taken', async (t) => {
  const socket = await socketIn(t);
  const plugin = await startPluginProcess(t, [
    'azure',
    `--listen-addr=unix://${socket}`,
    '--keyvault-name=waxseal-test',
    '--key-name=k8s',
    '--key-version=262067a9e8ba401aa8a746c5f1a7e147',
    '--managed-hsm=false',
    '--config-file-path=/nowhere/azure.json',
    '--encrypted-cluster-seed-file=/nowhere/seed.json',
    '--healthz-port=0',
    '--status-version=v2beta1',
  ]);
  const status = await plugin.client(`unix://${socket}`).status();
  assert.equal(status.version, 'v2beta1');
  assert.match(status.healthz, /azure\.json cannot be read/);
  assert.equal((await plugin.health('/livez')).status, 200);
  assert.equal(await plugin.stop(), 0);
});

test('a command line that says too little, too much or nonsense ends with what to do', async (t) => {
  const listen = ['plugin', 'azure', '--listen', await socketIn(t)];
  const key = ['--key', 'https://v.vault.azure.net/keys/k8s'];
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [[], /Name the key: its URL, or the vault and the name/],
    [['--keyvault-name', 'v', '--key-name', 'k8s'], /is not the name of a vault/],
    [['--key', 'https://v.vault.azure.net/secrets/k8s'], /is not the URL of a key/],
    [[...key, '--key-name', 'k8s'], /either the URL of the key/],
    [[...key, '--managed-identity', '--token-file', '/t'], /more than one way/],
    [[...key, '--client-secret-file', '/s'], /--tenant-id and --client-id/],
    [['--managed-hsm=perhaps'], /Expected true or false/],
  ];
  for (const [more, message] of cases) {
    const { status, stderr } = waxseal([...listen, ...more]);
    assert.notEqual(status, 0, more.join(' '));
    assert.match(stderr, message);
  }
});
