/** Options that several commands share. */
import { resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { logLevels, outputFormats, parsePath, parsePort, parseStorage } from './options.js';

export const outputOption = (): Option =>
  new Option('--output <format>', 'what to print').choices(outputFormats).default('text');

export const logLevelOption = (): Option =>
  new Option('--log-level <level>', 'log lines to standard error, as JSON')
    .choices(logLevels)
    .default('warn');

export const socketGroupOption = (): Option =>
  new Option(
    '--socket-group <group>',
    'name or number of a group that may connect too (mode 0660; default: 0600)',
  );

export const dataDirOption = (): Option =>
  new Option('--data-dir <dir>', 'where everything is kept').argParser(parsePath).default('.waxseal');

/** Where a server keeps its records: its own LMDB, or an etcd cluster that several of them share. */
export const storageOptions = (command: Command): Command =>
  command
    .addOption(
      new Option('--storage <url>', 'where objects lie: lmdb, etcd://host:2379,… or etcds://… (TLS)')
        .argParser(parseStorage)
        .default({ kind: 'lmdb' }, 'lmdb'),
    )
    .option('--storage-cafile <file>', 'PEM authority of the etcd servers')
    .option('--storage-certfile <file>', 'PEM client certificate for etcd')
    .option('--storage-keyfile <file>', 'PEM key of that certificate');

/** Who keeps the root key of the key service, and what that one needs. */
export const rootKeyOptions = (command: Command): Command =>
  command
    .option(
      '--passphrase-file <file>',
      'passphrase of the root key (default: $WAXSEAL_PASSPHRASE, or a prompt)',
    )
    .option('--unseal-region <region>', 'region of the other KMS that wraps the root key')
    .option('--unseal-endpoint <url>', 'its endpoint (default: AWS’s of the region)')
    .option('--unseal-ca-file <file>', 'PEM authority of that endpoint')
    .option('--unseal-profile <name>', 'profile of its credentials')
    .addOption(
      new Option(
        '--pkcs11-module <file>',
        'library of the PKCS#11 token that keeps the root key, e.g. libsofthsm2.so',
      ).argParser((path: string) => resolve(parsePath(path))),
    )
    .option('--pkcs11-token <label>', 'the token (default: the one that sealed the root key)')
    .option('--pkcs11-pin-file <file>', 'its PIN (default: $WAXSEAL_PKCS11_PIN, or a prompt)');

/** What a plugin does about the loss of its key: `KeyLossOptions` of `commands/plugin-serve-key.ts`. */
export const keyLossOptions = (command: Command): Command =>
  command
    .option(
      '--escrow-key <key>',
      'also wrap every DEK for this age recipient (age1…) or RSA public key (a PEM file); see recover-dek',
      parsePath,
    )
    .option(
      '--fail-on-pending-deletion',
      'let Status say so when the key is about to be deleted or to expire',
      false,
    );

/** Of a key service that is served. */
export const keyServiceOptions = (command: Command): Command =>
  rootKeyOptions(
    command
      .option(
        '--health-port <n>',
        '/livez, /readyz and /metrics on 127.0.0.1 (0: a free port; default: off)',
        parsePort,
      )
      .option(
        '--audit-retention-days <n>',
        'remove audit files of days longer ago (default: never)',
        parseDays,
      ),
  );

function parseDays(text: string): number {
  const days = Number(text);
  if (!/^\d{1,5}$/.test(text) || days < 1)
    throw new InvalidArgumentError('Expected a number of days, 1 to 99999.');
  return days;
}

/** The argument of a default command: whoever misspells another command arrives there. */
export function refuseUnknownCommand(name: string): never {
  throw new InvalidArgumentError(`There is no command ${name}.`);
}
