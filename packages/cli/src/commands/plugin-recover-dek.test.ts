/**
 * Goal: a complete disaster is survived. A Secret is sealed through a real plugin whose key lies in a real key service, with an escrow recipient beside it; the key
 * service is then deleted with all its keys, and the identity from the safe brings the Secret back. Method: the real commands, each in its own process.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { serveKms, waxseal } from '../testing/command.js';
import { startPluginProcess } from '../testing/plugin-process.js';

const launcher = fileURLToPath(new URL('../../bin/waxseal.js', import.meta.url));
/** A pair made for this test. */
const ageIdentity = 'AGE-SECRET-KEY-1QQFWXMQDMTK5R63Y8UGZPXE05RZR2WZWH2F465UXUTQGSKSNLFMQM2MEGV';
const ageRecipient = 'age19lrcf66gr39e8fv76pjf7k90dk0lxc2wwks9je8wu23c6aar8y5s0fv779';
const storageKey = '/registry/secrets/default/db';
const secret =
  '{"kind":"Secret","apiVersion":"v1","metadata":{"name":"db"},"data":{"password":"aHVudGVyMg=="}}';

let root = '';
let stored = Buffer.alloc(0);
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });

const at = (name: string): string => join(root, name);
async function file(name: string, content: string | Buffer): Promise<string> {
  await writeFile(at(name), content, { mode: 0o600 });
  return at(name);
}
const recover = (args: readonly string[], input?: Buffer) =>
  waxseal(['plugin', 'recover-dek', ...args], input === undefined ? {} : { input });

