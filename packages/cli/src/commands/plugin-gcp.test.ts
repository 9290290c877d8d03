/**
 * Goal: `waxseal plugin gcp` takes k8s-cloudkms-plugin's flags, asks Cloud KMS with what its options say, and starts whether or not Cloud KMS
 * answers. Method: the real command before an endpoint that refuses everybody.
 */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test, type TestContext } from 'node:test';
import { connectKmsV2 } from '@waxseal/kms-api';
import { spawnWaxseal, waxseal } from '../testing/command.js';

const key = 'projects/acme/locations/europe-west1/keyRings/clusters/cryptoKeys/prod';
let root = '';
let credentialsFile = '';

before(async () => {
  root = await mkdtemp(join(tmpdir(), 'waxseal-gcp-'));
  credentialsFile = join(root, 'service-account.json');
  const { privateKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  await writeFile(
    credentialsFile,
    JSON.stringify({ type: 'service_account', client_email: 'plugin@acme', private_key: privateKey }),
    { mode: 0o600 },
  );
});
after(() => rm(root, { recursive: true, force: true }));

/** Refuses everybody, and gives the first request it gets. */
async function refusing(
  t: TestContext,
): Promise<{ readonly endpoint: string; readonly first: Promise<IncomingMessage> }> {
  const server = createServer((_request, response) => {
    response.writeHead(403, { 'content-type': 'application/json' });
    response.end('{"error":{"code":403,"status":"PERMISSION_DENIED","message":"never shown"}}');
  });
  const first = once(server, 'request').then(([request]) => request as IncomingMessage);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return { endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, first };
}

async function statusOf(
  t: TestContext,
  args: readonly string[],
): Promise<{ readonly keyId: string; readonly healthz: string; readonly version: string }> {
  const socket = join(root, `${t.name.length}.sock`);
  const own = [
    '--path-to-unix-socket',
    socket,
    '--key-uri',
    key,
    '--log-level',
    'silent',
    '--output',
    'json',
  ];
  const plugin = await spawnWaxseal(['plugin', 'gcp', ...own, ...args]);
  t.after(() => plugin.stop());
  assert.deepEqual(JSON.parse(plugin.line), { sockets: [`unix://${socket}`], healthEndpoint: null });
  const client = connectKmsV2({ endpoint: `unix://${socket}` });
  t.after(() => {
    client.close();
  });
  return client.status();
}

test('a key that may not be used: Status says what to grant', async (t) => {
  const { endpoint, first } = await refusing(t);
  const options = ['--kms-endpoint', endpoint, '--credentials-file', credentialsFile];
  const status = await statusOf(t, [...options, '--status-version', 'v2beta1', '--key-suffix', 'again']);
  assert.equal(status.version, 'v2beta1');
  assert.equal(status.keyId, '');
  assert.match(status.healthz, /PERMISSION_DENIED: Grant .*cryptoKeyEncrypterDecrypter/);
  assert.doesNotMatch(status.healthz, /never shown/);
  assert.match((await first).url ?? '', /^\/v1\/projects\/acme\/.*\/prod:encrypt\?/);
});

test('a credentials file that is not there: the plugin starts and says so', async (t) => {
  const { healthz } = await statusOf(t, ['--credentials-file', join(root, 'absent.json')]);
  assert.match(healthz, /credentials file .*absent\.json cannot be read/);
});

test('what is no key is refused with the form it must have', () => {
  const run = waxseal(['plugin', 'gcp', '--listen', join(root, 'x.sock'), '--key', 'prod']);
  assert.notEqual(run.status, 0);
  assert.match(run.stderr, /"prod" is not the name of a Cloud KMS key\. Use projects\/PROJECT/);
});
