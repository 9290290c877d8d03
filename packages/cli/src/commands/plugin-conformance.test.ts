/** `waxseal plugin conformance` as a person runs it: against our plugin in front of our key service, with restart and outage. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { serveKms, spawnWaxseal, waxseal } from '../testing/command.js';

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'waxseal-conformance-'));
  t.after(() => rm(path, { recursive: true, force: true }));
  return path;
}

interface Report {
  readonly conforms: boolean;
  readonly checks: readonly { readonly id: string; readonly status: string; readonly message: string }[];
}

const failures = (report: Report): readonly string[] =>
  report.checks
    .filter(({ status }) => status === 'failed' || status === 'not-judged')
    .map(({ id, message }) => `${id}: ${message}`);

test('the waxseal provider in front of the real key service keeps the contract', async (t) => {
  const dir = await folder(t);
  const kms = await serveKms(['--data-dir', join(dir, 'kms')]);
  t.after(() => kms.stop());
  const socket = join(dir, 'kms.sock');
  const { endpoint, caFile, credentialsFile } = kms.ready;
  const created = waxseal([
    'kms',
    'key',
    'create',
    '--data-dir',
    join(dir, 'kms'),
    '--alias',
    'alias/conformance',
  ]);
  assert.equal(created.status, 0, created.stderr);
  const plugin = await spawnWaxseal([
    'plugin',
    'waxseal',
    '--key',
    'alias/conformance',
    '--listen',
    socket,
    '--output',
    'json',
    '--kms-endpoint',
    endpoint,
    '--ca-file',
    caFile,
    '--credentials-file',
    credentialsFile,
  ]);
  t.after(() => plugin.stop());
  const run = waxseal([
    'plugin',
    'conformance',
    socket,
    '--load-seconds',
    '1',
    '--in-flight',
    '16',
    '--output',
    'json',
  ]);
  assert.equal(run.stderr, '');
  const report = JSON.parse(run.stdout) as Report;
  assert.deepEqual(failures(report), []);
  assert.equal(report.conforms, true);
  assert.equal(run.status, 0);
});

test('text, JUnit, a list, commands of the operator, and exit codes', async (t) => {
  const dir = await folder(t);
  const socket = join(dir, 'kms.sock');
  const plugin = await spawnWaxseal([
    'plugin',
    'local',
    '--keyring',
    join(dir, 'keyring.json'),
    '--listen',
    socket,
  ]);
  t.after(() => plugin.stop());

  const text = waxseal(['plugin', 'conformance', `unix://${socket}`, '--only', 'status', '--seed', 'x1']);
  assert.equal(text.status, 0, text.stderr);
  assert.match(text.stdout, /^ok +status\.version /m);
  assert.match(text.stdout, /5 passed, 0 failed, 0 not run; seed x1\./);

  const marker = join(dir, 'restarted');
  const restart = [
    '--restart-command',
    `echo told; touch '${marker}'`,
    '--only',
    'restart',
    '--output',
    'junit',
  ];
  const junit = waxseal(['plugin', 'conformance', socket, ...restart]);
  assert.equal(junit.status, 0, junit.stderr);
  assert.match(
    junit.stdout,
    /^<\?xml version="1\.0" encoding="UTF-8"\?>\n<testsuites tests="2" failures="0"/,
  );
  assert.equal(await readFile(marker, 'utf8'), '');
  assert.match(junit.stderr, /told/);

  const nothing = waxseal(['plugin', 'conformance', socket, '--only', 'restart']);
  assert.equal(nothing.status, 1, 'nothing was proven');
  const broken = waxseal([
    'plugin',
    'conformance',
    socket,
    '--only',
    'restart',
    '--restart-command',
    'exit 7',
  ]);
  assert.equal(broken.status, 3);
  assert.match(broken.stderr, /--restart-command failed with exit code 7/);
  assert.equal(waxseal(['plugin', 'conformance', socket, '--break-command', 'true']).status, 2);
  assert.equal(waxseal(['plugin', 'conformance', socket, '--only', 'nonsense']).status, 2);
  assert.equal(waxseal(['plugin', 'conformance']).status, 2);
  const list = waxseal(['plugin', 'conformance', '--list']);
  assert.equal(list.status, 0);
  assert.match(list.stdout, /^v2\.round-trip +\S/m);
});

test('a server that is no KMS plugin, and none at all, are of the environment; a broken plugin is a no', async (t) => {
  const dir = await folder(t);
  const none = waxseal(['plugin', 'conformance', join(dir, 'none.sock')]);
  assert.equal(none.status, 3);
  assert.match(none.stderr, /No KMS plugin answers at unix:.*none\.sock: .*ENOENT/);

  // Answers everything with success and no message: served, and wrong.
  const socket = join(dir, 'empty.sock');
  const script = join(dir, 'empty.mjs');
  await writeFile(
    script,
    `import { createServer } from 'node:http2';
     const server = createServer();
     server.on('stream', (stream) => {
       stream.on('error', () => {});
       stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
       stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
       stream.end(Buffer.alloc(5));
     });
     server.listen(${JSON.stringify(socket)}, () => console.log('ready'));`,
  );
  // A process of its own: the command is waited for.
  const server = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => server.kill());
  await once(server.stdout, 'data');
  const wrong = waxseal(['plugin', 'conformance', socket, '--only', 'status,version']);
  assert.equal(wrong.status, 1, wrong.stderr);
  assert.match(wrong.stdout, /^FAILED {3}status\.version .*\n {9}Answer "v2", or/m);
  assert.match(wrong.stdout, /does not keep the contract/);
});
