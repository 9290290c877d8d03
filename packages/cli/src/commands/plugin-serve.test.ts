/**
 * Goal: a configuration file is served and followed by a process, which systemd can hand sockets to. Method: the real command, real
 * signals, a KMS client on the sockets.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { lstat, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { createKeyring } from '@waxseal/kms-plugin';
import { waxseal } from '../testing/command.js';
import { startPluginProcess, until } from '../testing/plugin-process.js';

async function folderOf(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'waxseal-serve-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  for (const name of ['old', 'new']) await createKeyring(join(folder, `${name}.json`));
  return folder;
}

const keySet = (name: string, listen = `./${name}.sock`, more = ''): string =>
  `  - {name: ${name}, listen: "${listen}", provider: {local: {keyringFile: ./${name}.json}}${more}}\n`;

test('serve: one JSON line, two sockets, a group; SIGHUP follows the file without dropping a connection', async (t) => {
  const folder = await folderOf(t);
  const config = join(folder, 'plugin.yaml');
  const group = `, socketGroup: "${process.getgid?.() ?? 0}"`;
  await writeFile(config, `health: {port: 0}\nkeys:\n${keySet('old', './old.sock', group)}${keySet('new')}`);
  const plugin = await startPluginProcess(t, ['serve', '--config', config]);
  assert.deepEqual(
    plugin.ready.sockets,
    ['old', 'new'].map((name) => `unix://${folder}/${name}.sock`),
  );
  assert.equal((await lstat(join(folder, 'old.sock'))).mode & 0o777, 0o660);
  assert.equal((await lstat(join(folder, 'new.sock'))).mode & 0o777, 0o600);
  const old = plugin.client(join(folder, 'old.sock'));
  const sealed = await old.encrypt('u', Buffer.from('dek'));
  assert.match((await plugin.health('/readyz')).body, /\[\+\]old encrypt ok\n.*\n\[\+\]new encrypt/);
  assert.deepEqual(await plugin.health('/readyz/old'), {
    status: 200,
    body: '[+]old encrypt ok\n[+]old decrypt ok\n',
  });
  assert.equal((await plugin.health('/healthz/absent')).status, 404);

  // A file that cannot be used changes nothing and says why.
  await writeFile(config, 'keys: nothing');
  plugin.child.kill('SIGHUP');
  await until(() => plugin.errors().includes('not reloaded'));
  assert.match(plugin.errors(), /keys: expected a list/);
  assert.equal((await old.decrypt('u', sealed)).toString(), 'dek');

  await writeFile(config, `health: {port: 0}\nkeys:\n${keySet('old', './old.sock', group)}`);
  plugin.child.kill('SIGHUP');
  await until(async () => !(await plugin.health('/readyz')).body.includes('new'));
  assert.equal((await old.decrypt('u', sealed)).toString(), 'dek');
  await assert.rejects(lstat(join(folder, 'new.sock')), /ENOENT/);
  assert.match((await plugin.health('/metrics')).body, /config_reloads_total\{result="failure"\} 1/);
  old.close();
  assert.equal(await plugin.stop(), 0);
});

test('serve --check names what is wrong, and starts nothing', async (t) => {
  const folder = await folderOf(t);
  const config = join(folder, 'plugin.yaml');
  await writeFile(config, `keys:\n${keySet('old')}`);
  const good = waxseal(['plugin', 'serve', '--config', config, '--check', '--output', 'json']);
  assert.deepEqual([good.status, good.stdout], [0, '{"keys":["old"]}\n']);
  await writeFile(config, `kesy:\n${keySet('old')}`);
  const bad = waxseal(['plugin', 'serve', '--config', config, '--check']);
  assert.equal(bad.status, 1);
  assert.match(bad.stderr, /kesy: unknown field; did you mean keys\?/);
  await writeFile(config, `keys:\n${keySet('old')}${keySet('absent')}`);
  const missing = waxseal(['plugin', 'serve', '--config', config, '--check']);
  assert.equal(missing.status, 1);
  assert.match(missing.stderr, /keys\[1\]\.provider\.local\.keyringFile: there is no file .*absent\.json/);
  assert.doesNotMatch(missing.stderr, /keys\[0\]/);
});

test('local create makes a keyring that serve takes, and leaves one that is there alone', async (t) => {
  const folder = await folderOf(t);
  const [keyring, passphraseFile] = [join(folder, 'made.json'), join(folder, 'passphrase')];
  await writeFile(passphraseFile, 'correct horse\n', { mode: 0o644 });
  const create = (...more: string[]): ReturnType<typeof waxseal> =>
    waxseal(['plugin', 'local', 'create', '--keyring', keyring, '--output', 'json', ...more]);
  const made = create();
  assert.equal(made.status, 0, made.stderr);
  assert.deepEqual(JSON.parse(made.stdout), { keyring, version: 1, encrypted: false });
  assert.equal((await lstat(keyring)).mode & 0o777, 0o600);
  const before = await readFile(keyring);
  const again = create();
  assert.equal(again.status, 3);
  assert.match(again.stderr, /made\.json exists already/);
  assert.deepEqual(await readFile(keyring), before);
  await rm(keyring);
  const encrypted = create('--passphrase-file', passphraseFile);
  assert.equal(encrypted.status, 0, encrypted.stderr);
  assert.match(encrypted.stderr, /passphrase holds a secret and others may read it \(mode 0644\)/);
  assert.match(await readFile(keyring, 'latin1'), /BEGIN AGE ENCRYPTED FILE/);
  const config = join(folder, 'plugin.yaml');
  await writeFile(
    config,
    `keys: [{name: k, listen: ./k.sock, provider: {local: {keyringFile: made.json, passphraseFile: passphrase}}}]`,
  );
  const plugin = await startPluginProcess(t, ['serve', '--config', config]);
  assert.equal((await plugin.client(join(folder, 'k.sock')).status()).healthz, 'ok');
  await until(() => plugin.errors().includes('can be read by others'));
  assert.match(plugin.errors(), /"mode":"0644"/);
});

test('sockets that systemd hands over are served, and it is told', async (t) => {
  const folder = await folderOf(t);
  const path = join(folder, 'handed.sock');
  const owner = createServer().listen(path);
  await once(owner, 'listening');
  // Stands in for systemd-notify, which sends its arguments to a socket that Node cannot read.
  const told = join(folder, 'told');
  await writeFile(join(folder, 'systemd-notify'), `#!/bin/sh\necho "$@" >> ${told}\n`, { mode: 0o755 });
  const starting = startPluginProcess(
    t,
    ['local', '--keyring', join(folder, 'old.json'), '--listen', 'systemd'],
    {
      shellVariables: 'LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=kms',
      inherit: [fileDescriptorOf(owner)],
      env: { NOTIFY_SOCKET: '/run/absent', PATH: `${folder}${delimiter}${process.env['PATH'] ?? ''}` },
    },
  );
  // It must not accept connections itself; closing takes the file away, were it still at its place.
  await rename(path, `${path}.kept`);
  owner.close();
  await once(owner, 'close');
  await rename(`${path}.kept`, path);
  const plugin = await starting;
  assert.deepEqual(plugin.ready.sockets, [`unix://${path}`]);
  const client = plugin.client(path);
  assert.equal((await client.status()).healthz, 'ok');
  client.close();
  plugin.child.kill('SIGHUP');
  const lines = async (): Promise<string> => readFile(told, 'utf8').catch(() => '');
  await until(async () => /READY=1\nRELOADING=1 MONOTONIC_USEC=\d+\nREADY=1/.test(await lines()));
  assert.equal(await plugin.stop(), 0);
  assert.match(await lines(), /STOPPING=1\n$/);
  assert.ok((await lstat(path)).isSocket(), 'the socket is systemd’s and stays');
});

function fileDescriptorOf(server: object): number {
  const handle: unknown = '_handle' in server ? server._handle : undefined;
  assert.ok(typeof handle === 'object' && handle !== null && 'fd' in handle && typeof handle.fd === 'number');
  return handle.fd;
}
