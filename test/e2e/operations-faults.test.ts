/**
 * Goal: what goes wrong around the operations commands is said in a sentence with the documented exit code, leaves nothing half done, and the same
 * command goes on afterwards. Method: the real commands over a real etcd with users, certificates, lost members, full disks and signals.
 */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { existsSync, mkdirSync, openSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { startEtcd, startEtcdCluster } from '../support/etcd.js';
import {
  etcdctl,
  operation,
  putSecrets,
  startOperation,
  untilSeen,
  writeSecretboxConfig,
} from '../support/operations.js';
import { run } from '../support/programs.js';
import { launcher, startUp, temporaryFolder } from '../support/waxseal.js';

interface Counts {
  readonly listed: number;
  readonly rewritten: number;
  readonly conflicts: number;
  readonly failed: number;
  readonly remaining: number;
  readonly addsUp: boolean;
}

test('etcd with users: rights are asked for in words, and a token that expires is replaced', async (t) => {
  const folder = await temporaryFolder(t);
  const etcd = await startEtcd(join(folder, 'etcd'), undefined, ['--auth-token-ttl=1']);
  t.after(() => etcd.stop());
  const endpoint = `http://127.0.0.1:${etcd.clientPort}`;
  await putSecrets(endpoint, 300);
  for (const [user, prefix, right] of [
    ['reader', '/registry/', 'read'],
    ['writer', '/registry/', 'readwrite'],
    ['other', '/other/', 'readwrite'],
  ] as const) {
    await etcdctl(endpoint, 'role', 'add', user);
    await etcdctl(endpoint, 'role', 'grant-permission', user, '--prefix=true', right, prefix);
    await etcdctl(endpoint, 'user', 'add', `${user}:pass-${user}`);
    await etcdctl(endpoint, 'user', 'grant-role', user, user);
  }
  await etcdctl(endpoint, 'user', 'add', 'root:pass-root');
  await etcdctl(endpoint, 'user', 'grant-role', 'root', 'root');
  await etcdctl(endpoint, 'auth', 'enable');
  const scan = (...user: readonly string[]) => operation(['scan', '--etcd', endpoint, ...user]);

  assert.match((await scan('--user', 'reader:pass-reader')).stdout, /300 in plaintext/);
  for (const [user, words] of [
    ['reader:wrong-secret', /invalid user ID or password\. Check the user's name and password/],
    ['other:pass-other', /permission denied\. The user may not read these keys: grant/],
    [':x', /--user has no name/],
  ] as const) {
    const { code, stdout, stderr } = await scan('--user', user);
    assert.equal(code, user === ':x' ? 2 : 3);
    assert.equal(stdout, '');
    assert.match(stderr, words);
    assert.doesNotMatch(stderr, /wrong-secret|pass-other/);
  }
  assert.match((await scan()).stderr, /This etcd wants a user and password/);
  const inUrl = await operation(['scan', '--etcd', `http://reader:hidden@127.0.0.1:${etcd.clientPort}`]);
  assert.equal(inUrl.code, 2);
  assert.doesNotMatch(inUrl.stderr, /hidden/);

  const environment = { ETCDCTL_ENDPOINTS: endpoint, ETCDCTL_USER: 'reader:pass-reader' };
  assert.match((await operation(['scan'], environment)).stdout, /300 in plaintext/);
  const config = writeSecretboxConfig(folder);
  const rewrap = ['rewrap', '--encryption-config', config];
  const refused = await operation(rewrap, environment);
  assert.equal(refused.code, 3);
  assert.match(refused.stderr, /The user may not write this key: grant one of its roles readwrite/);
  assert.equal(refused.stderr.match(/permission denied/g)?.length, 1);

  const fix = await operation(['residue', '--fix'], environment);
  assert.equal(fix.code, 3);
  assert.match(fix.stderr, /not defragmented to the end: permission denied; .* role root /);
  assert.doesNotMatch(fix.stderr, /may not read/);

  const passwordFile = join(folder, 'password');
  writeFileSync(passwordFile, 'pass-writer\n', { mode: 0o600 });
  // An option wins over the environment, and the run outlives its first tokens.
  const slow = ['--user', 'writer', '--password-file', passwordFile, '--rate', '100', '--output', 'json'];
  const done = await operation([...rewrap, ...slow], environment);
  assert.equal(done.code, 0, done.stderr);
  const { rewritten, remaining, addsUp } = JSON.parse(done.stdout) as Counts;
  assert.deepEqual([rewritten, remaining, addsUp], [300, 0, true]);
});

test('certificates: each mistake is told apart', async (t) => {
  const folder = await temporaryFolder(t);
  const up = await startUp(join(folder, 'up'));
  t.after(() => up.stop());
  const { etcdEndpoint, caFile, etcdCertFile, etcdKeyFile } = up.ready;
  const strangersKey = join(folder, 'stranger.key');
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  writeFileSync(strangersKey, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  const config = writeSecretboxConfig(folder);
  const own = ['--cert', etcdCertFile, '--key', etcdKeyFile];
  const plain = etcdEndpoint.replace('https:', 'http:');

  const good = await operation(['scan', '--etcd', etcdEndpoint, '--cacert', caFile, ...own]);
  assert.equal(good.code, 0, good.stderr);
  for (const [command, etcd, tls, code, words] of [
    ['scan', etcdEndpoint, ['--cacert', etcdCertFile, ...own], 3, /not signed by the given CA: give the CA/],
    [
      'rewrap',
      etcdEndpoint,
      ['--cacert', etcdCertFile, ...own],
      3,
      /not signed by the given CA: give the CA/,
    ],
    ['scan', etcdEndpoint, own, 3, /not signed by an authority that this machine trusts: give the CA/],
    ['scan', etcdEndpoint, ['--cacert', caFile], 3, /wants a client certificate: give one, and its key/],
    [
      'scan',
      etcdEndpoint,
      ['--cacert', caFile, '--cert', etcdCertFile, '--key', strangersKey],
      3,
      /stranger\.key is not the key of/,
    ],
    [
      'scan',
      etcdEndpoint,
      ['--cacert', caFile, '--cert', etcdCertFile, '--key', caFile],
      3,
      /holds no private key in PEM/,
    ],
    [
      'scan',
      etcdEndpoint,
      ['--cacert', strangersKey, ...own],
      3,
      /stranger\.key holds no certificate in PEM/,
    ],
    [
      'scan',
      etcdEndpoint,
      ['--cacert', join(folder, 'absent.crt'), ...own],
      3,
      /absent\.crt \(the CA certificate\) cannot be read: ENOENT/,
    ],
    [
      'scan',
      etcdEndpoint,
      ['--cacert', caFile, '--cert', etcdCertFile],
      2,
      /--cert and --key belong together/,
    ],
    ['scan', plain, ['--cacert', caFile], 2, /are for etcd over TLS/],
  ] as const) {
    const more = command === 'rewrap' ? ['--encryption-config', config] : [];
    const ended = await operation([command, '--etcd', etcd, ...tls, ...more]);
    assert.equal(ended.code, code, ended.stderr);
    assert.match(ended.stderr, words);
    assert.doesNotMatch(ended.stderr, /Resolution note|fault in Waxseal/);
  }
});

test('a leader killed in the middle of rewrap, a dead endpoint, and a whole cluster that is away', async (t) => {
  const folder = await temporaryFolder(t);
  const cluster = await startEtcdCluster(folder);
  t.after(() => cluster.stop());
  const all = cluster.endpoints.join(',');
  const objects = 1_000;
  await putSecrets(cluster.endpoints[0] ?? '', objects);
  const config = writeSecretboxConfig(folder);
  const checkpoint = join(folder, 'checkpoint.json');
  const rewrap = [
    'rewrap',
    '--etcd',
    all,
    '--encryption-config',
    config,
    '--checkpoint',
    checkpoint,
    '--output',
    'json',
  ];
  const running = startOperation([...rewrap, '--rate', '700']);
  await untilSeen(running, () => running.log().includes('"phase":"rewrap"'));
  await cluster.kill(await leaderOf(all));
  const done = await running.ended;
  assert.equal(done.code, 0, done.stderr);
  const { listed, rewritten, conflicts, failed, remaining, addsUp } = JSON.parse(done.stdout) as Counts;
  // A write whose answer died with the leader may be found done.
  assert.deepEqual(
    [listed, rewritten + conflicts, failed, remaining, addsUp],
    [objects, objects, 0, 0, true],
  );
  assert.equal(existsSync(checkpoint), false);

  const scanned = await operation(['scan', '--etcd', all, '--require', 'secrets']);
  assert.equal(scanned.code, 0, scanned.stderr);
  assert.match(scanned.stdout, /secrets +secretbox +k +1000/);

  await cluster.stop();
  const away = await operation(['scan', '--etcd', all]);
  assert.equal(away.code, 3);
  for (const endpoint of cluster.endpoints)
    assert.ok(away.stderr.includes(`${endpoint}: nothing listens there`));
});

test('a database at its quota stops rewrap with what to do, and the same command goes on', async (t) => {
  const folder = await temporaryFolder(t);
  const objects = 2_600;
  const etcd = await startEtcd(join(folder, 'etcd'), undefined, [`--quota-backend-bytes=${1 << 20}`]);
  t.after(() => etcd.stop());
  const endpoint = `http://127.0.0.1:${etcd.clientPort}`;
  await putSecrets(endpoint, objects);
  const config = writeSecretboxConfig(folder);
  const checkpoint = join(folder, 'checkpoint.json');
  const where = ['--etcd', endpoint, '--encryption-config', config];
  const rewrap = ['rewrap', ...where, '--checkpoint', checkpoint, '--output', 'json'];
  const full = await operation(rewrap);
  assert.equal(full.code, 3, full.stdout);
  assert.match(full.stderr, /reached its quota: compact .*defragment every member.*take the alarm away/);
  assert.ok(existsSync(checkpoint));

  await makeRoom(endpoint);
  const done = await operation(rewrap);
  assert.equal(done.code, 0, done.stderr);
  const { listed, failed, remaining, addsUp } = JSON.parse(done.stdout) as Counts;
  assert.deepEqual([listed, failed, remaining, addsUp], [objects, 0, 0, true]);
});

test('files: a full disk names the file and leaves no half; Ctrl-C leaves nothing behind', async (t) => {
  const folder = await temporaryFolder(t);
  const etcd = await startEtcd(join(folder, 'etcd'));
  t.after(() => etcd.stop());
  const endpoint = `http://127.0.0.1:${etcd.clientPort}`;
  const objects = 10_000;
  await putSecrets(endpoint, objects);
  const snapshot = join(folder, 'snapshot.db');
  await etcdctl(endpoint, 'snapshot', 'save', snapshot);
  const config = writeSecretboxConfig(folder);
  const from = ['--snapshot', snapshot, '--encryption-config', config];
  const outDir = join(folder, 'out');
  const newSnapshot = join(folder, 'new', 'new.db');
  const reencrypt = ['recover', ...from, '--reencrypt-with', config, '--output-snapshot', newSnapshot];
  mkdirSync(join(folder, 'new'));

  // As on a full disk: no file may grow beyond so many bytes.
  const limited = await limitedTo(1 << 20, reencrypt);
  assert.equal(limited.code, 3, limited.stderr);
  assert.match(limited.stderr, /new\.db cannot be written: no space/);
  assert.deepEqual(readdirSync(join(folder, 'new')), []);
  const full = startOperation(['scan', '--snapshot', snapshot], {}, openSync('/dev/full', 'w'));
  const { code, stderr } = await full.ended;
  assert.equal(code, 3);
  assert.match(stderr, /standard output cannot be written: no space is left/);

  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    const stopped = startOperation(reencrypt);
    await untilSeen(stopped, () => readdirSync(join(folder, 'new')).length > 0);
    stopped.child.kill(signal);
    assert.equal((await stopped.ended).code, 130);
    assert.deepEqual(readdirSync(join(folder, 'new')), []);
  }
  const recovery = startOperation(['recover', ...from, '--out-dir', outDir]);
  await untilSeen(recovery, () => existsSync(join(outDir, 'secrets/default')));
  recovery.child.kill('SIGINT');
  assert.equal((await recovery.ended).code, 130);
  assert.deepEqual(readdirSync(outDir), []);

  const again = await operation(['recover', ...from, '--out-dir', outDir]);
  assert.equal(again.code, 0, again.stderr);
  assert.equal(readdirSync(join(outDir, 'secrets/default')).length, objects);
  assert.match(readFileSync(join(outDir, 'secrets/default/s0.yaml'), 'utf8'), /name: s0/);
  const whole = await operation(reencrypt);
  assert.equal(whole.code, 0, whole.stderr);
  assert.ok(statSync(newSnapshot).size > 1 << 20);
});

/** What the message says to do. */
async function makeRoom(endpoint: string): Promise<void> {
  const { stdout } = await operation(['scan', '--etcd', endpoint, '--output', 'json']);
  const { revision } = JSON.parse(stdout) as { readonly revision: number };
  await etcdctl(endpoint, 'compact', '--physical', String(revision));
  await etcdctl(endpoint, 'defrag');
  await etcdctl(endpoint, 'alarm', 'disarm');
}

async function leaderOf(endpoints: string): Promise<number> {
  const status = JSON.parse(await etcdctl(endpoints, 'endpoint', 'status', '--write-out=json')) as {
    readonly Status: { readonly leader: number; readonly header: { readonly member_id: number } };
  }[];
  return status.findIndex(({ Status }) => Status.leader === Status.header.member_id);
}

async function limitedTo(bytes: number, args: readonly string[]) {
  return run('prlimit', [`--fsize=${bytes}`, process.execPath, launcher, ...args]);
}
