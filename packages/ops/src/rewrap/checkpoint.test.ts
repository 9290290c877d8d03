/** Goal: a checkpoint is read back as it was written, and a damaged one is an error that says so. Method: every truncation, wrong fields. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readCheckpoint, writeCheckpoint } from './checkpoint.js';
import { noCounts } from './counts.js';

const folder = mkdtempSync(join(tmpdir(), 'waxseal-checkpoint-'));
after(() => rmSync(folder, { recursive: true }));

const identity = { configHash: 'sha256:a', clusterId: 'c', prefix: '/registry', resources: ['secrets'] };
const progress = {
  keyspace: 1,
  lastKey: Buffer.from('/registry/s\xff'),
  seen: 7,
  counts: { ...noCounts(), listed: 7 },
};

test('it is read back as written, and only its owner may read it', async () => {
  const path = join(folder, 'whole');
  assert.equal(readCheckpoint(path, identity), undefined);
  await writeCheckpoint(path, identity, progress);
  assert.deepEqual(readCheckpoint(path, identity), progress);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  await assert.rejects(writeCheckpoint(join(folder, 'no/where'), identity, progress), {
    code: 'state-invalid',
  });
});

test('a damaged one is refused, wherever it ends and whatever it says', async () => {
  const path = join(folder, 'damaged');
  await writeCheckpoint(path, identity, progress);
  const text = readFileSync(path, 'utf8');
  const others = [
    'null',
    '[]',
    '{"version":2}',
    text.replace('"seen":7', '"seen":-1'),
    text.replace('7', '"7"'),
    ' '.repeat(2 << 20),
  ];
  for (const bad of [...Array.from({ length: text.length - 1 }, (_, i) => text.slice(0, i)), ...others]) {
    writeFileSync(path, bad);
    assert.throws(() => readCheckpoint(path, identity), { code: 'state-invalid' });
  }
});
