// Goal: every put in a write-ahead log is found, a tail that was not written to its end is no damage, every changed byte is told. Method:
// segments written here by the format, cut at every length, and with every byte changed.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openPageFile } from '../bbolt/page-file.js';
import { inTemporaryFolder } from '../testing/etcd-file.js';
import { loggedPut, walSegment } from '../testing/wal-file.js';
import { crc32c } from './crc32c.js';
import { loggedPuts } from './raft-puts.js';
import { readWalSegment, type WalPiece } from './wal-segment.js';

function read(
  folder: string,
  bytes: Buffer,
  isLast: boolean,
  crcBefore?: number,
): { readonly puts: readonly string[]; readonly problem: string | undefined } {
  const path = join(folder, 'segment.wal');
  writeFileSync(path, bytes);
  const file = openPageFile(path);
  try {
    const pieces = [...readWalSegment(file, isLast, crcBefore)];
    const puts = pieces.flatMap((piece: WalPiece) =>
      piece.kind === 'entry' ? (loggedPuts(piece.data) ?? []).map(({ key }) => key.toString()) : [],
    );
    const last = pieces.at(-1);
    assert.ok(last?.kind === 'end');
    return { puts, problem: last.problem };
  } finally {
    file.close();
  }
}

const KEYS = ['/registry/secrets/default/a', '/registry/secrets/default/b', '/registry/secrets/default/c'];
const ENTRIES = KEYS.map((key) => loggedPut(key, `{"kind":"Secret","name":"${key}"}`));

test('CRC-32C is that of RFC 3720 appendix B.4, whole and in parts', () => {
  assert.equal(crc32c(Buffer.alloc(32)), 0x8a9136aa);
  assert.equal(crc32c(Buffer.from('123456789')), 0xe3069283);
  assert.equal(crc32c(Buffer.from('6789'), crc32c(Buffer.from('12345'))), 0xe3069283);
});

test('puts inside transactions are found, up to the space not used yet', async () => {
  await inTemporaryFolder(async (folder) => {
    await Promise.resolve();
    assert.deepEqual(read(folder, walSegment(ENTRIES, 7, 64), false, 7), { puts: KEYS, problem: undefined });
    assert.deepEqual(read(folder, walSegment(ENTRIES, 7, 0), false), { puts: KEYS, problem: undefined });
    assert.match(read(folder, walSegment(ENTRIES, 7, 0), false, 8).problem ?? '', /checksum/);
  });
});

test('the last segment may end anywhere, an older one may not', async () => {
  await inTemporaryFolder(async (folder) => {
    await Promise.resolve();
    const bytes = walSegment(ENTRIES, 0, 0);
    const ends = new Set<number>();
    for (let count = 0; count <= ENTRIES.length; count++)
      ends.add(walSegment(ENTRIES.slice(0, count), 0, 0).length);
    for (let length = 1; length < bytes.length; length++) {
      const cut = bytes.subarray(0, length);
      assert.equal(read(folder, cut, true).problem, undefined, `cut at ${length}`);
      const older = read(folder, cut, false);
      assert.equal(older.problem === undefined, ends.has(length), `cut at ${length}`);
    }
  });
});

test('every changed byte of a record is told, and what stands before it is still found', async () => {
  await inTemporaryFolder(async (folder) => {
    await Promise.resolve();
    const bytes = walSegment(ENTRIES, 0, 0);
    const start = walSegment(ENTRIES.slice(0, 1), 0, 0).length;
    const data = bytes.indexOf(ENTRIES[1] ?? '', start);
    assert.ok(data > start);
    for (let at = data; at < data + (ENTRIES[1]?.length ?? 0); at++) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ 0x10;
      const { puts, problem } = read(folder, changed, true);
      assert.match(problem ?? '', /checksum/, `byte ${at}`);
      assert.deepEqual(puts, KEYS.slice(0, 1));
    }
    // Lengths, tags and checksums too: no answer is a crash, and no put is invented.
    for (let at = 0; at < bytes.length; at++) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ 0x81;
      const { puts } = read(folder, changed, false);
      assert.ok(puts.length <= KEYS.length);
      assert.deepEqual(puts, KEYS.slice(0, puts.length));
    }
  });
});
