/**
 * A SoftHSM2 with fresh tokens, for tests of this and other packages.
 *
 * SoftHSM2 reads its configuration when the module is initialised, once per process, from the file SOFTHSM2_CONF names; and it sees
 * the tokens that are there then. So a process has one of these, with all the tokens its tests need. Its libraries lie in
 * `.tools/softhsm2`, apart from the machine's.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { loadLibrary, loadNativeCalls } from '../native-calls.js';

const run = promisify(execFile);

export interface SoftHsm {
  readonly modulePath: string;
  /** The first token. */
  readonly tokenLabel: string;
  /** A fresh copy of the user's PIN, the same for every token: opening a token zeroes the buffer it is given. */
  pin(): Buffer;
  /** For child processes that open the module. This process has it already. */
  readonly environment: Readonly<Record<string, string>>;
  /** Removes the tokens from the disk; to be called when they are closed. */
  remove(): Promise<void>;
}

export interface SoftHsmOptions {
  /** One token each; two may be alike. */
  readonly tokenLabels?: readonly string[] | undefined;
  /** The user's PIN of every token. Default: one of six digits. */
  readonly pin?: string | undefined;
}

const PIN = '624817';
const SECURITY_OFFICER_PIN = '93716425';

/** @throws Error when SoftHSM2 is not installed */
export async function createSoftHsm({
  tokenLabels = ['waxseal-test'],
  pin = PIN,
}: SoftHsmOptions = {}): Promise<SoftHsm> {
  const [tokenLabel] = tokenLabels;
  if (tokenLabel === undefined) throw new Error('A SoftHSM2 needs at least one token.');
  const tools = toolsFolder();
  const libraries = join(tools, 'softhsm2');
  const util = join(tools, 'bin/softhsm2-util');
  const modulePath = join(libraries, 'libsofthsm2.so');
  if (!existsSync(util) || !existsSync(modulePath)) {
    throw new Error(`${util} does not exist. Install the tests' programs: npm run tools`);
  }
  const folder = await mkdtemp(join(tmpdir(), 'waxseal-softhsm-'));
  const tokens = join(folder, 'tokens');
  const configuration = join(folder, 'softhsm2.conf');
  await mkdir(tokens, { mode: 0o700 });
  await writeFile(
    configuration,
    `directories.tokendir = ${tokens}\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n`,
  );
  for (const label of tokenLabels) {
    await run(
      util,
      ['--init-token', '--free', '--label', label, '--pin', pin, '--so-pin', SECURITY_OFFICER_PIN],
      { env: { ...process.env, SOFTHSM2_CONF: configuration } },
    );
  }
  process.env['SOFTHSM2_CONF'] = configuration;
  await loadLibraryBeside(libraries);
  return {
    modulePath,
    tokenLabel,
    pin: () => Buffer.from(pin),
    environment: { SOFTHSM2_CONF: configuration, LD_LIBRARY_PATH: libraries },
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}

/**
 * The module needs libcrypto.so.3, which a machine need not have: loaded before by its path, the dynamic linker takes this one, since
 * it has the name that is asked for.
 */
async function loadLibraryBeside(libraries: string): Promise<void> {
  loadLibrary(await loadNativeCalls(), join(libraries, 'libcrypto.so.3'));
}

/** `.tools` of the repository this package lies in. */
function toolsFolder(): string {
  const chosen = process.env['WAXSEAL_TOOLS_DIR'];
  if (chosen !== undefined) return chosen;
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'packages/pkcs11')) && folder !== dirname(folder)) folder = dirname(folder);
  return join(folder, '.tools');
}
