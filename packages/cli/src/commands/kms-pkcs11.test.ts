/**
 * Goal: an operator moves the root key into a token by command, starts from it, and is told what is wrong when it is not there.
 * Method: the real command, SoftHSM2.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createSoftHsm, type SoftHsm } from '@waxseal/pkcs11/testing';

const launcher = fileURLToPath(new URL('../../bin/waxseal.js', import.meta.url));

let hsm: SoftHsm;
let root = '';
before(async () => {
  hsm = await createSoftHsm({ tokenLabels: ['hsm', 'spare'] });
  root = await mkdtemp(join(tmpdir(), 'waxseal-cli-pkcs11-'));
  await writeFile(join(root, 'pin'), Buffer.concat([hsm.pin(), Buffer.from('\n')]), { mode: 0o600 });
});
after(async () => {
  await rm(root, { recursive: true, force: true });
  await hsm.remove();
});

const environment = (): NodeJS.ProcessEnv => ({ ...process.env, ...hsm.environment });

function waxseal(args: readonly string[], extra: NodeJS.ProcessEnv = {}) {
  return spawnSync(process.execPath, [launcher, 'kms', ...args, '--data-dir', join(root, 'data')], {
    encoding: 'utf8',
    env: { ...environment(), ...extra },
  });
}

async function serve(args: readonly string[]): Promise<() => Promise<void>> {
  const child: ChildProcess = spawn(
    process.execPath,
    [launcher, 'kms', 'serve', '--data-dir', join(root, 'data'), '--port', '0', '--output', 'json', ...args],
    { stdio: ['ignore', 'pipe', 'inherit'], env: environment() },
  );
  assert.ok(child.stdout);
  await once(createInterface({ input: child.stdout }), 'line');
  return async () => {
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    await exited;
  };
}

test('a running service is resealed to a token, and starts from it', async () => {
  const rootKeyFile = join(root, 'data/key-service/root.key');
  const stop = await serve([]);
  assert.equal(existsSync(rootKeyFile), true);
  const token = ['--pkcs11-module', hsm.modulePath, '--pkcs11-token', 'hsm'];
  const unnamed = waxseal(['reseal', '--to', 'pkcs11']);
  assert.equal(unnamed.status, 2);
  assert.match(unnamed.stderr, /--to pkcs11 needs --pkcs11-module/);
  const resealed = waxseal(['reseal', '--to', 'pkcs11', ...token, '--pkcs11-pin-file', join(root, 'pin')]);
  await stop();
  assert.equal(resealed.stderr, '');
  assert.match(resealed.stdout, /kept by pkcs11 now; the running service went on meanwhile/);
  assert.equal(existsSync(rootKeyFile), false);

  const stopAgain = await serve(['--pkcs11-module', hsm.modulePath, '--pkcs11-pin-file', join(root, 'pin')]);
  const keys = waxseal(['key', 'list', '--output', 'json']);
  await stopAgain();
  assert.equal(keys.status, 0, keys.stderr);

  for (const [args, pin, message] of [
    [[], undefined, /Name its library with --pkcs11-module/],
    [['--pkcs11-module', hsm.modulePath], undefined, /its PIN is not given/],
    [['--pkcs11-module', hsm.modulePath], '1111', /refuses the PIN/],
    [['--pkcs11-module', hsm.modulePath, '--pkcs11-token', 'spare'], '624817', /no secret key with label/],
    [['--pkcs11-module', hsm.modulePath, '--pkcs11-token', 'absent'], '624817', /It has: /],
    [['--pkcs11-module', '/nowhere.so'], '624817', /\/nowhere\.so cannot be used/],
  ] as const) {
    const refused = waxseal(
      ['serve', '--port', '0', ...args],
      pin === undefined ? {} : { WAXSEAL_PKCS11_PIN: pin },
    );
    assert.notEqual(refused.status, 0);
    assert.match(refused.stderr, message);
    assert.doesNotMatch(refused.stderr, /1111|624817|\n\s+at /);
  }

  const back = waxseal(['reseal', '--to', 'file', '--pkcs11-module', hsm.modulePath], {
    WAXSEAL_PKCS11_PIN: hsm.pin().toString(),
  });
  assert.equal(back.stderr, '');
  assert.equal(existsSync(rootKeyFile), true);
});
