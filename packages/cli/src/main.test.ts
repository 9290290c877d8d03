/** Goal: every command helps with an example, and every wrong command line ends with code 2 and a reason. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const launcher = fileURLToPath(new URL('../bin/waxseal.js', import.meta.url));
const waxseal = (...args: readonly string[]) =>
  spawnSync(process.execPath, [launcher, ...args], { encoding: 'utf8' });

const commands = [
  [],
  ['up'],
  ['kms'],
  ['kms', 'serve'],
  ['kms', 'key'],
  ['kms', 'key', 'create'],
  ['kms', 'key', 'list'],
  ['kms', 'key', 'policy'],
  ['kms', 'principal', 'add'],
  ['kms', 'backup'],
  ['kms', 'restore'],
  ['kms', 'reseal'],
  ['kms', 'cost'],
  ['audit', 'verify'],
  ['plugin'],
  ['plugin', 'aws'],
  ['plugin', 'serve'],
  ['plugin', 'waxseal'],
  ['plugin', 'local'],
  ['plugin', 'local', 'serve'],
  ['plugin', 'local', 'rotate'],
  ['plugin', 'local', 'set-passphrase'],
  ['plugin', 'pkcs11'],
  ['plugin', 'pkcs11', 'serve'],
  ['plugin', 'pkcs11', 'create-key'],
  ['apiserver'],
  ['config'],
  ['config', 'check'],
  ['transform'],
  ['lint'],
  ['generate'],
  ['generate', 'key'],
  ['generate', 'config'],
  ['generate', 'migration'],
];

for (const command of commands) {
  test(`waxseal ${command.join(' ')} --help shows an example`, () => {
    const { status, stdout } = waxseal(...command, '--help');
    assert.equal(status, 0);
    assert.match(stdout, /\nExamples?:\n {2}\$ (echo|waxseal) /);
  });
}

for (const [args, reason] of [
  [['nonsense'], /unknown command 'nonsense'/],
  [['up', '--api-port', '70000'], /Expected a port/],
  [['up', '--storage', 'redis://x'], /Expected lmdb/],
  [['up', '--data-dir', ''], /Expected a path/],
  [['up', '--colour'], /unknown option '--colour'/],
  [['plugin', 'local', '--listen', '/tmp/x'], /--keyring/],
  [['plugin', 'local', 'rotat', '--keyring', '/tmp/x', '--listen', '/tmp/y'], /no command rotat/],
  [['plugin', 'pkcs11', '--listen', '/tmp/x', '--key-label', 'x'], /--module/],
  [['plugin', 'pkcs11', '--key-id', 'xyz'], /hexadecimal/],
  [['plugin', 'waxseal', '--listen', '/tmp/x', '--key', 'k'], /needs --kms-endpoint and --credentials-file/],
  [['transform', '--resource', 'secrets'], /--encryption-config/],
  [['kms', 'reseal'], /--to/],
  [['kms', 'reseal', '--to', 'stone'], /Allowed choices are file, passphrase, pkcs11, aws-kms/],
  [['kms', 'key', 'schedule-deletion', 'k', '--days', '6'], /Expected 7 to 30 days/],
  [['kms', 'key', 'show'], /missing required argument 'key'/],
  [['config', 'check'], /missing required argument 'file'/],
  [['lint'], /missing required argument 'file'/],
  [['generate', 'key'], /--out FILE, or --stdout/],
  [['generate', 'config', '--to', 'kms', '--stdout'], /needs --kms-endpoint/],
] as const) {
  test(`waxseal ${args.join(' ')} is a usage error`, () => {
    const { status, stderr } = waxseal(...args);
    assert.equal(status, 2, stderr);
    assert.match(stderr, reason);
  });
}
