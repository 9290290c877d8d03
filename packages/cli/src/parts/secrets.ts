/** Secrets that are given by file, environment variable or prompt; never as an argument, which every process of the machine can read. */
import { readFileSync, statSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import { CliError } from '../errors.js';

/** Where a secret may come from, and what is said when it does not. */
export interface SecretSource {
  /** Environment variable. */
  readonly variable: string;
  /** Option that names a file. */
  readonly option: string;
  /** What is wrong when there is none. */
  readonly missing: string;
  /** Asked on a terminal. */
  readonly question: string;
}

/** From the file, the environment variable, or a prompt. */
export async function readSecret(
  file: string | undefined,
  { variable, option, missing, question }: SecretSource,
): Promise<Buffer> {
  if (file !== undefined) return readPassphraseFile(file);
  const fromEnvironment = process.env[variable];
  if (fromEnvironment !== undefined) return Buffer.from(fromEnvironment);
  if (!process.stdin.isTTY) {
    throw new CliError(missing, `Give ${option}, set ${variable}, or start it in a terminal to be asked.`);
  }
  return promptPassphrase(question);
}

/** One final line break is not part of it. */
export function readPassphraseFile(file: string): Buffer {
  const bytes = readFileSync(file);
  let end = bytes.length;
  if (bytes[end - 1] === 0x0a) end--;
  if (bytes[end - 1] === 0x0d) end--;
  return bytes.subarray(0, end);
}

/**
 * Warns on standard error when others than its owner may read this file. Not refused: Kubernetes mounts secrets with mode 0644 unless told otherwise,
 * and the folder around a file may keep others out.
 */
export function warnIfOpen(file: string | undefined): void {
  const mode = file === undefined ? undefined : statSync(file, { throwIfNoEntry: false })?.mode;
  if (file === undefined || mode === undefined || (mode & 0o077) === 0) return;
  const octal = (mode & 0o777).toString(8).padStart(4, '0');
  console.error(
    `waxseal: warning: ${file} holds a secret and others may read it (mode ${octal}); chmod 600 it`,
  );
}

/** Asks on the terminal and does not show the answer. */
export function promptPassphrase(question: string): Promise<Buffer> {
  const mute = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output: mute, terminal: true });
  // Asked only now that the terminal no longer shows what is typed.
  process.stderr.write(question);
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
