/**
 * Writes a bbolt database file (go.etcd.io/bbolt, file format version 2), the format of etcd's snapshots.
 *
 * The file is pages of 4096 bytes: two meta pages, an empty free list, then each bucket's B+tree, then the tree of
 * buckets. Entries come sorted, so leaves are written one after the other and only the first key of each is kept in
 * memory for the branch pages above. All integers are little-endian.
 */
import type { FileHandle } from 'node:fs/promises';

const pageBytes = 4096;
const pageHeaderBytes = 16;
/** flags u32, pos u32, ksize u32, vsize u32. */
const leafElementBytes = 16;
/** pos u32, ksize u32, page id u64. */
const branchElementBytes = 16;
/** root page id u64, sequence u64. */
const bucketHeaderBytes = 16;

const magic = 0xed0cdaed;
const version = 2;
const pageFlag = { branch: 0x01, leaf: 0x02, meta: 0x04, freelist: 0x10 } as const;
const bucketElementFlag = 0x01;
const freelistPage = 2;

export interface BoltEntry {
  readonly key: Buffer;
  readonly value: Buffer;
}

export interface BoltBucket {
  readonly name: string;
  /** In ascending key order. */
  readonly entries: AsyncIterable<BoltEntry> | Iterable<BoltEntry>;
}

interface Child {
  readonly firstKey: Buffer;
  readonly pageId: number;
}

interface LeafEntry extends BoltEntry {
  readonly flags: number;
}

/** Writes a whole database; the file must be empty. Resolves with its size in bytes. */
export async function writeBoltFile(file: FileHandle, buckets: readonly BoltBucket[]): Promise<number> {
  const writer = new BoltWriter(file);
  const roots: LeafEntry[] = [];
  for (const bucket of buckets.toSorted((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)))) {
    const root = await writer.writeTree(leaves(bucket.entries));
    roots.push({ flags: bucketElementFlag, key: Buffer.from(bucket.name), value: bucketValue(root) });
  }
  const root = await writer.writeTree(roots);
  return writer.finish(root ?? 0);
}

async function* leaves(entries: BoltBucket['entries']): AsyncGenerator<LeafEntry> {
  for await (const entry of entries) yield { flags: 0, ...entry };
}

/** An empty bucket is stored inside its parent: root 0, and an empty leaf page behind the header. */
function bucketValue(root: number | undefined): Buffer {
  if (root !== undefined) {
    const value = Buffer.alloc(bucketHeaderBytes);
    value.writeBigUInt64LE(BigInt(root), 0);
    return value;
  }
  const value = Buffer.alloc(bucketHeaderBytes + pageHeaderBytes);
  value.writeUInt16LE(pageFlag.leaf, bucketHeaderBytes + 8);
  return value;
}

