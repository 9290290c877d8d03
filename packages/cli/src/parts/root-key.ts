/** Root key protectors as command lines name them. */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import {
  createRootKeyProtector,
  type RootKeyProtectorChoice,
  type RootKeyProtectorKind,
  type RootKeyProtectors,
} from '@waxseal/key-service';
import { CliError } from '../errors.js';

export interface RootKeyOptions {
  readonly passphraseFile?: string;
  readonly unsealRegion?: string;
  readonly unsealEndpoint?: string;
  readonly unsealCaFile?: string;
  readonly unsealProfile?: string;
}

const passphraseVariable = 'WAXSEAL_PASSPHRASE';

/** All kinds: the store says which one is used. An empty store gets the first, a file. */
export function rootKeyProtectors(options: RootKeyOptions, folder: string): RootKeyProtectors {
  const create = (kind: RootKeyProtectorKind) =>
    createRootKeyProtector(protectorChoice(kind, options), folder, randomBytes);
  return [create('file'), create('passphrase'), create('aws-kms')];
}

/** @param unsealKeyId key of the other KMS; needed to seal only */
export function protectorChoice(
  kind: RootKeyProtectorKind,
  options: RootKeyOptions,
  unsealKeyId?: string,
): RootKeyProtectorChoice {
  switch (kind) {
    case 'file':
      return { kind };
    case 'passphrase':
      return {
        kind,
        passphrase: () => readPassphrase(options.passphraseFile),
      };
    default:
      return {
        kind,
        keyId: unsealKeyId,
        region: options.unsealRegion,
        endpoint: options.unsealEndpoint,
        caFile: options.unsealCaFile,
        profile: options.unsealProfile,
      };
  }
}

/** From the file, the environment variable, or a prompt. */
async function readPassphrase(file: string | undefined): Promise<Buffer> {
  if (file !== undefined) return readPassphraseFile(file);
  const fromEnvironment = process.env[passphraseVariable];
  if (fromEnvironment !== undefined) return Buffer.from(fromEnvironment);
  if (!process.stdin.isTTY) {
    throw new CliError(
      'the root key is protected by a passphrase, and none is given',
      `Give --passphrase-file, set ${passphraseVariable}, or start it in a terminal to be asked.`,
    );
  }
  return promptPassphrase('Passphrase of the root key: ');
}

/** One final line break is not part of it. */
export function readPassphraseFile(file: string): Buffer {
  const bytes = readFileSync(file);
  let end = bytes.length;
  if (bytes[end - 1] === 0x0a) end--;
  if (bytes[end - 1] === 0x0d) end--;
  return bytes.subarray(0, end);
}

/** Asks on the terminal and does not show the answer. */
export function promptPassphrase(question: string): Promise<Buffer> {
  process.stderr.write(question);
  const mute = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output: mute, terminal: true });
  return new Promise((resolve, reject) => {
    lines.once('line', (line) => {
      resolve(Buffer.from(line));
      lines.close();
      process.stderr.write('\n');
    });
    lines.once('SIGINT', () => {
      lines.close();
      reject(new CliError('no passphrase was given', 'Start again and type it.'));
    });
    lines.once('close', () => reject(new CliError('no passphrase was given', 'Start again and type it.')));
  });
}
