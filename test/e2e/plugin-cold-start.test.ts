/**
 * Goal: a plugin that starts while its key service is down says so in Status, is healthy by itself once the service answers, and again after a
 * restart of it. Method: the real commands; the key service comes and goes on one port.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectKmsV2, type KmsV2Client } from '@waxseal/kms-api';
import { launcher, startWaxseal, temporaryFolder, type Process } from '../support/waxseal.js';
import { run } from '../support/programs.js';

interface KmsReady {
  readonly endpoint: string;
  readonly caFile: string;
  readonly credentialsFile: string;
}

const serveKms = (dataDir: string, port: string): Promise<Process<KmsReady>> =>
  startWaxseal<KmsReady>('kms', 'serve', '--data-dir', dataDir, '--port', port);

/** Status until it says what is waited for; the test's own timeout ends it otherwise. */
async function statusUntil(client: KmsV2Client, wanted: (healthz: string) => boolean) {
  for (;;) {
    const status = await client.status();
    if (wanted(status.healthz)) return status;
    await sleep(50);
  }
}

async function startPlugin(t: TestContext, folder: string, kms: KmsReady): Promise<KmsV2Client> {
  const socket = join(folder, 'kms.sock');
  const startMs = performance.now();
  const options = ['--listen', socket, '--key', 'alias/cluster', '--log-level', 'silent'];
  const plugin = await startWaxseal<{ readonly sockets: readonly string[] }>(
    'plugin',
    'waxseal',
    ...options,
    '--kms-endpoint',
    kms.endpoint,
    '--ca-file',
    kms.caFile,
    '--credentials-file',
    kms.credentialsFile,
  );
  const client = connectKmsV2({ endpoint: plugin.ready.sockets[0] ?? '' });
  t.after(async () => {
    client.close();
    await plugin.stop();
  });
  const first = await client.status();
  t.diagnostic(
    `first Status ${Math.round(performance.now() - startMs)} ms after the start: ${first.healthz}`,
  );
  assert.match(first.healthz, /cannot be reached|not been tried/);
  return client;
}

test(
  'a plugin starts before its key service, and outlives a restart of it',
  { timeout: 60_000 },
  async (t) => {
    const folder = await temporaryFolder(t);
    const dataDir = join(folder, 'data');
    let kms = await serveKms(dataDir, '0');
    t.after(() => kms.stop());
    const created = await run(process.execPath, [
      launcher,
      'kms',
      'key',
      'create',
      '--data-dir',
      dataDir,
      '--alias',
      'cluster',
    ]);
    assert.equal(created.code, 0, created.stderr);
    const { port } = new URL(kms.ready.endpoint);
    await kms.stop();

    const client = await startPlugin(t, folder, kms.ready);
    const down = await statusUntil(client, (healthz) => /cannot be reached/.test(healthz));
    assert.equal(down.keyId, '', 'an API server must not write meanwhile');
    await assert.rejects(client.encrypt('one', Buffer.from('dek')), /cannot be reached/);

    kms = await serveKms(dataDir, port);
    const up = await statusUntil(client, (healthz) => healthz === 'ok');
    assert.equal(up.keyId, 'alias/cluster');
    const dek = Buffer.from('the DEK of an API server');
    const wrapped = await client.encrypt('two', dek);

    await kms.stop();
    await statusUntil(client, (healthz) => {
      void client.decrypt('three', wrapped).catch(() => undefined);
      return healthz !== 'ok';
    });
    kms = await serveKms(dataDir, port);
    await statusUntil(client, (healthz) => healthz === 'ok');
    assert.deepEqual(await client.decrypt('four', wrapped), dek);
  },
);