class BoltWriter {
  readonly #file: FileHandle;
  #nextPage = freelistPage + 1;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  /** Resolves with the id of the root page; undefined for a tree without entries. */
  async writeTree(entries: AsyncIterable<LeafEntry> | Iterable<LeafEntry>): Promise<number | undefined> {
    let level: Child[] = [];
    let run: LeafEntry[] = [];
    let bytes = pageHeaderBytes;
    for await (const entry of entries) {
      const size = leafElementBytes + entry.key.length + entry.value.length;
      if (run.length > 0 && bytes + size > pageBytes) {
        level.push(await this.#writeLeaf(run, bytes));
        run = [];
        bytes = pageHeaderBytes;
      }
      run.push(entry);
      bytes += size;
    }
    if (run.length > 0) level.push(await this.#writeLeaf(run, bytes));
    while (level.length > 1) level = await this.#writeBranches(level);
    return level[0]?.pageId;
  }

  async finish(root: number): Promise<number> {
    const freelist = Buffer.alloc(pageBytes);
    writePageHeader(freelist, freelistPage, pageFlag.freelist, 0, 0);
    const head = Buffer.concat([this.#meta(0, root), this.#meta(1, root), freelist]);
    await this.#file.write(head, 0, head.length, 0);
    return this.#nextPage * pageBytes;
  }

  async #writeLeaf(entries: readonly LeafEntry[], bytes: number): Promise<Child> {
    const { page, pageId } = this.#allocate(bytes, pageFlag.leaf, entries.length);
    let element = pageHeaderBytes;
    let data = pageHeaderBytes + entries.length * leafElementBytes;
    for (const { flags, key, value } of entries) {
      page.writeUInt32LE(flags, element);
      // Positions count from the element itself.
      page.writeUInt32LE(data - element, element + 4);
      page.writeUInt32LE(key.length, element + 8);
      page.writeUInt32LE(value.length, element + 12);
      data += key.copy(page, data);
      data += value.copy(page, data);
      element += leafElementBytes;
    }
    await this.#file.write(page, 0, page.length, pageId * pageBytes);
    // A copy: a view would keep all bytes it was read with until the file is done.
    return { firstKey: Buffer.from((entries[0] as LeafEntry).key), pageId };
  }

  async #writeBranches(children: readonly Child[]): Promise<Child[]> {
    const level: Child[] = [];
    let run: Child[] = [];
    let bytes = pageHeaderBytes;
    for (const child of children) {
      const size = branchElementBytes + child.firstKey.length;
      // A branch of one child would never end; keys of etcd's buckets are short enough for two.
      if (run.length > 1 && bytes + size > pageBytes) {
        level.push(await this.#writeBranch(run, bytes));
        run = [];
        bytes = pageHeaderBytes;
      }
      run.push(child);
      bytes += size;
    }
    level.push(await this.#writeBranch(run, bytes));
    return level;
  }

  async #writeBranch(children: readonly Child[], bytes: number): Promise<Child> {
    const { page, pageId } = this.#allocate(bytes, pageFlag.branch, children.length);
    let element = pageHeaderBytes;
    let data = pageHeaderBytes + children.length * branchElementBytes;
    for (const { firstKey, pageId: child } of children) {
      page.writeUInt32LE(data - element, element);
      page.writeUInt32LE(firstKey.length, element + 4);
      page.writeBigUInt64LE(BigInt(child), element + 8);
      data += firstKey.copy(page, data);
      element += branchElementBytes;
    }
    await this.#file.write(page, 0, page.length, pageId * pageBytes);
    return { firstKey: (children[0] as Child).firstKey, pageId };
  }

  /** Pages in a row for `bytes`: the first is the page, the others its overflow. */
  #allocate(bytes: number, flags: number, count: number): { page: Buffer; pageId: number } {
    const pages = Math.ceil(bytes / pageBytes);
    const pageId = this.#nextPage;
    this.#nextPage += pages;
    const page = Buffer.alloc(pages * pageBytes);
    writePageHeader(page, pageId, flags, count, pages - 1);
    return { page, pageId };
  }

  #meta(id: number, root: number): Buffer {
    const page = Buffer.alloc(pageBytes);
    writePageHeader(page, id, pageFlag.meta, 0, 0);
    const meta = page.subarray(pageHeaderBytes);
    meta.writeUInt32LE(magic, 0);
    meta.writeUInt32LE(version, 4);
    meta.writeUInt32LE(pageBytes, 8);
    meta.writeBigUInt64LE(BigInt(root), 16);
    meta.writeBigUInt64LE(BigInt(freelistPage), 32);
    meta.writeBigUInt64LE(BigInt(this.#nextPage), 40);
    meta.writeBigUInt64LE(BigInt(id), 48);
    meta.writeBigUInt64LE(fnv1a64(meta.subarray(0, 56)), 56);
    return page;
  }
}

function writePageHeader(page: Buffer, id: number, flags: number, count: number, overflow: number): void {
  page.writeBigUInt64LE(BigInt(id), 0);
  page.writeUInt16LE(flags, 8);
  page.writeUInt16LE(count, 10);
  page.writeUInt32LE(overflow, 12);
}

/** The checksum of a meta page: FNV-1a, 64 bits. */
function fnv1a64(bytes: Buffer): bigint {
  let hash = 0xcbf29ce484222325n;
  for (const byte of bytes) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return hash;
}
