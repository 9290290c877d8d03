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

export function encodeBackup(
  header: Omit<BackupHeader, 'salt' | 'records'>,
  records: readonly BackupRecord[],
  rootKey: Buffer,
  randomBytes: (size: number) => Buffer,
): Buffer {
  const salt = Buffer.from(randomBytes(SALT_BYTES));
  const line = Buffer.from(
    `${JSON.stringify({ ...header, records: records.length, salt: salt.toString('base64') })}\n`,
  );
  const plaintext = Buffer.concat(
    records.flatMap(({ key, value }) => [length(key), key, length(value), value]),
  );
  const key = chunkKey(rootKey, salt);
  const parts: Buffer[] = [MAGIC, line];
  const chunks = Math.max(1, Math.ceil(plaintext.length / CHUNK_BYTES));
  for (let i = 0; i < chunks; i++) {
    const cipher = createCipheriv('aes-256-gcm', key, nonce(i, i === chunks - 1));
    cipher.setAAD(line);
    const ciphertext = cipher.update(plaintext.subarray(i * CHUNK_BYTES, (i + 1) * CHUNK_BYTES));
    cipher.final();
    const tag = cipher.getAuthTag();
    const size = Buffer.alloc(4);
    size.writeUInt32BE(ciphertext.length + TAG_BYTES);
    parts.push(size, ciphertext, tag);
  }
  key.fill(0);
  const body = Buffer.concat(parts);
  return Buffer.concat([body, createHash('sha256').update(body).digest()]);
}

interface OpenedBackup {
  readonly header: BackupHeader;
  readonly headerLine: Buffer;
  /** Of the first chunk. */
  readonly offset: number;
}

/** Reads what needs no key, after the checksum. @throws KeyServiceError backup-damaged */
export function readBackupHeader(file: Buffer): OpenedBackup {
  if (!file.subarray(0, MAGIC.length).equals(MAGIC)) {
    throw damaged('is not a backup of the key service');
  }
  const end = file.length - CHECKSUM_BYTES;
  const checksum = createHash('sha256')
    .update(file.subarray(0, Math.max(end, 0)))
    .digest();
  if (end < MAGIC.length || !timingSafeEqual(checksum, file.subarray(end))) {
    throw damaged('is truncated or altered: its checksum does not match');
  }
  const lineEnd = file.subarray(0, MAGIC.length + MAX_HEADER_BYTES).indexOf(0x0a, MAGIC.length) + 1;
  const headerLine = file.subarray(MAGIC.length, lineEnd);
  const header = lineEnd === 0 ? undefined : parseHeader(headerLine.toString('utf8'));
  if (header === undefined) throw damaged('has a header that cannot be read');
  return { header, headerLine, offset: lineEnd };
}

/** @throws KeyServiceError backup-damaged when a chunk does not open under the root key */
export function decodeBackup(
  file: Buffer,
  { header, headerLine, offset }: OpenedBackup,
  rootKey: Buffer,
): BackupRecord[] {
  const end = file.length - CHECKSUM_BYTES;
  const key = chunkKey(rootKey, header.salt);
  const plain: Buffer[] = [];
  let at = offset;
  for (let i = 0; at < end; i++) {
    const size = at + 4 <= end ? file.readUInt32BE(at) : 0;
    const stop = at + 4 + size;
    if (size < TAG_BYTES || size > CHUNK_BYTES + TAG_BYTES || stop > end)
      throw damaged('has a chunk of a wrong size');
    const decipher = createDecipheriv('aes-256-gcm', key, nonce(i, stop === end), {
      authTagLength: TAG_BYTES,
    });
    decipher.setAAD(headerLine);
    decipher.setAuthTag(file.subarray(stop - TAG_BYTES, stop));
    plain.push(decipher.update(file.subarray(at + 4, stop - TAG_BYTES)));
    try {
      decipher.final();
    } catch {
      throw damaged('was altered: a part of it does not open under the root key');
    }
    at = stop;
  }
  key.fill(0);
  const records = splitRecords(Buffer.concat(plain));
  if (records.length !== header.records) throw damaged('does not hold as many records as it says');
  return records;
}

function splitRecords(plaintext: Buffer): BackupRecord[] {
  const records: BackupRecord[] = [];
  let at = 0;
  const take = (): Buffer => {
    const size = at + 4 <= plaintext.length ? plaintext.readUInt32BE(at) : Number.POSITIVE_INFINITY;
    if (at + 4 + size > plaintext.length) throw damaged('ends in the middle of a record');
    const bytes = plaintext.subarray(at + 4, at + 4 + size);
    at += 4 + size;
    return bytes;
  };
  while (at < plaintext.length) records.push({ key: take(), value: take() });
  return records;
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

function length(bytes: Buffer): Buffer {
  const out = Buffer.alloc(4);
  out.writeUInt32BE(bytes.length);
  return out;
}

function damaged(what: string): KeyServiceError {
  return new KeyServiceError('backup-damaged', `The backup ${what}. Use another copy of it.`);
}
