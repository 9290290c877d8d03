/**
 * `waxseal plugin recover-dek`: the DEK source of a stored value, or the object in it, by an escrow identity alone. For the day when every key service is lost; it
 * needs neither a plugin nor a configuration.
 */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createKmsV2Transformer } from '@waxseal/envelope';
import { parseEscrowIdentity, recoverDekSource } from '@waxseal/kms-plugin';
import { CliError, exitCodes } from '../errors.js';
import { writeNewPrivateFile } from '../private-files.js';
import { warnIfOpen } from '../parts/secrets.js';
import { parseRecoverable, recoverableMaxBytes, type Recoverable } from '../recoverable-value.js';

export interface RecoverDekOptions {
  readonly identity: string;
  /** A file, or `-` for standard input. */
  readonly value: string;
  readonly object: boolean;
  /** The storage key of the object. */
  readonly key?: string;
  readonly out?: string;
  readonly stdout: boolean;
}

const identityMaxBytes = 1024 * 1024;

export async function pluginRecoverDek(options: RecoverDekOptions): Promise<void> {
  const { out } = options;
  if ((out === undefined) !== options.stdout) {
    throw new CliError(
      'say where the secret goes: either --out FILE or --stdout',
      'A file is made with mode 0600; --stdout is for a pipe.',
      exitCodes.usage,
    );
  }
  if (out !== undefined && existsSync(out)) {
    throw new CliError(
      `${out} exists already`,
      'Nothing was recovered. Name a new file with --out: what is there may be a secret too.',
    );
  }
  warnIfOpen(options.identity);
  const identity = await parseEscrowIdentity(
    (await readWhole(options.identity, identityMaxBytes)).toString('utf8'),
  );
  const value = parseRecoverable(await readWhole(options.value, recoverableMaxBytes));
  const { dekSource, recipient } = await recoverDekSource(
    { keyId: value.keyId, ciphertext: value.encryptedDekSource, annotations: value.annotations },
    identity,
  );
  try {
    const secret = options.object
      ? await openObject(value, options.key, dekSource)
      : Buffer.from(`${dekSource.toString('base64')}\n`);
    try {
      if (out === undefined) await writeOut(secret);
      else await writeNewPrivateFile(out, once(secret), new AbortController().signal);
    } finally {
      secret.fill(0);
    }
  } finally {
    dekSource.fill(0);
  }
  const what = options.object ? 'The object' : 'The DEK source';
  if (out !== undefined)
    console.log(`${what}, recovered by recipient ${recipient}, is in ${out} (mode 0600).`);
}

async function openObject(value: Recoverable, given: string | undefined, dekSource: Buffer): Promise<Buffer> {
  const { body } = value;
  if (body === undefined) {
    throw new CliError(
      'the input has a DEK source and no object',
      'Give the whole stored value, as `etcdctl get` shows it.',
      exitCodes.usage,
    );
  }
  const storageKey = given ?? value.storageKey;
  if (storageKey === undefined) {
    throw new CliError(
      'the object is bound to its storage key, and the input does not say which',
      'Add --key /registry/…, or give the output of `etcdctl get -w json`.',
      exitCodes.usage,
    );
  }
  const transformer = createKmsV2Transformer({
    service: { decrypt: () => Promise.resolve(Buffer.from(dekSource)) },
    getState: () => undefined,
    randomBytes,
    nowMs: Date.now,
  });
  try {
    return (await transformer.transformFromStorage(body, Buffer.from(storageKey))).data;
  } catch (cause) {
    throw new CliError(
      `the DEK source is recovered, and the object does not open with it under ${storageKey}`,
      'Check the storage key; a value that was moved or changed does not open.',
      undefined,
      { cause },
    );
  }
}

/** @throws CliError when there is more than `maxBytes` */
async function readWhole(path: string, maxBytes: number): Promise<Buffer> {
  if (path !== '-') {
    const bytes = await readFile(path);
    if (bytes.length > maxBytes) throw tooLong(path, maxBytes);
    return bytes;
  }
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > maxBytes) throw tooLong('standard input', maxBytes);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

const tooLong = (what: string, maxBytes: number): CliError =>
  new CliError(`${what} is longer than ${maxBytes} bytes`, 'Give one value.', exitCodes.usage);

function writeOut(bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(bytes, (error) => {
      if (error) reject(error);
      else resolve();
    });
  });
}

async function* once(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}
