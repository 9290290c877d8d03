/** `waxseal plugin local`: DEKs wrapped under a keyring file, and what is done to that file. */
import { existsSync } from 'node:fs';
import {
  createKeyring,
  createLocalProvider,
  isKeyringEncrypted,
  rotateKeyring,
  setKeyringPassphrase,
  type ReadPassphrase,
} from '@waxseal/kms-plugin';
import { CliError } from '../errors.js';
import type { OutputFormat } from '../options.js';
import { warnIfOpen, type SecretSource } from '../parts/secrets.js';
import { secretReader } from './plugin-secret.js';
import { definedOnly, givenFiles, serveKey, type ServeOptions } from './plugin-serve-key.js';

interface KeyringOptions {
  readonly keyring: string;
  readonly passphraseFile?: string;
}

export interface LocalOptions extends ServeOptions, KeyringOptions {}

const ofKeyring: SecretSource = {
  variable: 'WAXSEAL_PASSPHRASE',
  option: '--passphrase-file',
  missing: 'the keyring is encrypted, and its passphrase is not given',
  question: 'Passphrase of the keyring: ',
};

export async function pluginLocal(options: LocalOptions): Promise<void> {
  const { keyring } = options;
  const passphrase = await passphraseOf(options);
  if (options.explain !== true && !existsSync(keyring))
    await createKeyring(keyring, undefined, undefined, passphrase);
  const provider = await createLocalProvider({ keyringFile: keyring, ...definedOnly({ passphrase }) });
  await serveKey(provider, {
    ...options,
    secretFiles: givenFiles(options.passphraseFile),
  });
}

export async function createLocalKeyring(
  options: KeyringOptions & { readonly output: OutputFormat },
): Promise<void> {
  const { keyring } = options;
  // Before a passphrase is asked for; the file is also refused where it appears meanwhile.
  if (existsSync(keyring)) {
    throw new CliError(
      `${keyring} exists already`,
      'Nothing was changed. `waxseal plugin local rotate` puts a new key into a keyring; for another one choose another path.',
    );
  }
  warnIfOpen(options.passphraseFile);
  const passphrase = await passphraseOf(options);
  await createKeyring(keyring, undefined, undefined, passphrase);
  const encrypted = passphrase !== undefined;
  console.log(
    options.output === 'json'
      ? JSON.stringify({ keyring, version: 1, encrypted })
      : `${keyring} holds a new key (mode 0600${encrypted ? ', encrypted with the passphrase' : ''}). Keep a copy: without it nothing that is stored under it can be read.`,
  );
}

export async function rotateLocalKeyring(
  options: KeyringOptions & { readonly output: OutputFormat },
): Promise<void> {
  warnIfOpen(options.passphraseFile);
  const { version, keyId } = await rotateKeyring(options.keyring, undefined, await passphraseOf(options));
  console.log(
    options.output === 'json'
      ? JSON.stringify({ keyring: options.keyring, version, keyId })
      : `Version ${version} writes in ${options.keyring} once the plugin reads it: send it SIGHUP. API servers then see the key id ${keyId}.`,
  );
}

export async function setLocalPassphrase(
  options: KeyringOptions & { readonly newPassphraseFile: string; readonly output: OutputFormat },
): Promise<void> {
  warnIfOpen(options.passphraseFile);
  warnIfOpen(options.newPassphraseFile);
  const next = await secretReader(options.newPassphraseFile, ofKeyring);
  await setKeyringPassphrase(options.keyring, next, await passphraseOf(options));
  console.log(
    options.output === 'json'
      ? JSON.stringify({ keyring: options.keyring, encrypted: true })
      : `${options.keyring} is encrypted with the new passphrase. Copies of the old file still open with the old one.`,
  );
}

/**
 * By the option; or by environment and prompt when the keyring needs one. A keyring that is made is encrypted when a passphrase is there, and
 * nobody is asked for one.
 */
async function passphraseOf({
  keyring,
  passphraseFile,
}: KeyringOptions): Promise<ReadPassphrase | undefined> {
  const given = passphraseFile !== undefined;
  const needed = existsSync(keyring)
    ? await isKeyringEncrypted(keyring)
    : process.env[ofKeyring.variable] !== undefined;
  return given || needed ? secretReader(passphraseFile, ofKeyring) : undefined;
}
