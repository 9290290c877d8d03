/**
 * One stored value, in any of the forms a person has it in: the bytes, base64 of them, what `etcdctl get -w json` prints, or the parts of its DEK source as JSON.
 */
import { decodeEncryptedObject } from '@waxseal/envelope';
import { CliError, exitCodes } from './errors.js';

export interface Recoverable {
  readonly keyId: string;
  readonly encryptedDekSource: Buffer;
  readonly annotations: Readonly<Record<string, Buffer>>;
  /** The value without its prefix; undefined when only the DEK source was given. */
  readonly body: Buffer | undefined;
  /** Where it was stored, as far as the input says. */
  readonly storageKey: string | undefined;
}

/** etcd takes 1.5 MiB a request; base64 in JSON makes two of it. */
export const recoverableMaxBytes = 8 * 1024 * 1024;

const sealedPrefix = Buffer.from('k8s:enc:');
const prefix = Buffer.from('k8s:enc:kms:v2:');
const colon = 0x3a;

/** @throws CliError */
export function parseRecoverable(input: Buffer): Recoverable {
  if (startsWith(input, sealedPrefix)) return parseStored(input, undefined);
  const text = input.toString('utf8').trim();
  if (text.startsWith('{')) return parseJson(text);
  return parseStored(base64(text, 'the input'), undefined);
}

function parseStored(stored: Buffer, storageKey: string | undefined): Recoverable {
  if (!startsWith(stored, prefix)) {
    throw unusable('it is no value that a KMS v2 provider sealed (those begin with k8s:enc:kms:v2:)');
  }
  const end = stored.indexOf(colon, prefix.length);
  if (end < 0) throw unusable('it ends within its prefix');
  // `etcdctl get --print-value-only` ends its output with a line feed that is not stored; protobuf would choke on it.
  for (const body of [stored.subarray(end + 1), stored.subarray(end + 1, -1)]) {
    try {
      const { keyId, encryptedDekSource, annotations } = decodeEncryptedObject(body);
      return { keyId, encryptedDekSource, annotations, body, storageKey };
    } catch (cause) {
      if (stored.at(-1) !== 0x0a || body.length + end + 1 !== stored.length)
        throw unusable('it is damaged or cut off', cause);
    }
  }
  throw unusable('it is damaged or cut off');
}

function parseJson(text: string): Recoverable {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    // The parser's message would quote the input.
    throw unusable('it begins as JSON and is none');
  }
  const fields = record(document, 'the input');
  if ('kvs' in fields) return parseEtcdctl(fields['kvs']);
  const encryptedDekSource = fields['encryptedDEKSource'] ?? fields['ciphertext'];
  if (typeof fields['keyId'] !== 'string' || typeof encryptedDekSource !== 'string') {
    throw unusable('its JSON has neither kvs nor keyId, encryptedDEKSource and annotations');
  }
  const annotations = Object.entries(record(fields['annotations'], 'annotations')).map(
    ([name, value]) => [name, base64(value, `annotation ${name}`)] as const,
  );
  return {
    keyId: fields['keyId'],
    encryptedDekSource: base64(encryptedDekSource, 'encryptedDEKSource'),
    annotations: Object.fromEntries(annotations),
    body: undefined,
    storageKey: undefined,
  };
}

function parseEtcdctl(kvs: unknown): Recoverable {
  const list: readonly unknown[] = Array.isArray(kvs) ? kvs : [];
  if (list.length !== 1) throw unusable(`it holds ${list.length} keys; get one at a time`);
  const { key, value } = record(list[0], 'kvs[0]');
  return parseStored(base64(value, 'kvs[0].value'), base64(key, 'kvs[0].key').toString('utf8'));
}

function record(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw unusable(`${what} is no mapping`);
  return value as Readonly<Record<string, unknown>>;
}

function base64(value: unknown, what: string): Buffer {
  const text = typeof value === 'string' ? value.replace(/\s/g, '') : '';
  const bytes = Buffer.from(text, 'base64');
  // Buffer skips what is not base64; what does not come back the same was none.
  if (text === '' || bytes.toString('base64').replace(/=+$/, '') !== text.replace(/=+$/, '')) {
    throw unusable(`${what} is no base64`);
  }
  return bytes;
}

function startsWith(bytes: Buffer, start: Buffer): boolean {
  return bytes.subarray(0, start.length).equals(start);
}

function unusable(problem: string, cause?: unknown): CliError {
  return new CliError(
    `the value cannot be used: ${problem}`,
    'Give a stored value as bytes or base64, the output of `etcdctl get KEY -w json`, or {"keyId", "encryptedDEKSource", "annotations"} with base64 inside.',
    exitCodes.usage,
    cause === undefined ? undefined : { cause },
  );
}
