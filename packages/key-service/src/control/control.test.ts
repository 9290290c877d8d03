// Goal: backup and reseal of a running service, without a call failing meanwhile; the restored store opens under the protector the
// root key has now. Method: a whole service, its socket, calls going on.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { CreateKeyCommand, EncryptCommand } from '@aws-sdk/client-kms';
import { pino } from 'pino';
import { restoreBackup } from '../backup/backup.js';
import { createRootKeyProtector } from '../root-key/choice.js';
import { openRootKey } from '../root-key/root-key.js';
import { ACCOUNT, REGION, startTestService } from '../testing/harness.js';
import { createMemoryStore } from '../testing/memory-store.js';
import { findRunningKeyService } from './control-client.js';
import { startControlServer } from './control-server.js';

test('a running service is backed up and resealed', async (t) => {
  const kms = await startTestService();
  t.after(() => kms.close());
  const client = kms.client();
  const { KeyMetadata } = await client.send(new CreateKeyCommand({}));
  const KeyId = KeyMetadata?.KeyId ?? '';
  const running = await findRunningKeyService(kms.dataDir);
  assert.ok(running);
  assert.deepEqual(await running.status(), { endpoint: kms.service.endpoint, rootKeyProtector: 'file' });

  const load = { going: true };
  let calls = 0;
  const calling = (async () => {
    while (load.going) {
      await client.send(new EncryptCommand({ KeyId, Plaintext: Buffer.from('x') }));
      calls++;
    }
  })();
  const passphrase = Buffer.from('correct horse battery');
  const answer = await running.reseal({ kind: 'passphrase', passphrase: passphrase.toString('base64') });
  const chunks: Buffer[] = [];
  for await (const chunk of await running.backup()) chunks.push(chunk);
  load.going = false;
  await calling;
  assert.ok(calls > 0);
  assert.deepEqual(answer, { rootKeyProtector: 'passphrase' });
  assert.equal(existsSync(join(kms.dataDir, 'root.key')), false);

  const choice = { kind: 'passphrase', passphrase: async () => Buffer.from(passphrase) } as const;
  const protector = createRootKeyProtector(choice, kms.dataDir, randomBytes);
  const target = createMemoryStore();
  await restoreBackup(target, () => Readable.from(chunks), [protector]);
  assert.equal((await openRootKey(target, [protector], randomBytes)).length, 32);

  await assert.rejects(running.reseal({ kind: 'stone' }), { code: 'invalid-option' });
  // The service that runs has no passphrase: back to the file, so that it can be started again.
  await running.reseal({ kind: 'file' });
  await kms.restart();
  await kms.client().send(new EncryptCommand({ KeyId, Plaintext: Buffer.from('x') }));
});

test('a running service says who may', async (t) => {
  const kms = await startTestService();
  t.after(() => kms.close());
  const { KeyMetadata } = await kms.client().send(new CreateKeyCommand({}));
  const running = await findRunningKeyService(kms.dataDir);
  assert.ok(running);
  const question = {
    principal: `arn:aws:iam::${ACCOUNT}:user/admin`,
    action: 'kms:Decrypt',
    region: REGION,
    keyId: KeyMetadata?.KeyId ?? '',
  };
  const explained = await running.explainAccess(question);
  assert.deepEqual([explained.allowed, explained.resource], [true, KeyMetadata?.Arn]);
  await assert.rejects(running.explainAccess({ ...question, action: 'kms:Foo' }), /kms:Foo is no action/);
  await assert.rejects(running.explainAccess({ ...question, keyId: 'alias/none' }), {
    code: 'invalid-option',
  });
});

test('nobody there, a stale socket, somebody there', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'waxseal-control-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const logger = pino({ level: 'silent' });
  const actions = {
    status: async () => ({}),
    backup: async () => Readable.from([]),
    reseal: async () => ({}),
    reload: async () => ({}),
    explainAccess: async () => ({}),
  };
  assert.equal(await findRunningKeyService(folder), undefined);

  const server = await startControlServer(folder, actions, logger);
  assert.ok(await findRunningKeyService(folder));
  await assert.rejects(startControlServer(folder, actions, logger), /Another key service answers at/);
  await server.close();

  // What a killed process leaves: a socket nobody listens on.
  const path = join(folder, 'control.sock');
  const dies = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  spawnSync(process.execPath, ['-e', dies]);
  assert.ok(existsSync(path));
  assert.equal(await findRunningKeyService(folder), undefined);
  await (await startControlServer(folder, actions, logger)).close();

  await writeFile(path, 'no socket');
  await assert.rejects(startControlServer(folder, actions, logger), /it is not a socket/);
});
