/** Goal: a plugin follows its file: key sets come, go and change while sockets and calls under way are kept, and a bad file changes nothing. */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { connectKmsV2, KmsApiError, type KmsV2Client } from '@waxseal/kms-api';
import { KmsPluginError } from '../errors.js';
import type { Plugin } from '../plugin.js';
import { createKeyring, rotateKeyring } from '../providers/local-keyring.js';
import { tempFolder } from '../testing/temp-folder.js';
import { checkPluginConfig, startConfiguredPlugin } from './configured-plugin.js';

interface Running {
  readonly folder: string;
  readonly plugin: Plugin;
  readonly write: (...keys: readonly string[]) => Promise<void>;
  readonly client: (socket: string) => KmsV2Client;
  readonly metrics: () => Promise<string>;
}

const keySet = (name: string, socket: string, more = ''): string =>
  `  - {name: ${name}, listen: ./${socket}.sock, provider: {local: {keyringFile: ./${name}.json}}${more}}`;

async function running(t: TestContext, ...keys: readonly string[]): Promise<Running> {
  const folder = await tempFolder(t);
  for (const name of ['old', 'new', 'third']) await createKeyring(join(folder, `${name}.json`));
  const configFile = join(folder, 'plugin.yaml');
  const write = (...sets: readonly string[]): Promise<void> =>
    writeFile(configFile, `health: {port: 0}\nkeys:\n${sets.join('\n')}\n`);
  await write(...keys);
  const plugin = await startConfiguredPlugin({ configFile });
  t.after(() => plugin.close());
  return {
    folder,
    plugin,
    write,
    client: (socket) => {
      const client = connectKmsV2({ endpoint: join(folder, `${socket}.sock`) });
      t.after(() => {
        client.close();
      });
      return client;
    },
    metrics: async () => (await fetch(`${plugin.healthEndpoint ?? ''}/metrics`)).text(),
  };
}

test('key sets are served side by side, each with its own key', async (t) => {
  const { plugin, client, folder } = await running(t, keySet('old', 'a'), keySet('new', 'b'));
  assert.deepEqual(
    plugin.sockets,
    ['a', 'b'].map((name) => `unix://${folder}/${name}.sock`),
  );
  const [a, b] = [await client('a').status(), await client('b').status()];
  assert.notEqual(a.keyId, b.keyId);
  assert.deepEqual(
    plugin.keySets().map(({ name, keyId }) => [name, keyId]),
    [
      ['old', a.keyId],
      ['new', b.keyId],
    ],
  );
});

test('reload adds, removes and swaps key sets; a connection to a socket that stays is kept', async (t) => {
  const { plugin, client, write, metrics } = await running(t, keySet('old', 'a'), keySet('new', 'b'));
  const [a, b] = [client('a'), client('b')];
  const sealed = await a.encrypt('u', Buffer.from('dek'));
  await b.status();
  // The two change places on their sockets, and one more comes.
  await write(keySet('new', 'a'), keySet('old', 'b'), keySet('third', 'c'));
  await plugin.reload();
  assert.equal((await b.decrypt('u', sealed)).toString(), 'dek', 'the old key answers on the other socket');
  await assert.rejects(a.decrypt('u', sealed), (error) => error instanceof KmsApiError);
  assert.equal((await client('c').status()).healthz, 'ok');
  await write(keySet('old', 'b'));
  await plugin.reload();
  await assert.rejects(a.status(), (error) => error instanceof KmsApiError && error.code === 'unavailable');
  assert.equal((await b.decrypt('u', sealed)).toString(), 'dek');
  assert.deepEqual(
    plugin.keySets().map(({ name }) => name),
    ['old'],
  );
  assert.match(await metrics(), /config_reloads_total\{result="success"\} 2/);
});