function transform(op: 'to' | 'from', data: string): { readonly data?: string; readonly err?: string } {
  const { stdout, stderr } = waxseal(
    ['transform', '--encryption-config', at('encryption.yaml'), '--resource', 'secrets'],
    { input: Buffer.from(`${JSON.stringify({ op, key: storageKey, data })}\n`) },
  );
  assert.match(stdout, /^\{/, stderr);
  return JSON.parse(stdout) as { readonly data?: string; readonly err?: string };
}

before(async () => {
  root = await mkdtemp(join(tmpdir(), 'waxseal-recover-'));
  const dataDir = at('kms');
  const served = await serveKms(['--data-dir', dataDir]);
  const made = waxseal(['kms', 'key', 'create', '--alias', 'cluster', '--data-dir', dataDir]);
  assert.equal(made.status, 0, made.stderr);
  await file('escrow.pem', rsa.publicKey.export({ type: 'spki', format: 'pem' }));
  await file(
    'plugin.yaml',
    `keys:
  - name: cluster
    listen: ${at('kms.sock')}
    provider:
      waxseal: {keyId: alias/cluster, endpoint: '${served.ready.endpoint}', caFile: ${served.ready.caFile}, credentialsFile: ${served.ready.credentialsFile}}
    recipients:
      - {name: safe, escrow: {publicKey: ${ageRecipient}}}
      - {name: bank, escrow: {publicKeyFile: ${at('escrow.pem')}}}
`,
  );
  await file(
    'encryption.yaml',
    `apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
  - resources: [secrets]
    providers:
      - kms: {apiVersion: v2, name: waxseal, endpoint: 'unix://${at('kms.sock')}', timeout: 3s}
`,
  );
  const plugin = spawn(
    process.execPath,
    [launcher, 'plugin', 'serve', '--config', at('plugin.yaml'), '--output', 'json', '--log-level', 'silent'],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const ended = once(plugin, 'exit');
  try {
    await once(createInterface({ input: plugin.stdout }), 'line');
    const sealed = transform('to', Buffer.from(secret).toString('base64'));
    assert.equal(sealed.err, undefined);
    stored = Buffer.from(sealed.data ?? '', 'base64');
    assert.equal(Buffer.from(transform('from', sealed.data ?? '').data ?? '', 'base64').toString(), secret);
    // The disaster: the key service is gone, and every key with it.
    await served.stop();
    await rm(dataDir, { recursive: true });
    assert.match(transform('from', sealed.data ?? '').err ?? '', /./);
  } finally {
    plugin.kill('SIGTERM');
    await ended;
  }
  await file('age.txt', `# from the safe\n${ageIdentity}\n`);
  await file('rsa.pem', rsa.privateKey.export({ type: 'pkcs8', format: 'pem' }));
});
after(() => rm(root, { recursive: true, force: true }));

test('each identity brings the object back, from every form the value may come in', async () => {
  const etcdctl = JSON.stringify({
    header: { revision: 7 },
    kvs: [{ key: Buffer.from(storageKey).toString('base64'), value: stored.toString('base64'), version: 1 }],
    count: 1,
  });
  const forms: readonly (readonly [string | Buffer, readonly string[]])[] = [
    [stored, ['--key', storageKey]],
    [Buffer.concat([stored, Buffer.from('\n')]), ['--key', storageKey]],
    [stored.toString('base64'), ['--key', storageKey]],
    [etcdctl, []],
  ];
  for (const identity of ['age.txt', 'rsa.pem']) {
    for (const [input, more] of forms) {
      const { status, stdout, stderr } = recover(
        ['--identity', at(identity), '--object', '--stdout', ...more],
        Buffer.from(input),
      );
      assert.equal(status, 0, stderr);
      assert.equal(stdout, secret);
    }
  }
});

test('the DEK source goes into a new private file, or to standard output when that is said', async () => {
  const value = await file('value.bin', stored);
  const [out, args] = [at('dek'), ['--identity', at('age.txt'), '--value', value]] as const;
  const { status, stdout, stderr } = recover([...args, '--out', out]);
  assert.equal(status, 0, stderr);
  assert.match(stdout, /recovered by recipient safe/);
  const text = await readFile(out, 'utf8');
  assert.ok(!stdout.includes(text.trim().slice(0, 20)));
  assert.equal(Buffer.from(text, 'base64').length, 32);
  assert.equal((await stat(out)).mode & 0o777, 0o600);
  assert.equal(recover([...args, '--stdout']).stdout, text);
  const again = recover([...args, '--out', out]);
  assert.equal(again.status, 3, 'a file is never overwritten');
  assert.match(again.stderr, /dek exists already\n.*Nothing was recovered/s);
  assert.doesNotMatch(`${stderr}${again.stderr}`, /EEXIST|others may read/);
  const open = await file('open.txt', `${ageIdentity}\n`);
  await chmod(open, 0o644);
  const warned = recover(['--identity', open, '--value', value, '--stdout']);
  assert.equal(warned.stdout, text, 'it is a warning only');
  assert.match(warned.stderr, /open\.txt holds a secret and others may read it \(mode 0644\)/);
  assert.equal(recover(args).status, 2, 'nobody prints a DEK by accident');
  assert.equal(recover([...args, '--out', out, '--stdout']).status, 2);
});

test('what does not fit is told apart', async () => {
  const value = await file('value.bin', stored);
  const other = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  const otherIdentity = await file('other.pem', other.export({ type: 'pkcs8', format: 'pem' }));
  const base = ['--identity', at('age.txt'), '--stdout'] as const;
  const rows: readonly (readonly [readonly string[], Buffer | undefined, RegExp])[] = [
    [
      ['--identity', otherIdentity, '--stdout', '--value', value],
      undefined,
      /bank: wrapped for another escrow key/,
    ],
    [[...base, '--value', value, '--object'], undefined, /--key/],
    [
      [...base, '--value', value, '--object', '--key', '/registry/secrets/default/other'],
      undefined,
      /does not open/,
    ],
    [base, Buffer.from('k8s:enc:aescbc:v1:key1:abc'), /KMS v2/],
    [base, stored.subarray(0, 40), /damaged or cut off/],
    [base, Buffer.from('{"kvs":[]}'), /holds 0 keys/],
    [base, Buffer.from('{'), /begins as JSON/],
    [base, Buffer.from('!!!'), /no base64/],
    [base, Buffer.from('{"keyId":"k","encryptedDEKSource":"AAAA","annotations":{}}'), /without recipients/],
    [['--identity', value, '--stdout', '--value', value], undefined, /neither age identities/],
  ];
  for (const [args, input, message] of rows) {
    const { status, stdout, stderr } = recover(args, input);
    assert.match(stderr, message);
    assert.notEqual(status, 0);
    assert.equal(stdout, '');
    assert.doesNotMatch(stderr, /AGE-SECRET-KEY-1[0-9A-Z]/);
  }
});

test('one key from flags has an escrow recipient too', async (t) => {
  const files = [
    '--keyring',
    at('keyring.json'),
    '--listen',
    at('local.sock'),
    '--escrow-key',
    at('escrow.pem'),
  ];
  const plugin = await startPluginProcess(t, ['local', ...files, '--fail-on-pending-deletion']);
  const client = plugin.client(plugin.ready.sockets[0] ?? '');
  const { ciphertext, keyId, annotations } = await client.encrypt('u', Buffer.from('a DEK source'));
  assert.deepEqual(Object.keys(annotations), ['escrow.v1.recipients.waxseal.dev']);
  const parts = {
    keyId,
    encryptedDEKSource: ciphertext.toString('base64'),
    annotations: Object.fromEntries(
      Object.entries(annotations).map(([name, value]) => [name, value.toString('base64')]),
    ),
  };
  const { stdout, stderr } = recover(
    ['--identity', at('rsa.pem'), '--stdout'],
    Buffer.from(JSON.stringify(parts)),
  );
  assert.equal(Buffer.from(stdout, 'base64').toString(), 'a DEK source', stderr);
  assert.equal(await plugin.stop(), 0);
  const privateHalf = [
    '--keyring',
    at('keyring.json'),
    '--listen',
    at('x.sock'),
    '--escrow-key',
    at('rsa.pem'),
  ];
  const refused = waxseal(['plugin', 'local', ...privateHalf]);
  assert.match(refused.stderr, /private half/);
  assert.notEqual(refused.status, 0);
});
