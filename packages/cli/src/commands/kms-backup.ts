/** `waxseal kms backup`, `restore` and `reseal`: of the running service when there is one, else of the store itself. */
import { randomBytes } from 'node:crypto';
import { accessSync, constants, createReadStream, existsSync } from 'node:fs';
import { join } from 'node:path';
import {
  createBackup,
  createRootKeyProtector,
  findRunningKeyService,
  KeyServiceError,
  openRootKey,
  resealRootKey,
  restoreBackup,
  type RootKeyProtectorChoice,
  type RootKeyProtectorKind,
} from '@waxseal/key-service';
import { type Store, StoreError } from '@waxseal/storage';
import { CliError, exitCodes } from '../errors.js';
import { runUntilDone } from '../lifetime.js';
import type { OutputFormat } from '../options.js';
import {
  protectorChoice,
  readPin,
  type RootKeyOptions,
  rootKeyProtectors,
  type SealingOptions,
} from '../parts/root-key.js';
import { existingDataDir } from '../parts/running-key-service.js';
import { promptPassphrase, readPassphraseFile } from '../parts/secrets.js';
import { openStore, type StorageOptions } from '../parts/store.js';
import { ensurePrivateDirectory, writeNewPrivateFile } from '../private-files.js';
import { type DataDir, openDataDir } from '../up/data-dir.js';

const MAX_ATTEMPTS = 3;

export interface BackupOptions extends RootKeyOptions, StorageOptions {
  readonly dataDir: string;
  readonly output: OutputFormat;
}

export async function kmsBackup(file: string, options: BackupOptions): Promise<void> {
  if (existsSync(file)) {
    throw new CliError(
      `${file} is there already`,
      'Choose another name: a backup never overwrites one.',
      exitCodes.usage,
    );
  }
  const dataDir = existingDataDir(options.dataDir);
  const running = await findRunningKeyService(dataDir.keyService);
  const bytes = await runUntilDone((signal) =>
    running === undefined
      ? withStore(options, dataDir, async (store) => {
          const rootKey = await openRootKey(
            store,
            rootKeyProtectors(options, dataDir.keyService),
            randomBytes,
          );
          const take = async () => (await createBackup(store, rootKey, Date.now(), randomBytes)).file;
          return writeBackup(file, take, signal);
        })
      : writeBackup(file, () => running.backup(), signal),
  );
  print(
    options,
    { file, bytes },
    `${file} holds every key, sealed under the root key (${bytes} bytes).\nKeep the root key apart from it: neither is of use without the other.`,
  );
}

/** History that is compacted while it is read ends a backup; another one begins at a newer revision. */
async function writeBackup(
  file: string,
  take: () => Promise<AsyncIterable<Buffer>>,
  signal: AbortSignal,
): Promise<number> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await writeNewPrivateFile(file, await take(), signal);
    } catch (error) {
      const cutOff =
        (error instanceof StoreError && error.code === 'compacted') ||
        (error instanceof Error && 'code' in error && error.code === 'ECONNRESET');
      if (!cutOff || signal.aborted || attempt === MAX_ATTEMPTS) throw error;
    }
  }
}

export async function kmsRestore(file: string, options: BackupOptions): Promise<void> {
  // Before the data directory is made.
  accessSync(file, constants.R_OK);
  const dataDir = openDataDir(options.dataDir);
  ensurePrivateDirectory(dataDir.keyService);
  const protectors = rootKeyProtectors(options, dataDir.keyService);
  const { records, createdAtMs } = await runUntilDone((signal) =>
    withStore(options, dataDir, (store) =>
      restoreBackup(store, () => createReadStream(file), protectors, signal),
    ),
  ).catch((error: unknown) => {
    if (!(error instanceof KeyServiceError) || error.code !== 'root-key-missing') throw error;
    throw new CliError(
      `the root key file ${join(dataDir.keyService, 'root.key')} is missing, and the backup opens with no other`,
      'Copy the root.key there that belongs to the backup, then restore again.',
      exitCodes.environment,
      { cause: error },
    );
  });
  const created = new Date(createdAtMs).toISOString();
  print(
    options,
    { records, created },
    `${records} records of ${created} are restored.\nStart the service: waxseal kms serve --data-dir ${options.dataDir}`,
  );
}