test('a file that cannot be used changes nothing and is counted', async (t) => {
  const { plugin, client, write, metrics } = await running(t, keySet('old', 'a'));
  const a = client('a');
  const before = await a.status();
  const rejected = async (pattern: RegExp, ...keys: readonly string[]): Promise<void> => {
    await write(...keys);
    await assert.rejects(
      plugin.reload(),
      (error) =>
        (error instanceof KmsPluginError || error instanceof KmsApiError) && pattern.test(error.message),
    );
    assert.deepEqual(await a.status(), before);
  };
  await rejected(
    /unknown field; did you mean listen/,
    '  - {name: old, listten: /x, provider: {local: {keyringFile: ./old.json}}}',
  );
  await rejected(/not YAML/, '  - {');
  await rejected(
    /Key set "new": .*absent/,
    keySet('old', 'a'),
    '  - {name: new, listen: ./b.sock, provider: {local: {keyringFile: ./absent}}}',
  );
  await rejected(/has the name old/, keySet('old', 'a'), keySet('old', 'b'));
  await rejected(/named twice/, keySet('old', 'a'), keySet('new', 'a'));
  await rejected(/statusVersion of .* cannot change/, keySet('old', 'a', ', statusVersion: v2beta1'));
  await rejected(/no\/such does not exist/, keySet('old', 'a'), keySet('new', 'no/such/b'));
  assert.match(await metrics(), /config_reloads_total\{result="failure"\} 7/);
  await write(keySet('old', 'a'));
  await plugin.reload();
});

test('reload reads keyrings again, and timeouts change without another provider', async (t) => {
  const { plugin, client, write, folder } = await running(t, keySet('old', 'a'));
  const a = client('a');
  const before = await a.status();
  await rotateKeyring(join(folder, 'old.json'));
  await plugin.reload();
  const rotated = await a.status();
  assert.notEqual(rotated.keyId, before.keyId);
  await write(keySet('old', 'a', ', operationTimeoutMs: 1000'));
  await plugin.reload();
  assert.deepEqual(await a.status(), rotated);
  assert.equal((await a.encrypt('u', Buffer.from('dek'))).keyId, rotated.keyId);
  await writeFile(join(folder, 'old.json'), 'no keyring');
  await assert.rejects(plugin.reload(), /Key set "old" cannot be read again/);
  assert.deepEqual(await a.status(), rotated);
});

test('a check tells every file that is absent or cannot be read, by its path in the configuration', async (t) => {
  const folder = await tempFolder(t);
  const configFile = join(folder, 'plugin.yaml');
  await createKeyring(join(folder, 'k.json'));
  await writeFile(
    configFile,
    `keys:
  - {name: a, listen: ./a.sock, provider: {local: {keyringFile: k.json, passphraseFile: none}}}
  - name: b
    listen: ./b.sock
    provider: {vault: {address: 'https://v', keyName: k, caFile: ${folder}, auth: {kind: token, tokenFile: no-token}}}
    recipients:
      - {name: r, provider: {aws: {keyId: k, credentialsFile: no-credentials}}}
      - {name: s, escrow: {publicKeyFile: no-key}}
`,
  );
  await assert.rejects(checkPluginConfig(configFile), (error) => {
    assert.ok(error instanceof KmsPluginError && error.code === 'config_invalid');
    assert.deepEqual(
      error.message
        .split('\n')
        .slice(1)
        .map((line) => line.trim().split(':')[0]),
      [
        'keys[0].provider.local.passphraseFile',
        'keys[1].provider.vault.auth.tokenFile',
        'keys[1].provider.vault.caFile',
        'keys[1].recipients[0].provider.aws.credentialsFile',
        'keys[1].recipients[1].escrow.publicKeyFile',
      ],
    );
    assert.match(error.message, /caFile: .* is a folder/);
    return true;
  });
});

test('a file that is absent or a field that holds a secret is told', async (t) => {
  const configFile = join(await tempFolder(t), 'plugin.yaml');
  await assert.rejects(startConfiguredPlugin({ configFile }), /cannot be read/);
  await writeFile(configFile, 'keys: [{name: x, listen: /x, provider: {local: {keyring: abc}}}]');
  await assert.rejects(startConfiguredPlugin({ configFile }), (error) => {
    assert.ok(error instanceof KmsPluginError && error.code === 'config_invalid');
    assert.match(error.message, /keys\[0\]\.provider\.local\.keyringFile: is missing/);
    assert.match(error.message, /keys\[0\]\.provider\.local\.keyring: secrets do not belong in this file/);
    return true;
  });
  assert.ok((await readFile(configFile)).length > 0);
});
