/**
 * Goal: losing the key service of the primary key loses nothing. Reads go on through a recipient at once; one change of configuration and a SIGHUP make the recipient the
 * primary, and writes go on. Method: two real key services, the real plugin and the envelope of the API server, each command in its own process.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { test, type TestContext } from 'node:test';
import { serveKms, waxseal } from '../testing/command.js';
import { startPluginProcess } from '../testing/plugin-process.js';

interface Region {
  readonly provider: string;
  stop(): Promise<void>;
}

async function startRegion(t: TestContext, root: string, name: string): Promise<Region> {
  const dataDir = join(root, name);
  const served = await serveKms(['--data-dir', dataDir]);
  let stopping: Promise<void> | undefined;
  const stop = (): Promise<void> => (stopping ??= served.stop());
  // Before its folder goes.
  t.after(async () => {
    await stop();
    await rm(dataDir, { recursive: true, force: true });
  });
  const made = waxseal(['kms', 'key', 'create', '--alias', name, '--data-dir', dataDir]);
  assert.equal(made.status, 0, made.stderr);
  const { endpoint, caFile, credentialsFile } = served.ready;
  return {
    provider: `{waxseal: {keyId: alias/${name}, endpoint: '${endpoint}', caFile: ${caFile}, credentialsFile: ${credentialsFile}}}`,
    stop,
  };
}

test('a recipient reads while the primary is away, and becomes the primary by a reload', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'waxseal-regions-'));
  const [frankfurt, dublin] = [await startRegion(t, root, 'frankfurt'), await startRegion(t, root, 'dublin')];
  const [socket, config, encryption] = [
    join(root, 'kms.sock'),
    join(root, 'plugin.yaml'),
    join(root, 'e.yaml'),
  ];
  const configure = (keys: string): Promise<void> =>
    writeFile(config, `keys:\n  - name: cluster\n    listen: ${socket}\n    probeRetryMs: 200\n${keys}`);
  await configure(`    provider: ${frankfurt.provider}
    providerName: frankfurt
    recipients: [{name: dublin, provider: ${dublin.provider}}]
`);
  await writeFile(
    encryption,
    JSON.stringify({
      apiVersion: 'apiserver.config.k8s.io/v1',
      kind: 'EncryptionConfiguration',
      resources: [
        {
          resources: ['secrets'],
          providers: [{ kms: { apiVersion: 'v2', name: 'waxseal', endpoint: `unix://${socket}` } }],
        },
      ],
    }),
  );
  const transform = (op: 'to' | 'from', data: string): string => {
    const line = `${JSON.stringify({ op, key: '/registry/secrets/a/b', data })}\n`;
    const args = ['transform', '--encryption-config', encryption, '--resource', 'secrets'];
    const { stdout, stderr } = waxseal(args, { input: Buffer.from(line) });
    assert.match(stdout, /^\{/, stderr);
    const answer = JSON.parse(stdout) as { readonly data?: string; readonly err?: string };
    assert.equal(answer.err, undefined, stderr);
    return answer.data ?? '';
  };
  t.after(() => rm(root, { recursive: true, force: true }));
  const plugin = await startPluginProcess(t, ['serve', '--config', config]);
  const client = plugin.client(`unix://${socket}`);
  const plaintext = Buffer.from('a Secret').toString('base64');

  const before = transform('to', plaintext);
  assert.equal((await client.status()).keyId, 'alias/frankfurt');

  await frankfurt.stop();
  assert.equal(transform('from', before), plaintext, 'reads go on');

  await configure(`    provider: ${dublin.provider}\n    providerName: dublin\n`);
  plugin.child.kill('SIGHUP');
  const endMs = Date.now() + 10_000;
  while ((await client.status()).keyId !== 'alias/dublin' && Date.now() < endMs) await delay(50);
  assert.deepEqual(await client.status(), { version: 'v2', healthz: 'ok', keyId: 'alias/dublin' });
  const afterwards = transform('to', plaintext);
  assert.equal(transform('from', afterwards), plaintext, 'writes go on');
  assert.equal(
    transform('from', before),
    plaintext,
    'what was written before is read by the name of the recipient',
  );
  assert.equal(await plugin.stop(), 0);
});
