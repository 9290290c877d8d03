/**
 * The backup file: a header anyone can read, records only the root key opens, and a checksum of the whole.
 *
 * `waxseal-key-backup-v1\n` ‖ header (one line of JSON) ‖ `\n` ‖ chunks ‖ SHA-256 of everything before it (32 bytes).
 * A chunk is uint32 big-endian length ‖ AES-256-GCM ciphertext ‖ tag 16, at most 64 KiB of plaintext, under
 * HKDF-SHA256(root key, salt of the header), nonce = chunk number 11 bytes ‖ 1 for the last chunk, else 0 (the STREAM
 * construction: Hoang, Reyhanitabar, Rogaway, Vizár 2015); the header is the additional authenticated data. The plaintext is
 * records: uint32 length ‖ store key ‖ uint32 length ‖ value. docs/formats/key-service-backup.md.
 */
import { createCipheriv, createDecipheriv, createHash, hkdfSync, timingSafeEqual } from 'node:crypto';
import { parseObject } from '../audit/chain.js';
import { KeyServiceError } from '../errors.js';
import { parseRootKeyRecord, type RootKeyRecord } from '../root-key/root-key.js';

const MAGIC = Buffer.from('waxseal-key-backup-v1\n');
const CHUNK_BYTES = 64 * 1024;
const TAG_BYTES = 16;
const SALT_BYTES = 32;
const CHECKSUM_BYTES = 32;
const MAX_HEADER_BYTES = 64 * 1024;
/** No store takes values of this size; it bounds what a file can make us hold. */
const MAX_FIELD_BYTES = 8 * 1024 * 1024;
const KEY_INFO = 'waxseal/key-service/backup/v1';

export interface BackupHeader {
  /** Milliseconds since the epoch. */
  readonly createdAtMs: number;
  /** Of the store: all records are as of this revision. */
  readonly revision: number;
  readonly records: number;
  readonly rootKey: RootKeyRecord;
  readonly salt: Buffer;
}

export interface BackupRecord {
  readonly key: Buffer;
  readonly value: Buffer;
}

/**
 * The file, piece by piece.
 *
 * @param header `records` is how many there will be
 * @throws whatever `records` throws; KeyServiceError store-corrupt when there are more or fewer of them
 */
export async function* encodeBackup(
  header: Omit<BackupHeader, 'salt'>,
  records: AsyncIterable<BackupRecord>,
  rootKey: Buffer,
  randomBytes: (size: number) => Buffer,
): AsyncGenerator<Buffer, void> {
  const salt = Buffer.from(randomBytes(SALT_BYTES));
  const line = Buffer.from(`${JSON.stringify({ ...header, salt: salt.toString('base64') })}\n`);
  const key = chunkKey(rootKey, salt);
  const hash = createHash('sha256');
  const hashed = (bytes: Buffer): Buffer => {
    hash.update(bytes);
    return bytes;
  };
  let chunks = 0;
  const seal = (plaintext: Buffer, last: boolean): Buffer => {
    const cipher = createCipheriv('aes-256-gcm', key, nonce(chunks++, last));
    cipher.setAAD(line);
    const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()]);
    return Buffer.concat([
      length({ length: ciphertext.length + TAG_BYTES }),
      ciphertext,
      cipher.getAuthTag(),
    ]);
  };
  try {
    yield hashed(Buffer.concat([MAGIC, line]));
    let waiting: Buffer[] = [];
    let waitingBytes = 0;
    let count = 0;
    for await (const record of records) {
      count++;
      const parts = [length(record.key), record.key, length(record.value), record.value];
      waiting.push(...parts);
      for (const part of parts) waitingBytes += part.length;
      if (waitingBytes <= CHUNK_BYTES) continue;
      // The last chunk is told from the others, so one is always kept back.
      let plaintext = Buffer.concat(waiting);
      for (; plaintext.length > CHUNK_BYTES; plaintext = plaintext.subarray(CHUNK_BYTES)) {
        yield hashed(seal(plaintext.subarray(0, CHUNK_BYTES), false));
      }
      waiting = [Buffer.from(plaintext)];
      waitingBytes = plaintext.length;
    }
    if (count !== header.records) {
      throw new KeyServiceError(
        'store-corrupt',
        'The store has not as many records as it counts. Try again.',
      );
    }
    yield hashed(seal(Buffer.concat(waiting), true));
    yield hash.digest();
  } finally {
    key.fill(0);
  }
}

export interface CheckedBackup {
  readonly header: BackupHeader;
  readonly headerLine: Buffer;
}

/** Reads the whole file and its header, for which no key is needed. @throws KeyServiceError backup-damaged */
export async function checkBackup(file: AsyncIterable<Buffer>): Promise<CheckedBackup> {
  const hash = createHash('sha256');
  let start = Buffer.alloc(0);
  let tail = Buffer.alloc(0);
  for await (const bytes of file) {
    if (start.length < MAGIC.length + MAX_HEADER_BYTES) {
      start = Buffer.concat([start, bytes.subarray(0, MAGIC.length + MAX_HEADER_BYTES)]);
    }
    const held = Buffer.concat([tail, bytes]);
    const end = Math.max(0, held.length - CHECKSUM_BYTES);
    hash.update(held.subarray(0, end));
    tail = Buffer.from(held.subarray(end));
  }
  if (!start.subarray(0, MAGIC.length).equals(MAGIC)) throw damaged('is not a backup of the key service');
  if (tail.length !== CHECKSUM_BYTES || !timingSafeEqual(hash.digest(), tail)) {
    throw damaged('is truncated or altered: its checksum does not match');
  }
  const lineEnd = start.subarray(0, MAGIC.length + MAX_HEADER_BYTES).indexOf(0x0a, MAGIC.length) + 1;
  const headerLine = start.subarray(MAGIC.length, lineEnd);
  const header = lineEnd === 0 ? undefined : parseHeader(headerLine.toString('utf8'));
  if (header === undefined) throw damaged('has a header that cannot be read');
  return { header, headerLine };
}

