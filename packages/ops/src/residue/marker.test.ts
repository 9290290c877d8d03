// Goal: a known secret is found in the clear and as base64 at every offset, and across the border of two reads.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { inTemporaryFolder } from '../testing/etcd-file.js';
import { findMarker, parseMarker } from './marker.js';

const MARKER = Buffer.from('open-sesame-0123');
const MIB = 1024 * 1024;

test('in the clear, as base64 at each offset, and over the border of two reads', async () => {
  await inTemporaryFolder(async (folder) => {
    const path = join(folder, 'file');
    const text = (before: string): string =>
      Buffer.concat([Buffer.from(before), MARKER, Buffer.from('!?')]).toString('base64');
    const bytes = Buffer.alloc(5 * MIB);
    MARKER.copy(bytes, 100);
    MARKER.copy(bytes, 4 * MIB - 5);
    bytes.write(text(''), 1000);
    bytes.write(text('a'), 2000);
    bytes.write(text('ab'), 4 * MIB + 100);
    writeFileSync(path, bytes);
    const found = await findMarker([path], parseMarker(MARKER));
    assert.deepEqual(
      found.map(({ source, encoding, count }) => ({ source, encoding, count })),
      [
        { source: path, encoding: 'raw', count: 2 },
        { source: path, encoding: 'base64', count: 3 },
      ],
    );
    assert.deepEqual(found[0]?.positions, [100, 4 * MIB - 5]);
    assert.deepEqual(await findMarker([path], parseMarker(randomBytes(16))), []);
  });
});

test('one that is too short or too long says so', () => {
  assert.throws(() => parseMarker(Buffer.from('short')), { code: 'invalid-option', message: /5 bytes/ });
  assert.throws(() => parseMarker(Buffer.alloc(65_537)), { code: 'invalid-option', message: /65537 bytes/ });
});
