/**
 * `waxseal transform`: values through an EncryptionConfiguration, exactly as the API server would seal and open them.
 * JSON lines in, JSON lines out, in order; a line that fails answers `{"err":…}` and the next one goes on.
 */
import { once } from 'node:events';
import { createEncryptionAtRest, type GroupResource } from '@waxseal/encryption-config';
import type { Transformer } from '@waxseal/envelope';
import { linesOf, type Line } from '../lines.js';

export interface TransformOptions {
  readonly encryptionConfig: string;
  readonly resource: GroupResource;
  readonly kmsV1: boolean;
}

/** One value, as on a line of input. */
interface Task {
  readonly op: 'to' | 'from';
  readonly key: string;
  readonly data: Buffer;
}

/** Lines, and bytes of lines, read ahead while earlier ones wait for the KMS. */
const maxUnderWay = 256;
const maxBytesUnderWay = 64 << 20;
/** Far above what an API server stores (etcd takes 1.5 MiB a request), far below what a string can hold. */
const maxLineBytes = 32 << 20;

export async function transform(options: TransformOptions): Promise<void> {
  const encryption = await createEncryptionAtRest({
    file: options.encryptionConfig,
    kmsV1Enabled: options.kmsV1,
  });
  try {
    const transformer = encryption.transformerFor(options.resource);
    const underWay: { readonly answer: Promise<string>; readonly bytes: number }[] = [];
    let bytesUnderWay = 0;
    const enoughUnderWay = (): boolean => underWay.length >= maxUnderWay || bytesUnderWay > maxBytesUnderWay;
    const writeOldest = async (): Promise<void> => {
      const oldest = underWay.shift();
      if (oldest === undefined) return;
      const text = await oldest.answer;
      bytesUnderWay -= oldest.bytes;
      if (!process.stdout.write(`${text}\n`)) await once(process.stdout, 'drain');
    };
    for await (const line of linesOf(process.stdin, maxLineBytes)) {
      const bytes = line.kind === 'line' ? line.bytes.length : 0;
      if (line.kind === 'line' && line.bytes.toString('latin1').trim() === '') continue;
      underWay.push({ answer: answer(transformer, line), bytes });
      bytesUnderWay += bytes;
      while (enoughUnderWay()) await writeOldest();
    }
    while (underWay.length > 0) await writeOldest();
  } catch (error) {
    // Who reads the answers has seen enough, as `| head` does.
    if (!(error instanceof Error && 'code' in error && error.code === 'EPIPE')) throw error;
  } finally {
    await encryption.close();
  }
}

async function answer(transformer: Transformer, line: Line): Promise<string> {
  try {
    if (line.kind === 'too-long') throw new Error(`the line is longer than ${maxLineBytes} bytes`);
    const { op, key, data } = parseTask(line.bytes);
    const authenticatedData = Buffer.from(key);
    if (op === 'to') {
      const sealed = await transformer.transformToStorage(data, authenticatedData);
      return JSON.stringify({ data: sealed.toString('base64'), stale: false });
    }
    const opened = await transformer.transformFromStorage(data, authenticatedData);
    return JSON.stringify({ data: opened.data.toString('base64'), stale: opened.stale });
  } catch (error) {
    return JSON.stringify({ err: error instanceof Error ? error.message : String(error) });
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

function parseTask(line: Buffer): Task {
  let value: unknown;
  try {
    value = JSON.parse(utf8.decode(line));
  } catch {
    throw new Error('the line is not JSON');
  }
  const { op, key, data } = (typeof value === 'object' && value !== null ? value : {}) as Record<
    string,
    unknown
  >;
  if (op !== 'to' && op !== 'from') throw new Error('"op" must be "to" or "from"');
  if (typeof key !== 'string') throw new Error('"key" must be the storage key, a string');
  if (typeof data !== 'string') throw new Error('"data" must be base64, a string');
  const bytes = Buffer.from(data, 'base64');
  // Buffer skips what is not base64; a value that does not come back the same was none.
  if (bytes.toString('base64').replace(/=+$/, '') !== data.replace(/=+$/, ''))
    throw new Error('"data" is not base64');
  return { op, key, data: bytes };
}
