/** `waxseal plugin local` and `waxseal plugin pkcs11`: keys of this machine, which are served, made and rotated by commands. */
import { resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { outputOption, refuseUnknownCommand } from './cli-options.js';
import { serveOptions } from './cli-plugin-providers.js';
import { parseExpiry, parsePath } from './options.js';

const keyringOptions = (command: Command): Command =>
  command
    .requiredOption('--keyring <file>', 'keyring file (0600)', absolute)
    .option(
      '--passphrase-file <file>',
      'of an encrypted keyring (default: $WAXSEAL_PASSPHRASE, or a prompt)',
      absolute,
    );

export function addLocal(plugin: Command): void {
  const local = plugin
    .command('local')
    .description('Wrap DEKs under a keyring file on this machine; make, rotate and encrypt that file.')
    .addHelpText(
      'after',
      `
Examples:
  $ waxseal plugin local --keyring ./keyring.json --listen unix:///run/waxseal/kms.sock
  $ waxseal plugin local create --keyring ./keyring.json
  $ waxseal plugin local rotate --keyring ./keyring.json`,
    );
  keyringOptions(
    serveOptions(
      local
        .command('serve', { isDefault: true })
        // `waxseal plugin local` alone serves, so a misspelt command arrives here.
        .argument('[command]', '', refuseUnknownCommand)
        .usage('[options]')
        .description('Serve a key of the keyring.'),
    ),
  )
    .addHelpText(
      'after',
      `
A keyring that is missing is made, and encrypted when a passphrase is given. SIGHUP reads it again.

Example:
  $ waxseal plugin local --keyring ./keyring.json --passphrase-file ./passphrase --listen unix:///run/waxseal/kms.sock`,
    )
    .action(async (_command, options) => (await import('./commands/plugin-local.js')).pluginLocal(options));
  keyringOptions(
    local
      .command('create')
      .description('Make a keyring with a new key; a file that is there is left as it is, and told.'),
  )
    .addOption(outputOption())
    .addHelpText(
      'after',
      `
With a passphrase the keyring is encrypted. \`waxseal plugin serve\` needs the file before it starts.

Example:
  $ waxseal plugin local create --keyring ./keyring.json --passphrase-file ./passphrase`,
    )
    .action(async (options) => (await import('./commands/plugin-local.js')).createLocalKeyring(options));
  keyringOptions(
    local
      .command('rotate')
      .description('Put a new version in front of the keyring; the old ones still read.'),
  )
    .addOption(outputOption())
    .addHelpText(
      'after',
      `
Example:
  $ waxseal plugin local rotate --keyring ./keyring.json`,
    )
    .action(async (options) => (await import('./commands/plugin-local.js')).rotateLocalKeyring(options));
  keyringOptions(
    local
      .command('set-passphrase')
      .description('Encrypt the keyring with another passphrase, or for the first time.'),
  )
    .requiredOption('--new-passphrase-file <file>', 'what it is encrypted with from now on', absolute)
    .addOption(outputOption())
    .addHelpText(
      'after',
      `
The file is one of age: \`age -d keyring.json\` opens it too.

Example:
  $ waxseal plugin local set-passphrase --keyring ./keyring.json --new-passphrase-file ./passphrase`,
    )
    .action(async (options) => (await import('./commands/plugin-local.js')).setLocalPassphrase(options));
}

const mechanisms = ['rsa-oaep-sha256', 'rsa-oaep-sha1', 'aes-gcm', 'aes-key-wrap', 'aes-key-wrap-pad'];

const tokenOptions = (command: Command): Command =>
  command
    .requiredOption('--module <file>', 'PKCS#11 library, e.g. libsofthsm2.so', absolute)
    .option('--token-label <label>', 'the token (default: the only one there is)')
    .option('--token-serial <number>', 'its serial number')
    .option('--slot <n>', 'its slot, where that is stable', parseWholeNumber)
    .option('--pin-file <file>', 'PIN of its user (default: $WAXSEAL_PKCS11_PIN, or a prompt)', absolute)
    .requiredOption('--key-label <label>', 'CKA_LABEL of the keys');

export function addPkcs11(plugin: Command): void {
  const pkcs11 = plugin
    .command('pkcs11')
    .description('Wrap DEKs under a key that never leaves an HSM, smart card or SoftHSM2.')
    .addHelpText(
      'after',
      `
Examples:
  $ waxseal plugin pkcs11 create-key --module /usr/lib/softhsm/libsofthsm2.so --pin-file ./pin --key-label etcd
  $ waxseal plugin pkcs11 --module /usr/lib/softhsm/libsofthsm2.so --pin-file ./pin --key-label etcd \\
      --listen unix:///run/waxseal/kms.sock`,
    );
  tokenOptions(
    serveOptions(
      pkcs11
        .command('serve', { isDefault: true })
        .argument('[command]', '', refuseUnknownCommand)
        .usage('[options]')
        .description('Serve a key of the token.'),
    ),
  )
    .option('--key-id <hex>', 'CKA_ID of the key that writes (default: the highest of the label)', parseHex)
    .addOption(
      new Option(
        '--mechanism <name>',
        'how it wraps (default: aes-gcm or rsa-oaep-sha256, as the key is)',
      ).choices(mechanisms),
    )
    .option('--max-sessions <n>', 'sessions of the token at most (default: 8)', parseWholeNumber)
    .addHelpText(
      'after',
      `
All keys of the label read, one writes. SIGHUP reads the PIN again and looks for a newer key.

Example:
  $ waxseal plugin pkcs11 --module /usr/lib/softhsm/libsofthsm2.so --pin-file ./pin --key-label etcd \\
      --listen unix:///run/waxseal/kms.sock`,
    )
    .action(async (_command, options) => (await import('./commands/plugin-pkcs11.js')).pluginPkcs11(options));
  tokenOptions(
    pkcs11
      .command('create-key')
      .description('Make a key on the token that cannot leave it: the next of its label.'),
  )
    .addOption(new Option('--mechanism <name>', 'what it is for').choices(mechanisms).default('aes-gcm'))
    .option('--end-date <date>', 'last day it is meant to be used, as 2030-01-31', parseExpiry)
    .addOption(outputOption())
    .addHelpText(
      'after',
      `
Example:
  $ waxseal plugin pkcs11 create-key --module /usr/lib/softhsm/libsofthsm2.so --pin-file ./pin --key-label etcd`,
    )
    .action(async (options) => (await import('./commands/plugin-pkcs11.js')).createTokenKey(options));
}

function absolute(path: string): string {
  return resolve(parsePath(path));
}

function parseWholeNumber(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('Expected a whole number.');
  return Number(text);
}

function parseHex(text: string): Buffer {
  if (!/^([0-9a-fA-F]{2}){1,255}$/.test(text))
    throw new InvalidArgumentError('Expected bytes as hexadecimal digits, e.g. 0a.');
  return Buffer.from(text, 'hex');
}
