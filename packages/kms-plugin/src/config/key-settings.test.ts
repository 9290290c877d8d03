/** Recipients, readers and escrow keys as a configuration file says them. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { KmsPluginError } from '../errors.js';
import type { Provider } from '../provider.js';
import { createKeyring } from '../providers/local-keyring.js';
import { recipientsOf } from '../recipients/annotation.js';
import { tempFolder } from '../testing/temp-folder.js';
import { parsePluginConfig } from './plugin-config.js';

const ageRecipient = 'age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj';

async function folderWithKeys(t: TestContext): Promise<string> {
  const folder = await tempFolder(t);
  for (const name of ['a', 'b', 'c']) await createKeyring(join(folder, `${name}.json`), name);
  await writeFile(join(folder, 'escrow.pub'), `${ageRecipient}\n`);
  return folder;
}

const config = (more: string, provider = 'a'): string =>
  `keys:\n  - name: set\n    listen: ./kms.sock\n    provider: {local: {keyringFile: ${provider}.json}}\n${more}`;

async function providerOf(t: TestContext, folder: string, text: string): Promise<Provider> {
  const [keySet] = parsePluginConfig(text, folder).keySets;
  assert.ok(keySet !== undefined);
  const provider = await keySet.createProvider();
  t.after(() => provider.close());
  return provider;
}

const signal = (): AbortSignal => new AbortController().signal;

test('recipients, escrow by text and by file, readers: what was written is read after each change of roles', async (t) => {
  const folder = await folderWithKeys(t);
  const before = await providerOf(
    t,
    folder,
    config(`    providerName: first
    recipients:
      - {name: second, provider: {local: {keyringFile: b.json}}}
      - {name: safe, escrow: {publicKeyFile: ./escrow.pub}}
      - {name: vault, escrow: {publicKey: ${ageRecipient}}}
    writePolicy: quorum
    recipientsInKeyId: true
`),
  );
  const dek = randomBytes(32);
  const snapshot = before.snapshot();
  assert.match(snapshot.keyId, /^local:a:1:.*\+recipients-/);
  const wrapped = await before.encrypt(snapshot, dek, signal());
  assert.deepEqual(recipientsOf(wrapped.annotations), ['second', 'safe', 'vault']);
  const value = { ...wrapped, version: 'v2', keyId: snapshot.keyId } as const;
  for (const after of [
    config('    readers: [{name: old, provider: {local: {keyringFile: a.json}}}]\n', 'c'),
    // The first key is lost; the second takes its place under its name.
    config('    providerName: second\n', 'b'),
  ]) {
    const provider = await providerOf(t, folder, after);
    assert.deepEqual(await provider.decrypt(value, signal()), dek);
  }
});

test('what is wrong is named with its path', async (t) => {
  const folder = await folderWithKeys(t);
  const rows: readonly (readonly [string, RegExp])[] = [
    [
      '    versions: [v1, v2]\n    recipients: [{name: r, provider: {local: {keyringFile: b.json}}}]\n',
      /keys\[0\]\.versions: there are recipients, and KMS v1 has no place/,
    ],
    ['    recipients: [{name: r}]\n', /keys\[0\]\.recipients\[0\]\.provider: is missing/],
    ['    recipients: [{name: r, escrow: {}}]\n', /recipients\[0\]\.escrow: give either publicKey/],
    ['    recipients: [{name: r, escrow: {publicKey: a, publicKeyFile: b}}]\n', /escrow: give either/],
    ['    writePolicy: most\n', /writePolicy: expected one of all, quorum, primary/],
    [
      '    readers: [{nam: r, provider: {local: {keyringFile: b.json}}}]\n',
      /readers\[0\]\.nam: unknown field/,
    ],
    ['    failOnPendingDeletion: 1\n', /failOnPendingDeletion: expected true or false/],
  ];
  for (const [text, message] of rows) {
    assert.throws(
      () => parsePluginConfig(config(text), folder),
      (error) => {
        assert.ok(error instanceof KmsPluginError);
        assert.match(error.message, message);
        return true;
      },
    );
  }
  for (const text of [
    '    recipients: [{name: Not_a_label, provider: {local: {keyringFile: b.json}}}]\n',
    '    recipients: [{name: primary, provider: {local: {keyringFile: b.json}}}]\n',
    '    recipients: [{name: safe, escrow: {publicKey: AGE-SECRET-KEY-1}}]\n',
    '    recipients: [{name: safe, escrow: {publicKeyFile: ./missing}}]\n',
  ]) {
    await assert.rejects(providerOf(t, folder, config(text)), KmsPluginError, text);
  }
});
