/**
 * Goal: `waxseal config check` and `waxseal transform` keep their fixed surface and agree with kube-apiserver.
 * Method: the reference's files and verdicts, and its stored values, through the command line.
 */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { run } from '../support/programs.js';
import { launcher, repository, temporaryFolder } from '../support/waxseal.js';

const vectors = join(repository, 'test/vectors');
const waxseal = (args: readonly string[], stdin?: string) =>
  run(process.execPath, [launcher, ...args], stdin === undefined ? {} : { stdin });

test('config check accepts and refuses what kube-apiserver does', async () => {
  const verdicts = JSON.parse(await readFile(join(vectors, 'config/verdicts.json'), 'utf8')) as readonly {
    file: string;
    error?: string;
  }[];
  // One process a file is slow; the two kinds of answer are what the command adds to the package's own test.
  for (const { file, error } of [
    verdicts.find((verdict) => verdict.error),
    verdicts.find((verdict) => !verdict.error),
  ].map((verdict) => verdict as { file: string; error?: string })) {
    const result = await waxseal([
      'config',
      'check',
      join(vectors, 'config', file),
      '--kms-v1',
      '--output',
      'json',
    ]);
    const { errors } = JSON.parse(result.stdout) as { errors: readonly { field: string; message: string }[] };
    assert.equal(result.code, error === undefined ? 0 : 1, `${file}: ${result.stderr}`);
    assert.equal(errors.length > 0, error !== undefined, file);
    for (const { field } of errors) assert.ok(error?.includes(field), `${field} stands in: ${error}`);
  }
});

test('config check of a missing file says so', async () => {
  const result = await waxseal(['config', 'check', '/does/not/exist.yaml']);
  assert.equal(result.code, 3);
  assert.match(result.stderr, /\/does\/not\/exist\.yaml/);
});

test('transform opens what the reference stored and seals for it', async (t) => {
  const folder = await temporaryFolder(t);
  const [vector] = JSON.parse(await readFile(join(vectors, 'static-providers.json'), 'utf8')) as readonly {
    provider: string;
    storageKey: string;
    plaintextBase64: string;
    storedBase64: string;
    keyName: string;
    keyBase64: string;
  }[];
  assert.ok(vector);
  const config = join(folder, 'config.yaml');
  await writeFile(
    config,
    JSON.stringify({
      apiVersion: 'apiserver.config.k8s.io/v1',
      kind: 'EncryptionConfiguration',
      resources: [
        {
          resources: ['secrets'],
          providers: [
            { [vector.provider]: { keys: [{ name: vector.keyName, secret: vector.keyBase64 }] } },
            { identity: {} },
          ],
        },
      ],
    }),
  );
  const lines = [
    { op: 'from', key: vector.storageKey, data: vector.storedBase64 },
    { op: 'to', key: vector.storageKey, data: vector.plaintextBase64 },
    { op: 'from', key: '/registry/secrets/elsewhere', data: vector.storedBase64 },
    { op: 'from', key: vector.storageKey, data: Buffer.from('{"kind":"Secret"}').toString('base64') },
  ];
  const input = `${lines.map((line) => JSON.stringify(line)).join('\n')}\nnot json\n`;
  const result = await waxseal(['transform', '--encryption-config', config, '--resource', 'secrets'], input);
  assert.equal(result.code, 0, result.stderr);
  const answers = result.stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { data?: string; stale?: boolean; err?: string });
  assert.equal(answers.length, 5);
  assert.deepEqual(answers[0], { data: vector.plaintextBase64, stale: false });
  assert.equal(answers[1]?.stale, false);
  assert.match(
    Buffer.from(answers[1]?.data ?? '', 'base64').toString('latin1'),
    new RegExp(`^k8s:enc:${vector.provider}:v1:`),
  );
  assert.ok(answers[2]?.err, 'another storage key does not open the value');
  assert.deepEqual(answers[3], { data: lines[3]?.data, stale: true });
  assert.ok(answers[4]?.err, 'a line that is not JSON is answered');
});