export interface ResealOptions extends BackupOptions, SealingOptions {
  readonly to: RootKeyProtectorKind;
  readonly newPassphraseFile?: string;
}

export async function kmsReseal(options: ResealOptions): Promise<void> {
  const { to, unsealKeyId } = options;
  if (to === 'aws-kms' && unsealKeyId === undefined) {
    throw new CliError(
      '--to aws-kms needs --unseal-key-id',
      'Name the key of the other KMS.',
      exitCodes.usage,
    );
  }
  if (to === 'pkcs11' && options.pkcs11Module === undefined) {
    throw new CliError(
      '--to pkcs11 needs --pkcs11-module',
      'Name the library of the token.',
      exitCodes.usage,
    );
  }
  const dataDir = existingDataDir(options.dataDir);
  const running = await findRunningKeyService(dataDir.keyService);
  const secret =
    to === 'passphrase'
      ? await readNewPassphrase(options)
      : to === 'pkcs11'
        ? await readPin(options.pkcs11PinFile)
        : undefined;
  if (running === undefined) {
    await withStore(options, dataDir, async (store) => {
      const present = rootKeyProtectors(options, dataDir.keyService);
      const rootKey = await openRootKey(store, present, randomBytes);
      const protector = createRootKeyProtector(
        resealChoice(options, secret),
        dataDir.keyService,
        randomBytes,
      );
      await resealRootKey(store, rootKey, protector, present, randomBytes);
      rootKey.fill(0);
    });
  } else {
    const { kind, ...choice } = resealChoice(options, secret);
    const encoded = secret?.toString('base64');
    await running.reseal({
      ...choice,
      kind,
      ...(kind === 'passphrase' ? { passphrase: encoded } : {}),
      ...(kind === 'pkcs11' ? { pin: encoded } : {}),
    });
  }
  print(
    options,
    { rootKeyProtector: to, online: running !== undefined },
    `The root key is kept by ${to} now${running === undefined ? '' : '; the running service went on meanwhile'}.${to === 'pkcs11' ? '\nFrom now on start the service with --pkcs11-module and the PIN.' : ''}`,
  );
}

/** @param secret the new passphrase or the PIN: asked for once, needed to seal and to try it */
function resealChoice(options: ResealOptions, secret: Buffer | undefined): RootKeyProtectorChoice {
  const choice = protectorChoice(options.to, options, options);
  const given = async (): Promise<Buffer> => Buffer.from(secret ?? '');
  if (choice.kind === 'passphrase') return { ...choice, passphrase: given };
  if (choice.kind === 'pkcs11') return { ...choice, pin: given };
  return choice;
}

async function readNewPassphrase({ newPassphraseFile }: ResealOptions): Promise<Buffer> {
  const variable = process.env['WAXSEAL_NEW_PASSPHRASE'];
  if (newPassphraseFile === undefined && variable !== undefined) return Buffer.from(variable);
  if (newPassphraseFile === undefined && !process.stdin.isTTY) {
    throw new CliError(
      'the new passphrase is not given',
      'Give --new-passphrase-file, set WAXSEAL_NEW_PASSPHRASE, or run it in a terminal to be asked.',
      exitCodes.usage,
    );
  }
  if (newPassphraseFile !== undefined) return readPassphraseFile(newPassphraseFile);
  const first = await promptPassphrase('New passphrase of the root key: ');
  const again = await promptPassphrase('The same again: ');
  if (!first.equals(again))
    throw new CliError('the two passphrases differ', 'Nothing was changed; try again.', exitCodes.usage);
  return first;
}

async function withStore<T>(
  options: StorageOptions,
  dataDir: DataDir,
  use: (store: Store) => Promise<T>,
): Promise<T> {
  const store = await openStore(options, join(dataDir.keyService, 'store'));
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}

function print({ output }: BackupOptions, json: object, text: string): void {
  console.log(output === 'json' ? JSON.stringify(json) : text);
}
