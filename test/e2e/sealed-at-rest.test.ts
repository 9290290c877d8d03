/**
 * The main job. Goal: a Secret made with unmodified kubectl lies in storage as a KMS v2 envelope that only the key
 * service can open, and everything survives a restart. Method: real kubectl, etcdctl and aws against `waxseal up`.
 */
import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { clientsOf } from '../support/programs.js';
import { startUp, temporaryFolder } from '../support/waxseal.js';

const marker = 'correct-horse-battery-staple';

test('a Secret lies sealed in storage, end to end', async (t) => {
  const dataDir = await temporaryFolder(t);
  let up = await startUp(dataDir);
  t.after(() => up.stop());
  let clients = clientsOf(up.ready);

  await clients.kubectl(['create', 'secret', 'generic', 'db', `--from-literal=password=${marker}`]);

  const stored = await clients.etcdctl(['get', '/registry/secrets/default/db', '--print-value-only']);
  assert.match(stored, /^k8s:enc:kms:v2:waxseal:/);
  assert.ok(!stored.includes(marker), 'the plaintext lies in storage');
  assert.ok(
    !stored.includes(Buffer.from(marker).toString('base64')),
    'the base64 of the plaintext lies in storage',
  );

  assert.equal(await up.stop(), 0, 'SIGTERM ends it cleanly');
  for (const file of await readdir(dataDir, { recursive: true, withFileTypes: true })) {
    if (!file.isFile()) continue;
    const bytes = await readFile(join(file.parentPath, file.name));
    assert.ok(!bytes.includes(marker), `${file.name} holds the plaintext`);
    assert.ok(
      !bytes.includes(Buffer.from(marker).toString('base64')),
      `${file.name} holds the base64 of the plaintext`,
    );
  }
  assert.ok(!up.log().includes(marker), 'the log holds the plaintext');

  up = await startUp(dataDir);
  clients = clientsOf(up.ready);
  const password = await clients.kubectl(['get', 'secret', 'db', '-o', 'jsonpath={.data.password}']);
  assert.equal(Buffer.from(password, 'base64').toString(), marker);

  // Without the key service's consent nothing opens: disable the key, and start with empty caches.
  await clients.aws(['kms', 'disable-key', '--key-id', await keyId(clients)]);
  assert.equal(await up.stop(), 0);
  up = await startUp(dataDir);
  clients = clientsOf(up.ready);
  const refused = await clients.tryKubectl(['get', 'secret', 'db']);
  assert.notEqual(refused.code, 0);
  assert.match(refused.stderr, /unable to transform key "\/registry\/secrets\/default\/db"/);
  const listed = await clients.tryKubectl(['get', 'secrets']);
  assert.notEqual(listed.code, 0);
  assert.match(listed.stderr, /\/registry\/secrets\/default\/db/);

  await clients.aws(['kms', 'enable-key', '--key-id', await keyId(clients)]);
  const again = await clients.kubectl(['get', 'secret', 'db', '-o', 'jsonpath={.data.password}']);
  assert.equal(Buffer.from(again, 'base64').toString(), marker);
});

async function keyId(clients: ReturnType<typeof clientsOf>): Promise<string> {
  const answer = JSON.parse(await clients.aws(['kms', 'describe-key', '--key-id', 'alias/waxseal'])) as {
    KeyMetadata: { KeyId: string };
  };
  return answer.KeyMetadata.KeyId;
}
