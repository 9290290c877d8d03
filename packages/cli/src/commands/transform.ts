/**
 * `waxseal transform`: values through an EncryptionConfiguration, exactly as the API server would seal and open them.
 * JSON lines in, JSON lines out, in order; a line that fails answers `{"err":…}` and the next one goes on.
 */
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { createEncryptionAtRest, type GroupResource } from '@waxseal/encryption-config';
import type { Transformer } from '@waxseal/envelope';

export interface TransformOptions {
  readonly encryptionConfig: string;
  readonly resource: string;
  readonly kmsV1: boolean;
}

/** One value, as on a line of input. */
interface Task {
  readonly op: 'to' | 'from';
  readonly key: string;
  readonly data: Buffer;
}

/** Lines read ahead while earlier ones wait for the KMS. */
const maxUnderWay = 256;

export async function transform(options: TransformOptions): Promise<void> {
  const encryption = await createEncryptionAtRest({
    file: options.encryptionConfig,
    kmsV1Enabled: options.kmsV1,
  });
  try {
    const transformer = encryption.transformerFor(parseResource(options.resource));
    const answers: Promise<string>[] = [];
    const writeOldest = async (): Promise<void> => {
      const line = await answers.shift();
      if (!process.stdout.write(`${line}\n`)) await once(process.stdout, 'drain');
    };
    for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
      if (line.trim() === '') continue;
      answers.push(answer(transformer, line));
      if (answers.length >= maxUnderWay) await writeOldest();
    }
    while (answers.length > 0) await writeOldest();
  } finally {
    await encryption.close();
  }
}

/** `secrets`, `deployments.apps`: the first label is the resource, the rest the group. */
function parseResource(text: string): GroupResource {
  const dot = text.indexOf('.');
  return dot < 0
    ? { group: '', resource: text }
    : { group: text.slice(dot + 1), resource: text.slice(0, dot) };
}

async function answer(transformer: Transformer, line: string): Promise<string> {
  try {
    const { op, key, data } = parseTask(line);
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

function parseTask(line: string): Task {
  let value: unknown;
  try {
    value = JSON.parse(line);
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