/**
 * The records of a file that checkBackup has accepted.
 *
 * @throws KeyServiceError backup-damaged when a chunk does not open under the root key, maybe after some records
 */
export async function* decodeBackup(
  file: AsyncIterable<Buffer>,
  { header, headerLine }: CheckedBackup,
  rootKey: Buffer,
): AsyncGenerator<BackupRecord, void> {
  let count = 0;
  let rest = Buffer.alloc(0);
  for await (const plaintext of openChunks(file, headerLine, chunkKey(rootKey, header.salt))) {
    const held = Buffer.concat([rest, plaintext]);
    let at = 0;
    for (let record = recordAt(held, at); record !== undefined; record = recordAt(held, at)) {
      at = record.end;
      count++;
      yield record;
    }
    rest = Buffer.from(held.subarray(at));
  }
  if (rest.length > 0) throw damaged('ends in the middle of a record');
  if (count !== header.records) throw damaged('does not hold as many records as it says');
}

async function* openChunks(
  file: AsyncIterable<Buffer>,
  headerLine: Buffer,
  key: Buffer,
): AsyncGenerator<Buffer, void> {
  const source = file[Symbol.asyncIterator]();
  let held = Buffer.alloc(0);
  /** False when the file ends before `size` bytes are held. */
  const hold = async (size: number): Promise<boolean> => {
    while (held.length < size) {
      const next = await source.next();
      if (next.done === true) return false;
      held = Buffer.concat([held, next.value]);
    }
    return true;
  };
  try {
    const first = MAGIC.length + headerLine.length;
    if (!(await hold(first))) throw damaged('has changed while it was read');
    held = held.subarray(first);
    for (let i = 0, last = false; !last; i++) {
      const size = (await hold(4)) ? held.readUInt32BE(0) : 0;
      if (size < TAG_BYTES || size > CHUNK_BYTES + TAG_BYTES || !(await hold(4 + size))) {
        throw damaged('has a chunk of a wrong size');
      }
      // After the last chunk there is the checksum and nothing else.
      last = !(await hold(4 + size + CHECKSUM_BYTES + 1));
      if (last && held.length !== 4 + size + CHECKSUM_BYTES) throw damaged('has a chunk of a wrong size');
      const sealed = held.subarray(4, 4 + size);
      const decipher = createDecipheriv('aes-256-gcm', key, nonce(i, last), { authTagLength: TAG_BYTES });
      decipher.setAAD(headerLine);
      decipher.setAuthTag(sealed.subarray(size - TAG_BYTES));
      const plaintext = decipher.update(sealed.subarray(0, size - TAG_BYTES));
      try {
        decipher.final();
      } catch {
        throw damaged('was altered: a part of it does not open under the root key');
      }
      yield plaintext;
      held = held.subarray(4 + size);
    }
  } finally {
    key.fill(0);
    await source.return?.();
  }
}

/** Undefined when the bytes end before it does. */
function recordAt(bytes: Buffer, start: number): (BackupRecord & { readonly end: number }) | undefined {
  const key = fieldAt(bytes, start);
  const value = key && fieldAt(bytes, start + 4 + key.length);
  return key && value && { key, value, end: start + 8 + key.length + value.length };
}

function fieldAt(bytes: Buffer, at: number): Buffer | undefined {
  if (at + 4 > bytes.length) return undefined;
  const size = bytes.readUInt32BE(at);
  if (size > MAX_FIELD_BYTES) throw damaged('holds a record of an impossible size');
  return at + 4 + size > bytes.length ? undefined : bytes.subarray(at + 4, at + 4 + size);
}

function parseHeader(line: string): BackupHeader | undefined {
  const parsed = parseObject(line);
  const { createdAtMs, revision, records, rootKey, salt } = parsed ?? {};
  if (
    typeof createdAtMs !== 'number' ||
    typeof revision !== 'number' ||
    typeof records !== 'number' ||
    typeof salt !== 'string'
  ) {
    return undefined;
  }
  const record = parseRootKeyRecord(Buffer.from(JSON.stringify(rootKey ?? null)));
  return { createdAtMs, revision, records, rootKey: record, salt: Buffer.from(salt, 'base64') };
}

function chunkKey(rootKey: Buffer, salt: Buffer): Buffer {
  return Buffer.from(hkdfSync('sha256', rootKey, salt, KEY_INFO, 32));
}

/** 11 bytes of counter and one that marks the last chunk. Each file has its own key. */
function nonce(chunk: number, last: boolean): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeUIntBE(chunk, 5, 6);
  bytes[11] = last ? 1 : 0;
  return bytes;
}

function length(bytes: { readonly length: number }): Buffer {
  const out = Buffer.alloc(4);
  out.writeUInt32BE(bytes.length);
  return out;
}

function damaged(what: string): KeyServiceError {
  return new KeyServiceError('backup-damaged', `The backup ${what}. Use another copy of it.`);
}
