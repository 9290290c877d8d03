/** Database files of etcd for tests: a history of changes, written as etcd writes it. */
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeBoltFile, type BoltBucket, type BoltEntry } from '@waxseal/storage';

export interface Change {
  readonly key: string;
  /** Undefined: the key is deleted. */
  readonly value: Buffer | undefined;
}

/** A folder that is removed behind `use`. */
export async function inTemporaryFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'waxseal-ops-'));
  try {
    return await use(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What releases of etcd keep beside keys (`server/storage/schema/bucket.go`); each has what the one before has. */
export const etcdReleases = ['3.4', '3.5', '3.6'] as const;
export type EtcdRelease = (typeof etcdReleases)[number];

const text = (key: string, value: string): BoltEntry => ({
  key: Buffer.from(key),
  value: Buffer.from(value),
});

function bucketsOf(
  release: EtcdRelease,
  keys: Iterable<BoltEntry>,
  meta: readonly BoltEntry[],
): BoltBucket[] {
  const since35 =
    release === '3.4' ? [] : [text('confState', '{"voters":[1]}'), text('term', '\0\0\0\0\0\0\0\x02')];
  const since36 = release === '3.6' ? [text('storageVersion', '3.6.0')] : [];
  const number = Buffer.alloc(8);
  number.writeBigUInt64BE(9n);
  const sorted = [...meta, { key: Buffer.from('consistent_index'), value: number }, ...since35, ...since36];
  return [
    { name: 'key', entries: keys },
    { name: 'meta', entries: sorted.toSorted((a, b) => Buffer.compare(a.key, b.key)) },
    { name: 'lease', entries: [{ key: number, value: Buffer.from([0x08, 0x09, 0x10, 0x3c]) }] },
    { name: 'alarm', entries: [{ key: Buffer.from([0x08, 0x01, 0x10, 0x01]), value: Buffer.alloc(0) }] },
    {
      name: 'cluster',
      entries: release === '3.4' ? [] : [text('clusterVersion', `${release}.0`), text('downgrade', '{}')],
    },
    { name: 'members', entries: [text('8e9e05c52164694d', '{"id":10276657743932975437}')] },
    { name: 'members_removed', entries: [text('1', 'removed')] },
    { name: 'auth', entries: [{ key: Buffer.from('authRevision'), value: number }] },
    { name: 'authRoles', entries: [text('root', '\x0a\x04root')] },
    { name: 'authUsers', entries: [text('root', '\x0a\x04root')] },
  ];
}

/** Writes the changes as revisions 2, 3, … of a member's database file; with `checksum` as a snapshot. */
export async function writeEtcdFile(
  path: string,
  changes: readonly Change[],
  options: {
    readonly checksum?: boolean;
    readonly compactRevision?: number;
    /** With all the buckets of that release; default: only those that hold revisions. */
    readonly release?: EtcdRelease;
  } = {},
): Promise<void> {
  const file = await open(path, 'wx+', 0o600);
  const meta =
    options.compactRevision === undefined
      ? []
      : [{ key: Buffer.from('finishedCompactRev'), value: revisionKey(options.compactRevision) }];
  await writeBoltFile(
    file,
    options.release === undefined
      ? [
          { name: 'key', entries: entries(changes) },
          { name: 'meta', entries: meta },
          { name: 'lease', entries: [] },
        ]
      : bucketsOf(options.release, entries(changes), meta),
  );
  await file.close();
  if (options.checksum === true) {
    const bytes = readFileSync(path);
    writeFileSync(path, Buffer.concat([bytes, createHash('sha256').update(bytes).digest()]));
  }
}

function* entries(changes: readonly Change[]): Generator<BoltEntry> {
  const live = new Map<string, { created: number; version: number }>();
  for (const [index, { key, value }] of changes.entries()) {
    const main = index + 2;
    if (value === undefined) {
      live.delete(key);
      const tombstone = Buffer.concat([revisionKey(main), Buffer.from('t')]);
      yield { key: tombstone, value: field(1, Buffer.from(key)) };
      continue;
    }
    const before = live.get(key) ?? { created: main, version: 0 };
    const now = { created: before.created, version: before.version + 1 };
    live.set(key, now);
    const message = Buffer.concat([
      field(1, Buffer.from(key)),
      Buffer.from([0x10]),
      varint(now.created),
      Buffer.from([0x18]),
      varint(main),
      Buffer.from([0x20]),
      varint(now.version),
      field(5, value),
    ]);
    yield { key: revisionKey(main), value: message };
  }
}

function revisionKey(main: number): Buffer {
  const key = Buffer.alloc(17);
  key.writeBigUInt64BE(BigInt(main), 0);
  key.write('_', 8);
  return key;
}

function field(number: number, bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from([(number << 3) | 2]), varint(bytes.length), bytes]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  return Buffer.from([...bytes, rest]);
}
