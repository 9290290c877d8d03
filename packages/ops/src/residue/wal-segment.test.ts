// Goal: every put in a write-ahead log is found, a tail that was not written to its end is no damage, every changed byte is told. Method:
// segments written here by the format, cut at every length, and with every byte changed.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { openPageFile } from '../bbolt/page-file.js';
import { inTemporaryFolder } from '../testing/etcd-file.js';
import { crc32c } from './crc32c.js';
import { loggedPuts } from './raft-puts.js';
import { readWalSegment, type WalPiece } from './wal-segment.js';

const message = (write: (writer: BinaryWriter) => void): Uint8Array => {
  const writer = new BinaryWriter();
  write(writer);
  return writer.finish();
};
const bytesField = (number: number, bytes: Uint8Array): Uint8Array =>
  message((writer) => writer.tag(number, WireType.LengthDelimited).bytes(bytes));
const join2 = (...parts: readonly Uint8Array[]): Buffer => Buffer.concat(parts);

const put = (key: string, value: string): Uint8Array =>
  join2(bytesField(1, Buffer.from(key)), bytesField(2, Buffer.from(value)));
/** As kube-apiserver writes: a transaction with a put. */
const entryOf = (key: string, value: string): Buffer =>
  join2(bytesField(4, bytesField(6, bytesField(2, bytesField(2, put(key, value))))));

function segment(entries: readonly Buffer[], crcBefore: number, spareBytes: number): Buffer {
  let crc = crcBefore;
  const record = (type: number, data?: Buffer): Buffer => {
    if (data !== undefined) crc = crc32c(data, crc);
    const body = message((writer) => {
      writer.tag(1, WireType.Varint).uint64(type).tag(2, WireType.Varint).uint32(crc);
      if (data !== undefined) writer.tag(3, WireType.LengthDelimited).bytes(data);
    });
    const padding = (8 - (body.length % 8)) % 8;
    const frame = Buffer.alloc(8);
    frame.writeUIntLE(body.length, 0, 6);
    if (padding > 0) frame[7] = 0x80 | padding;
    return join2(frame, body, Buffer.alloc(padding));
  };
  return join2(record(4), ...entries.map((entry) => record(2, entry)), Buffer.alloc(spareBytes));
}

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
const ENTRIES = KEYS.map((key) => entryOf(key, `{"kind":"Secret","name":"${key}"}`));

test('CRC-32C is that of RFC 3720 appendix B.4, whole and in parts', () => {
  assert.equal(crc32c(Buffer.alloc(32)), 0x8a9136aa);
  assert.equal(crc32c(Buffer.from('123456789')), 0xe3069283);
  assert.equal(crc32c(Buffer.from('6789'), crc32c(Buffer.from('12345'))), 0xe3069283);
});

test('puts inside transactions are found, up to the space not used yet', async () => {
  await inTemporaryFolder(async (folder) => {
    await Promise.resolve();
    assert.deepEqual(read(folder, segment(ENTRIES, 7, 64), false, 7), { puts: KEYS, problem: undefined });
    assert.deepEqual(read(folder, segment(ENTRIES, 7, 0), false), { puts: KEYS, problem: undefined });
    assert.match(read(folder, segment(ENTRIES, 7, 0), false, 8).problem ?? '', /checksum/);
  });
});

test('the last segment may end anywhere, an older one may not', async () => {
  await inTemporaryFolder(async (folder) => {
    await Promise.resolve();
    const bytes = segment(ENTRIES, 0, 0);
    const ends = new Set<number>();
    for (let count = 0; count <= ENTRIES.length; count++)
      ends.add(segment(ENTRIES.slice(0, count), 0, 0).length);
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
    const bytes = segment(ENTRIES, 0, 0);
    const start = segment(ENTRIES.slice(0, 1), 0, 0).length;
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
