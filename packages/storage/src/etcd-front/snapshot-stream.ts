/**
 * etcd's Snapshot: the database file in pieces, then its SHA-256 (`v3rpc/maintenance.go`).
 *
 * The file is built in a temporary folder first, because its first page says where everything else lies. It exists only
 * while it is sent, readable by its owner alone.
 */
import type { ServerWritableStream } from '@grpc/grpc-js';
import { createHash } from 'node:crypto';
import { mkdtemp, open, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { SnapshotRequest, SnapshotResponse } from '../gen/etcd/rpc.js';
import type { Store } from '../store.js';
import { header } from './header.js';
import { writeSnapshotFile } from './snapshot-file.js';

/** A multiple of the page size; small beside a connection's window. */
const pieceBytes = 32 * 1024;

export async function streamSnapshot(
  store: Store,
  temporaryFolder: string,
  call: ServerWritableStream<SnapshotRequest, SnapshotResponse>,
): Promise<void> {
  const folder = await mkdtemp(join(temporaryFolder, 'waxseal-snapshot-'));
  let file: FileHandle | undefined;
  try {
    file = await open(join(folder, 'db'), 'wx+', 0o600);
    const { sizeBytes, revision } = await writeSnapshotFile(store, file);
    const hash = createHash('sha256');
    for (let offset = 0; offset < sizeBytes; offset += pieceBytes) {
      const blob = Buffer.alloc(Math.min(pieceBytes, sizeBytes - offset));
      await file.read(blob, 0, blob.length, offset);
      hash.update(blob);
      const remaining = BigInt(sizeBytes - offset - blob.length);
      await send(call, { header: header(revision), remainingBytes: remaining, blob });
    }
    await send(call, { header: header(revision), remainingBytes: 0n, blob: hash.digest() });
  } finally {
    await file?.close();
    await rm(folder, { recursive: true, force: true });
  }
}

/** Resolves once the piece is on its way, so that a slow client holds the reading back. */
function send(
  call: ServerWritableStream<SnapshotRequest, SnapshotResponse>,
  response: SnapshotResponse,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const abandoned = (): void => {
      reject(new Error('the client went away'));
    };
    if (call.cancelled) {
      abandoned();
      return;
    }
    call.once('cancelled', abandoned);
    call.write(response, (error: Error | null | undefined) => {
      call.removeListener('cancelled', abandoned);
      if (error) reject(error);
      else resolve();
    });
  });
}
