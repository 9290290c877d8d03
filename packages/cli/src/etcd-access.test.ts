/** Goal: etcd is reached as etcdctl reaches it, by options and its variables, and files that do not fit are told apart. Method: command lines. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Command } from 'commander';
import {
  type EtcdAccess,
  etcdAccessOptions,
  etcdOption,
  type EtcdOptions,
  readEtcdAccess,
} from './etcd-access.js';
import { CliError } from './errors.js';
import { loadPki } from './up/pki.js';

const folder = mkdtempSync(join(tmpdir(), 'cli-etcd-access-'));
after(() => rmSync(folder, { recursive: true }));
const { etcdCertFile: cert, caFile } = await loadPki(join(folder, 'pki'), new Date());
const at = (name: string, content: string): string => {
  const path = join(folder, name);
  writeFileSync(path, content, { mode: 0o600 });
  return path;
};

async function parse(
  args: readonly string[],
  environment: NodeJS.ProcessEnv = {},
): Promise<EtcdOptions & { readonly snapshot?: string }> {
  let options: EtcdOptions | undefined;
  const command = etcdAccessOptions(
    new Command('scan').exitOverride().addOption(etcdOption()).option('--snapshot <file>'),
    { environment },
  ).action((given: EtcdOptions) => {
    options = given;
  });
  await command.parseAsync(args, { from: 'user' });
  assert.ok(options !== undefined);
  return options;
}

const access = async (args: readonly string[], environment?: NodeJS.ProcessEnv): Promise<EtcdAccess> =>
  readEtcdAccess(await parse(args, environment));
const E = ['--etcd', 'http://a:2379'];
const userOf = async (args: readonly string[], environment?: NodeJS.ProcessEnv): Promise<unknown[]> => {
  const { username, password } = await access([...E, ...args], environment);
  return [username, password];
};

async function refused(args: readonly string[], exitCode: number, message: RegExp): Promise<void> {
  const error = await access(args).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof CliError, String(error));
  assert.equal(error.exitCode, exitCode, error.message);
  assert.match(error.message, message);
  assert.doesNotMatch(`${error.message} ${error.hint}`, /hidden/);
}

test('a user and a password, each way', async () => {
  const file = at('password', 'from-file\r\n');
  for (const [args, user] of [
    [
      ['--user', 'ann:pass'],
      ['ann', 'pass'],
    ],
    [
      ['--user', 'ann:with:colons'],
      ['ann', 'with:colons'],
    ],
    [
      ['--user', 'ann', '--password', 'pass'],
      ['ann', 'pass'],
    ],
    [
      ['--user', 'ann:b', '--password', 'pass'],
      ['ann:b', 'pass'],
    ],
    [
      ['--user', 'ann', '--password-file', file],
      ['ann', 'from-file'],
    ],
    [[], [undefined, undefined]],
  ] as const) {
    assert.deepEqual(await userOf(args), user);
  }
});

test('the variables of etcdctl count where no option does', async () => {
  const environment = {
    ETCDCTL_ENDPOINTS: 'b:2379,c:2379',
    ETCDCTL_USER: 'env:env-pass',
    ETCDCTL_PASSWORD: 'other-pass',
  };
  assert.deepEqual((await access([], environment)).endpoints, ['b:2379', 'c:2379']);
  assert.deepEqual((await access(E, environment)).endpoints, ['http://a:2379']);
  assert.deepEqual(await userOf(['--user', 'ann:pass'], environment), ['ann', 'pass']);
  assert.deepEqual(await userOf(['--user', 'ann'], environment), ['ann', 'other-pass']);
  assert.deepEqual(await userOf([], { ETCDCTL_USER: 'env:env-pass' }), ['env', 'env-pass']);
  // Files need none of it.
  assert.deepEqual(await parse(['--snapshot', 'x.db'], environment), { snapshot: 'x.db' });
  await assert.rejects(access([], { ETCDCTL_ENDPOINTS: 'ftp://a' }), {
    exitCode: 2,
    message: /^ETCDCTL_ENDPOINTS/,
  });
  const unsealed = await access(E, {
    ETCDCTL_CACERT: '/absent',
    ETCDCTL_CERT: '/absent',
    ETCDCTL_KEY: '/absent',
  });
  assert.equal(unsealed.tls, undefined);
});

test('endpoints as they are typed and pasted', async () => {
  const endpointsOf = async (...urls: readonly string[]): Promise<readonly string[]> =>
    (await access(urls.flatMap((url) => ['--etcd', url]))).endpoints;
  const both = ['http://a:2379', 'http://b:2379'];
  assert.deepEqual(await endpointsOf('http://a:2379/, http://b:2379/'), both);
  assert.deepEqual(await endpointsOf('http://a:2379', 'http://b:2379'), both);
  assert.deepEqual(await endpointsOf('a:2379', 'b:2379'), ['a:2379', 'b:2379']);
  for (const url of ['', ' ', 'ftp://a', 'a:2379,http://b:2379'])
    await assert.rejects(endpointsOf(url), /Expected https:\/\/host:2379/, url);
});

test('what does not go together is usage; a password is never repeated', async () => {
  await refused(['--etcd', 'http://ann:hidden@a:2379'], 2, /no user in it/);
  await refused([...E, '--password', 'hidden'], 2, /need --user/);
  await refused([...E, '--user', ':hidden'], 2, /no name before the colon/);
  await refused([...E, '--user', 'a', '--password', 'hidden', '--password-file', 'f'], 2, /two passwords/);
  await refused(['--etcd', 'https://a:2379', '--cert', 'f'], 2, /belong together/);
  await refused([...E, '--cacert', 'f'], 2, /over TLS/);
  await refused([...E, '--user', 'ann'], 3, /needs a password/);
});

test('a file that is not what it should be is named', async () => {
  const { privateKey } = generateKeyPairSync('ed25519');
  const key = at('key.pem', privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
  const locked = at(
    'locked.pem',
    privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' }).toString(),
  );
  const text = at('text', 'hidden words');
  const T = ['--etcd', 'https://a:2379'];
  await refused([...T, '--cacert', text], 3, /text holds no certificate in PEM/);
  await refused(
    [...T, '--cacert', join(folder, 'absent')],
    3,
    /absent \(the CA certificate\) cannot be read: ENOENT/,
  );
  await refused([...T, '--cert', key, '--key', key], 3, /key\.pem holds no certificate/);
  await refused([...T, '--cert', cert, '--key', text], 3, /text holds no private key/);
  await refused([...T, '--cert', cert, '--key', locked], 3, /locked\.pem is locked by a passphrase/);
  await refused([...T, '--cert', cert, '--key', key], 3, /key\.pem is not the key of .*etcd-client\.crt/);
  const { tls, readableKey } = await readEtcdAccess({
    etcd: ['a:2379'],
    cacert: caFile,
    prefix: '/registry',
  });
  assert.ok(tls?.ca?.includes('BEGIN CERTIFICATE'));
  assert.equal(readableKey?.toString(), '/registry/');
});
