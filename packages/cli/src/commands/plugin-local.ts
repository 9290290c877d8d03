/** `waxseal plugin local`: DEKs wrapped under a keyring file. */
import { existsSync } from 'node:fs';
import { createKeyring, createLocalProvider } from '@waxseal/kms-plugin';
import { serveKey, type ServeOptions } from './plugin-serve-key.js';

export interface LocalOptions extends ServeOptions {
  readonly keyring: string;
}

export async function pluginLocal(options: LocalOptions): Promise<void> {
  if (!existsSync(options.keyring)) await createKeyring(options.keyring);
  await serveKey(await createLocalProvider({ keyringFile: options.keyring }), options);
}
