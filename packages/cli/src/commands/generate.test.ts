/** Goal: `waxseal generate` as it is typed: files of mode 0600, never over another, that the other commands take. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { waxseal } from '../testing/command.js';
import { parseCommand, type Variables } from '../testing/parse-command.js';

const folder = mkdtempSync(join(tmpdir(), 'waxseal-generate-'));
after(() => rmSync(folder, { recursive: true }));

test('a key goes into a new private file, or to standard output when that is said', () => {
  const file = join(folder, 'key');
  assert.equal(waxseal(['generate', 'key', '--out', file]).status, 0);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  const key = readFileSync(file, 'utf8');
  assert.equal(Buffer.from(key, 'base64').length, 32);
  assert.equal(waxseal(['generate', 'key', '--out', file]).status, 3, 'never over a file that is there');
  assert.equal(readFileSync(file, 'utf8'), key);
  assert.equal(waxseal(['generate', 'key']).status, 2);
  assert.equal(waxseal(['generate', 'key', '--stdout', '--out', `${file}2`]).status, 2);
  const { stdout } = waxseal(['generate', 'key', '--stdout']);
  assert.equal(Buffer.from(stdout, 'base64').length, 32);
});

test('from a first configuration to a migration: config check and lint take every file', () => {
  const current = join(folder, 'enc.yaml');
  const made = waxseal([
    'generate',
    'config',
    '--to',
    'aescbc',
    '--resources',
    'secrets,*.apps',
    '--out',
    current,
  ]);
  assert.equal(made.status, 0, made.stderr);
  const out = join(folder, 'phases');
  const to = ['--to', 'kms', '--kms-endpoint', 'unix:///run/waxseal/kms.sock'];
  const migration = ['generate', 'migration', '--from', current, ...to, '--out', out];
  const { status, stdout, stderr } = waxseal([...migration, '--output', 'json']);
  assert.equal(status, 0, stderr);
  const answer = JSON.parse(stdout) as {
    readonly files: readonly { readonly name: string; readonly contentHash: string }[];
    readonly retiredKeys: readonly string[];
  };
  assert.deepEqual(answer.retiredKeys, ['aescbc:key1']);
  const names = ['01-add-read-key.yaml', '02-promote.yaml', '03-after-rewrap.yaml'];
  assert.deepEqual(readdirSync(out), [...names, 'README.md', 'plan.json']);
  const files = [current, ...names.map((name) => join(out, name))];
  for (const [i, file] of files.slice(1).entries()) {
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.equal(waxseal(['config', 'check', file]).status, 0);
    const lint = waxseal(['lint', file, '--against', files[i] ?? '']);
    assert.equal(lint.status, 0, lint.stdout);
  }
  assert.equal(
    waxseal(['lint', files[2] ?? '', '--against', current]).status,
    1,
    'a step left out is an error',
  );
  const secret = /secret: (\S+)/.exec(readFileSync(current, 'utf8'))?.[1] ?? '';
  assert.ok(secret.length >= 44);
  for (const text of [
    stdout,
    readFileSync(join(out, 'README.md'), 'utf8'),
    readFileSync(join(out, 'plan.json'), 'utf8'),
  ]) {
    assert.ok(!text.includes(secret));
  }
  assert.equal(waxseal(migration).status, 3, 'never over files that are there');
});

test('what does not go together is a usage error', () => {
  const out = join(folder, 'none');
  assert.equal(waxseal(['generate', 'migration', '--to', 'kms', '--out', out]).status, 2);
  assert.equal(waxseal(['generate', 'migration', '--to', 'rot13', '--out', out]).status, 2);
  assert.equal(
    waxseal(['generate', 'migration', '--to', 'aesgcm', '--out', out, '--servers', 'a']).status,
    2,
  );
  assert.equal(
    waxseal(['generate', 'config', '--to', 'aesgcm', '--resources', 'Secrets', '--stdout']).status,
    2,
  );
});

/** Every `waxseal …` of a plan and its README. */
async function problemsOf(out: string, variables: Variables): Promise<readonly string[]> {
  const { steps } = JSON.parse(readFileSync(join(out, 'plan.json'), 'utf8')) as {
    readonly steps: readonly { readonly checks: readonly { readonly command: string }[] }[];
  };
  const planned = steps.flatMap(({ checks }) => checks.map(({ command }) => command));
  const readme = readFileSync(join(out, 'README.md'), 'utf8');
  const shown = [...readme.matchAll(/`(waxseal [^`]+)`/g)].map(([, command = '']) => command);
  const commands = planned.filter((command) => command.startsWith('waxseal '));
  assert.deepEqual(shown, commands);
  assert.ok(commands.length >= 8);
  const problems = await Promise.all(
    commands.map(async (command) => {
      const problem = await parseCommand(command, variables);
      return problem === undefined ? [] : [`${command}: ${problem}`];
    }),
  );
  return problems.flat();
}

test('the commands of the plan and its README are command lines of waxseal; etcd stands in them as it was named', async () => {
  const from = join(folder, 'from.yaml');
  waxseal(['generate', 'config', '--to', 'aescbc', '--out', from]);
  const plan = (name: string, ...options: readonly string[]): { out: string; readme: string } => {
    const out = join(folder, name);
    const to = ['--from', from, '--to', 'secretbox', '--out', out];
    const { status, stderr } = waxseal(['generate', 'migration', ...to, ...options]);
    assert.equal(status, 0, stderr);
    return { out, readme: readFileSync(join(out, 'README.md'), 'utf8') };
  };
  const unnamed = plan('unnamed');
  assert.deepEqual(await problemsOf(unnamed.out, { ETCD: 'https://a:2379,https://b:2379' }), []);
  assert.match(unnamed.readme, /- `ETCD`: every member/);
  assert.doesNotMatch(unnamed.readme, /127\.0\.0\.1|etcdctl (compact|defrag)/);
  assert.match(unnamed.readme, /`waxseal residue --etcd "\$ETCD" --fix`/);

  const tls = ['--cacert', join(folder, 'it is.crt'), '--cert', 'c.crt', '--key', 'c.key'];
  const named = plan('named', '--etcd', 'https://a:2379,https://b:2379', ...tls, '--prefix', '/clusters/one');
  assert.deepEqual(await problemsOf(named.out, {}), []);
  assert.doesNotMatch(named.readme, /\$ETCD/);
  assert.match(
    named.readme,
    /waxseal scan --etcd https:\/\/a:2379,https:\/\/b:2379 --cacert '.*it is\.crt' --cert \S+ --key \/\S+ --prefix \/clusters\/one`/,
  );
  assert.match(named.readme, /waxseal retire --etcd \S+ .* --etcd-key \/\S+ .*--key aescbc:key1 /);
  assert.match(named.readme, /keep it with the file in force/);
  assert.doesNotMatch(named.readme, /--encryption-provider-config/);
  const first = join(folder, 'first');
  assert.equal(waxseal(['generate', 'migration', '--to', 'secretbox', '--out', first]).status, 0);
  const sections = readFileSync(join(first, 'README.md'), 'utf8').split('\n## ');
  assert.doesNotMatch(sections[1] ?? '', /in force/);
  assert.match(
    sections[2] ?? '',
    /No file is in force yet: .*start each .* --encryption-provider-config=FILE /,
  );
  assert.match(sections[3] ?? '', /in the place of the file in force/);
  const lost = ['generate', 'migration', '--to', 'aesgcm', '--out', join(folder, 'lost')];
  assert.equal(waxseal([...lost, '--cacert', 'c']).status, 2);
  assert.equal(waxseal([...lost, '--etcd', 'https://a:2379', '--cert', 'c']).status, 2);
});

test('the parser of the test refuses what the program refuses', async () => {
  assert.equal(await parseCommand("waxseal scan --etcd 'http://a:2379' --prefix /registry"), undefined);
  for (const wrong of [
    'scan --ectd http://a:2379',
    'scann',
    'retire --etcd a',
    'generate',
    'lint',
    'scan extra',
  ])
    assert.notEqual(await parseCommand(`waxseal ${wrong}`), undefined, wrong);
});
