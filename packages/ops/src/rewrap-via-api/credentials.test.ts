/**
 * Goal: a program that logs in is run as kubectl runs it, its credential is used until it expires or is refused, and whatever it does wrong is a
 * sentence without what it printed. Method: small programs run by this node, that note how they were called.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import type { Clock } from '@waxseal/encryption-config';
import { createCredentials } from './credentials.js';
import { readKubeconfig } from './kubeconfig.js';

const V1 = 'client.authentication.k8s.io/v1';
const V1_BETA = 'client.authentication.k8s.io/v1beta1';
const never = new AbortController().signal;

let folder: string;
let nowMs: number;
const clock: Clock = { nowMs: () => nowMs, monotonicMs: () => nowMs, schedule: () => () => undefined };

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'waxseal-exec-'));
});
after(() => rmSync(folder, { recursive: true }));
beforeEach(() => {
  nowMs = Date.parse('2030-01-01T00:00:00Z');
  writeFileSync(join(folder, 'calls'), '');
});

/** A program of this text, with `note(value)` and `print(status)`. */
function program(text: string): readonly string[] {
  const path = join(folder, 'program.cjs');
  writeFileSync(
    path,
    `const { appendFileSync, readFileSync } = require('node:fs');
     const calls = ${JSON.stringify(join(folder, 'calls'))};
     const info = JSON.parse(process.env.KUBERNETES_EXEC_INFO);
     const note = (value) => appendFileSync(calls, JSON.stringify(value) + '\\n');
     const nth = readFileSync(calls, 'utf8').split('\\n').length;
     const print = (status) => console.log(JSON.stringify({ kind: 'ExecCredential', apiVersion: info.apiVersion, status }));
     ${text}`,
  );
  return [path];
}

const calls = (): readonly unknown[] =>
  readFileSync(join(folder, 'calls'), 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as unknown);

function credentials(exec: object, user: object = {}) {
  const path = join(folder, 'kubeconfig');
  const config = {
    'current-context': 'c',
    contexts: [{ name: 'c', context: { cluster: 'k', user: 'u' } }],
    clusters: [
      {
        name: 'k',
        cluster: {
          server: 'https://127.0.0.1:6443',
          'certificate-authority-data': Buffer.from('authority').toString('base64'),
          extensions: [{ name: 'client.authentication.k8s.io/exec', extension: { audience: 'a' } }],
        },
      },
    ],
    users: [
      { name: 'u', user: { exec: { command: process.execPath, apiVersion: V1_BETA, ...exec }, ...user } },
    ],
  };
  writeFileSync(path, JSON.stringify(config));
  return createCredentials(readKubeconfig(path), clock, never);
}

test('the program gets arguments, environment and what it needs to know, and its token is used until it expires', async () => {
  const args = program(`
    note({ info, args: process.argv.slice(2), extra: process.env.EXTRA });
    print({ token: 'token-' + nth, expirationTimestamp: new Date(Date.parse('2030-01-01T00:00:00Z') + nth * 60_000).toISOString() });
  `);
  const made = credentials({
    args: [...args, 'get-token', '--cluster=x'],
    env: [{ name: 'EXTRA', value: 'more' }],
    apiVersion: V1,
    interactiveMode: 'Never',
    provideClusterInfo: true,
  });
  const [first, again] = await Promise.all([made.current(), made.current()]);
  assert.equal(first, again);
  assert.equal(first.token, 'token-1');
  nowMs += 45_000;
  assert.equal(await made.current(), first);
  nowMs += 10_000;
  assert.equal((await made.current()).token, 'token-2');
  const cluster = {
    server: 'https://127.0.0.1:6443',
    'certificate-authority-data': Buffer.from('authority').toString('base64'),
    config: { audience: 'a' },
  };
  const info = { kind: 'ExecCredential', apiVersion: V1, spec: { interactive: false, cluster } };
  const call = { info, args: ['get-token', '--cluster=x'], extra: 'more' };
  assert.deepEqual(calls(), [call, call]);
});

test('a refused credential is made again, once for all who were refused', async () => {
  const made = credentials({
    args: program(`note(0); print({ token: 'token-' + nth });`),
    interactiveMode: 'Never',
  });
  const first = await made.current();
  assert.deepEqual(await Promise.all([made.renew(first), made.renew(first)]), [true, true]);
  assert.equal((await made.current()).token, 'token-2');
  assert.equal(await made.renew(first), true);
  assert.equal(calls().length, 2);
});

test('a program that gives the refused one again is not asked for ever', async () => {
  const made = credentials({
    args: program(`print({ clientCertificateData: 'CERT', clientKeyData: 'KEY' });`),
    interactiveMode: 'Never',
  });
  const first = await made.current();
  assert.deepEqual([first.cert?.toString(), first.key?.toString(), first.token], ['CERT', 'KEY', undefined]);
  assert.equal(await made.renew(first), false);
});

test('what a program does wrong is a sentence, and nothing that it printed', async () => {
  const wrong: readonly (readonly [string, RegExp])[] = [
    ['process.exit(3)', /exit code 3/],
    ['console.log("hidden")', /not JSON/],
    ['console.log("null")', /no ExecCredential/],
    [
      `console.log(JSON.stringify({ kind: 'ExecCredential', apiVersion: 'v9', status: { token: 'hidden' } }))`,
      /no ExecCredential of/,
    ],
    ['print({})', /neither a token nor a certificate/],
    [`print({ clientKeyData: 'hidden' })`, /not both/],
    [`print({ token: 'hidden', expirationTimestamp: 'soon' })`, /no time/],
    [`console.log('hidden'.repeat(400_000))`, /more than 1048576 bytes/],
  ];
  for (const [text, message] of wrong) {
    const made = credentials({ args: program(text), interactiveMode: 'Never' });
    await assert.rejects(made.current(), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'source-unreadable');
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /hidden/);
      return true;
    });
  }
  const absent = credentials({
    command: 'no-such-login',
    installHint: 'Install it from there.',
    interactiveMode: 'Never',
  });
  await assert.rejects(absent.current(), {
    message: /no-such-login is not installed.*Install it from there/,
  });
});

test('an exec that cannot be run is refused when the kubeconfig is read', () => {
  const refused: readonly (readonly [object, RegExp])[] = [
    [{ apiVersion: 'client.authentication.k8s.io/v1alpha1' }, /must be .*v1 or .*v1beta1/],
    [{ command: '' }, /names no command/],
    [{ apiVersion: V1 }, /interactiveMode/],
    [{ interactiveMode: 'Sometimes' }, /interactiveMode/],
    [{ env: [{ name: 'A' }] }, /env of its exec/],
  ];
  for (const [exec, message] of refused) {
    assert.throws(() => credentials(exec), { code: 'config-invalid', message });
  }
});

test('a token of the kubeconfig goes before the program; a token file before both, and it is read again', async () => {
  const args = program(`note(0); print({ token: 'made' });`);
  assert.equal((await credentials({ args }, { token: 'written' }).current()).token, 'written');
  const tokenFile = join(folder, 'token');
  writeFileSync(tokenFile, 'filed-1\n');
  const made = credentials({ args }, { token: 'written', tokenFile });
  assert.equal((await made.current()).token, 'filed-1');
  writeFileSync(tokenFile, 'filed-2\n');
  assert.equal((await made.current()).token, 'filed-1');
  nowMs += 61_000;
  assert.equal((await made.current()).token, 'filed-2');
  rmSync(tokenFile);
  nowMs += 61_000;
  await assert.rejects(made.current(), { code: 'source-unreadable', message: /token cannot be read/ });
  assert.equal(calls().length, 0);
});
