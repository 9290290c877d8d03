// Goal: a changed configuration file is in force without a restart, and a bad one changes nothing and is reported once. Method: a real
// file, readings asked for and readings by looking.
import assert from 'node:assert/strict';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { test, type TestContext } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { pino } from 'pino';
import { openConfigFile } from './config-file.js';

const SECRET = 'a-secret-of-the-file';

const config = (name: string, throttling: object = {}): string =>
  JSON.stringify({
    accounts: [
      { id: '111122223333', users: [{ name, accessKeys: [{ id: `AKIA${name}`, secret: SECRET }] }] },
    ],
    throttling,
  });

async function openIn(t: TestContext, pollMs: number) {
  const folder = await mkdtemp(join(tmpdir(), 'waxseal-config-'));
  const path = join(folder, 'principals.yaml');
  const lines: string[] = [];
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      lines.push(chunk.toString());
      done();
    },
  });
  await writeFile(path, config('one'));
  const file = await openConfigFile({ path, logger: pino(sink), pollMs });
  t.after(async () => {
    await file.close();
    await rm(folder, { recursive: true, force: true });
  });
  return { file, path, lines };
}

const isKnown = async (known: () => boolean): Promise<void> => {
  for (let i = 0; i < 500 && !known(); i++) await setTimeout(10);
  assert.ok(known());
};

test('asked to read, it reads; a bad file changes nothing', async (t) => {
  const { file, path } = await openIn(t, 1_000_000);
  const { principals, quotas } = file;
  assert.ok(principals.findAccessKey('AKIAone'));
  await writeFile(path, config('two', { Encrypt: 5 }));
  await file.reload();
  assert.equal(principals.findAccessKey('AKIAone'), undefined);
  assert.ok(principals.findAccessKey('AKIAtwo'));
  assert.deepEqual(quotas.get('Encrypt'), { perSecond: 5, burst: 5 });

  for (const bad of ['accounts: [', config('three', { Nothing: 1 }), '']) {
    await writeFile(path, bad);
    await assert.rejects(file.reload(), { code: 'invalid-principals' });
    assert.ok(principals.findAccessKey('AKIAtwo'));
    assert.equal(quotas.size, 1);
  }
  await rm(path);
  await assert.rejects(file.reload(), { code: 'ENOENT' });
  assert.deepEqual(principals.accountIds, ['111122223333']);
});

test('tokens follow the file; one that cannot be used changes nothing', async (t) => {
  const { file, path } = await openIn(t, 1_000_000);
  const { tokens, principals } = file;
  assert.deepEqual(tokens, []);
  const clusterId = 'cluster-1a23b4cdefg';
  const withToken = (token: object): string =>
    JSON.stringify({ accounts: [{ id: '111122223333', tokens: [{ id: clusterId, ...token }] }] });
  await writeFile(path, withToken({ module: '/lib/module.so', token: 'a' }));
  await file.reload();
  const expected = { accountId: '111122223333', clusterId, module: '/lib/module.so', label: 'a' };
  assert.deepEqual(tokens, [expected]);
  await writeFile(path, withToken({ module: 'relative.so', token: 'a' }));
  await assert.rejects(file.reload(), { code: 'invalid-principals' });
  assert.deepEqual(tokens, [expected]);
  assert.equal(principals.findAccessKey('AKIAone'), undefined);
  await writeFile(path, config('one'));
  await file.reload();
  assert.deepEqual(tokens, []);
});

test('a change is found by looking, also one by rename; what is wrong is logged once, without its content', async (t) => {
  const { file, path, lines } = await openIn(t, 5);
  const { principals } = file;
  await writeFile(`${path}.new`, config('two'));
  await rename(`${path}.new`, path);
  await isKnown(() => principals.findAccessKey('AKIAtwo') !== undefined);

  await writeFile(`${path}.new`, config('three').replace(SECRET, 'short'));
  await rename(`${path}.new`, path);
  const errors = (): number => lines.filter((line) => line.includes('cannot be used')).length;
  await isKnown(() => errors() === 1);
  await setTimeout(50);
  assert.equal(errors(), 1);
  assert.ok(principals.findAccessKey('AKIAtwo'));
  assert.equal(lines.join('').includes(SECRET), false);

  await writeFile(path, config('four'));
  await isKnown(() => principals.findAccessKey('AKIAfour') !== undefined);
});
