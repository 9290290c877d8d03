/** Goal: `waxseal lint` as it is typed: findings, exit codes, JSON. */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openLmdbStore } from '@waxseal/storage';
import { waxseal } from '../testing/command.js';

const folder = mkdtempSync(join(tmpdir(), 'waxseal-lint-'));
after(() => rmSync(folder, { recursive: true }));

const SECRET = 'wqmuKCr2d5pwZe8J0hbOVnDJ2uTTdoQlxJrFMX2bY9U=';

function write(name: string, providers: readonly string[], mode = 0o600): string {
  const file = join(folder, name);
  const lines = providers.map((provider) => `      - ${provider}\n`).join('');
  writeFileSync(
    file,
    `apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n  - resources: [secrets]\n    providers:\n${lines}`,
  );
  chmodSync(file, mode);
  return file;
}
const secretbox = `secretbox: { keys: [{ name: one, secret: ${SECRET} }] }`;

interface Answer {
  readonly findings: readonly {
    readonly id: string;
    readonly severity: string;
    readonly where: string;
    readonly values?: number;
  }[];
}

test('without an error the exit code is 0, with --fail-on info it is 1', () => {
  const file = write('good.yaml', [secretbox]);
  const { status, stdout } = waxseal(['lint', file]);
  assert.equal(status, 0, stdout);
  assert.match(stdout, /^info: resources\[0\]\.providers\[0\]\.secretbox/m);
  assert.match(stdout, /0 errors, 0 warnings/);
  assert.equal(waxseal(['lint', file, '--fail-on', 'info']).status, 1);
  const gcm = secretbox.replace('secretbox', 'aesgcm').replace('one', '"on\\e[2Je"');
  const one = waxseal(['lint', write('one.yaml', [gcm])]).stdout;
  assert.match(one, /0 errors, 1 warning, \d notes$/m);
  assert.doesNotMatch(one, /[^\P{Cc}\n]/u, 'what a name holds is not for the terminal to act on');
});

test('a change that loses values is exit code 1, and JSON says what is lost', () => {
  const before = write('before.yaml', [secretbox, 'identity: {}']);
  const next = write('next.yaml', ['identity: {}']);
  const { status, stdout } = waxseal(['lint', next, '--against', before, '--output', 'json']);
  assert.equal(status, 1);
  const { findings } = JSON.parse(stdout) as Answer;
  assert.deepEqual(
    findings.filter(({ severity }) => severity === 'error').map(({ id, where }) => [id, where]),
    [['reader-removed', 'previous:resources[0].providers[0].secretbox.keys[0]']],
  );
  assert.ok(!stdout.includes(SECRET));
});

test('a file of keys that everybody can read is an error, where its folder lets them in', () => {
  const { status, stdout } = waxseal(['lint', write('open.yaml', [secretbox], 0o644)]);
  // The folder that mkdtemp made is closed to others, so it is only worth knowing.
  assert.equal(status, 0);
  assert.match(stdout, /info: .*open\.yaml holds keys and has mode 0644/);
  chmodSync(folder, 0o755);
  assert.equal(waxseal(['lint', join(folder, 'open.yaml')]).status, 1);
});

test('an invalid file is exit code 1, one that is not there 3, a wrong option 2', () => {
  assert.equal(waxseal(['lint', write('bad.yaml', ['rot13: {}'])]).status, 1);
  assert.equal(waxseal(['lint', join(folder, 'absent.yaml')]).status, 3);
  assert.equal(waxseal(['lint', 'x', '--fail-on', 'never']).status, 2);
});

test('with a source, what is stored counts: removing a key is an error only while values need it', async () => {
  const dataDir = join(folder, 'data');
  mkdirSync(join(dataDir, 'api'), { recursive: true, mode: 0o700 });
  const store = await openLmdbStore({ path: join(dataDir, 'api') });
  const stored = { a: 'k8s:enc:aescbc:v1:old:x', b: 'k8s:enc:secretbox:v1:one:x', c: '{"kind":"Secret"}' };
  for (const [name, value] of Object.entries(stored)) {
    const key = Buffer.from(`/registry/secrets/default/${name}`);
    await store.txn({ compare: [], success: [{ kind: 'put', key, value: Buffer.from(value) }], failure: [] });
  }
  await store.close();
  const old = (name: string): string =>
    `aescbc: { keys: [{ name: ${name}, secret: ${SECRET.replace('w', 'x')} }] }`;
  const next = write('rewrapped.yaml', [secretbox, 'identity: {}']);
  const lost = (before: string): readonly unknown[] => {
    const { stdout } = waxseal([
      'lint',
      next,
      '--against',
      before,
      '--data-dir',
      dataDir,
      '--output',
      'json',
    ]);
    const { findings } = JSON.parse(stdout) as Answer;
    return findings
      .filter(({ id }) => id === 'reader-removed' || id === 'values-unreadable')
      .map(({ id, severity, values }) => [id, severity, values]);
  };
  assert.deepEqual(lost(write('needed.yaml', [secretbox, old('old'), 'identity: {}'])), [
    ['values-unreadable', 'error', 1],
    ['reader-removed', 'error', 1],
  ]);
  assert.deepEqual(lost(write('unused.yaml', [secretbox, old('older'), 'identity: {}'])), [
    ['values-unreadable', 'error', 1],
    ['reader-removed', 'info', 0],
  ]);
  assert.equal(waxseal(['lint', next, '--data-dir', join(folder, 'absent')]).status, 3);
  for (const access of [
    ['--cacert', 'ca.crt'],
    ['--user', 'reader:x'],
  ]) {
    assert.equal(waxseal(['lint', next, ...access]).status, 2);
  }
});
