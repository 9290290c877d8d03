/** `waxseal config check FILE`: what kube-apiserver would say to an EncryptionConfiguration. */
import { readFile } from 'node:fs/promises';
import { checkEncryptionConfig } from '@waxseal/encryption-config';
import { exitCodes } from '../errors.js';
import type { OutputFormat } from '../options.js';

export interface ConfigCheckOptions {
  readonly kmsV1: boolean;
  readonly output: OutputFormat;
}

export async function configCheck(file: string, options: ConfigCheckOptions): Promise<void> {
  const text = await readFile(file, 'utf8');
  const result = checkEncryptionConfig(text, { fileName: file, kmsV1Enabled: options.kmsV1 });
  const errors = result.errors.map(({ field, message }) => ({ field, message }));
  if (errors.length > 0) process.exitCode = exitCodes.negative;
  if (options.output === 'json') {
    console.log(JSON.stringify({ errors }));
  } else if (errors.length > 0) {
    for (const { field, message } of errors) console.log(field === '' ? message : `${field}: ${message}`);
  } else {
    console.log(`${file} is valid. It covers: ${result.resources.join(', ')}`);
  }
}
