/** `waxseal generate key|config|migration`: what holds a key goes into a new file of mode 0600, or is asked for by --stdout. */
import { randomBytes } from 'node:crypto';
import { closeSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import {
  etcdVariables,
  formatPlan,
  generateConfig,
  generateKey,
  type MigrationTarget,
  migrationPlan,
  type PlanEtcd,
  plaintextConfig,
  planMigration,
} from '@waxseal/ops';
import { usageError } from '../errors.js';
import type { OutputFormat } from '../options.js';
import { ensurePrivateDirectory, withoutSpace } from '../private-files.js';

export interface DestinationOptions {
  readonly out?: string;
  readonly stdout: boolean;
}

export interface TargetOptions {
  readonly to: MigrationTarget['kind'];
  readonly keyName?: string;
  readonly kmsName: string;
  readonly kmsEndpoint?: string;
}

/** The default of an API server. */
const KMS_TIMEOUT_MS = 3000;

export function generateKeyFile(options: DestinationOptions): void {
  write(options, `${generateKey(randomBytes)}\n`);
}

export function generateConfigFile(
  options: DestinationOptions & TargetOptions & { readonly resources: readonly string[] },
): void {
  write(options, generateConfig(options.resources, targetOf(options)));
}

export interface MigrationOptions extends TargetOptions {
  readonly from?: string;
  readonly resources?: readonly string[];
  readonly out: string;
  readonly servers?: readonly string[];
  readonly etcd?: readonly string[];
  readonly cacert?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly prefix?: string;
  readonly output: OutputFormat;
}

export async function generateMigration(options: MigrationOptions): Promise<void> {
  const { from, resources = ['secrets'], out, servers = [] } = options;
  const current =
    from === undefined
      ? { file: 'a configuration without encryption', text: plaintextConfig(resources) }
      : { file: from, text: await readFile(from, 'utf8') };
  const migration = planMigration(current, targetOf(options));
  const etcd = etcdOf(options);
  const variables = etcd === undefined ? etcdVariables : [];
  // The commands are run in the folder of the plan.
  const currentFile = from === undefined ? undefined : resolve(from);
  const steps = migrationPlan(migration, { currentFile, servers, etcd, prefix: options.prefix });
  const { writers, retiredKeys, untouched } = migration;
  const commentsKept = migration.files.every((file) => file.commentsKept);
  const files = migration.files.map(({ name, contentHash }) => ({ name, contentHash }));
  const plan = { files, writers, retiredKeys, untouched, commentsKept, variables, steps };
  ensurePrivateDirectory(out);
  const contents = [
    ...migration.files.map(({ name, text }) => [name, text] as const),
    ['README.md', formatPlan(steps, variables)] as const,
    ['plan.json', `${JSON.stringify(plan, undefined, 2)}\n`] as const,
  ];
  writeNewFiles(contents.map(([name, text]) => [join(out, name), text] as const));
  if (options.output === 'json') {
    console.log(JSON.stringify({ folder: out, ...plan }));
    return;
  }
  console.log(`${out} holds ${contents.map(([name]) => name).join(', ')}: begin with README.md.`);
  for (const entry of untouched) console.log(`Left as it is: ${entry.join(', ')}`);
  if (!commentsKept) console.log('The comments of the file could not be kept.');
}

/** As the plan's commands name it; nothing is read or asked. */
function etcdOf({ etcd, cacert, cert, key }: MigrationOptions): PlanEtcd | undefined {
  if ((cert === undefined) !== (key === undefined)) {
    throw usageError('--cert and --key belong together', 'Give both or neither.');
  }
  if (etcd === undefined) {
    if (cacert === undefined && cert === undefined) return undefined;
    throw usageError('--cacert, --cert and --key are for --etcd', 'Name etcd as --etcd https://host:2379.');
  }
  const path = (file: string | undefined): string | undefined =>
    file === undefined ? undefined : resolve(file);
  return { endpoints: etcd, cacert: path(cacert), cert: path(cert), key: path(key) };
}

/** @throws CliError without the options that the provider needs */
function targetOf({ to, keyName, kmsName, kmsEndpoint }: TargetOptions): MigrationTarget {
  if (to === 'identity') return { kind: to };
  if (to !== 'kms') {
    return { kind: to, secret: generateKey(randomBytes), ...(keyName === undefined ? {} : { keyName }) };
  }
  if (kmsEndpoint === undefined) {
    throw usageError(
      '--to kms needs --kms-endpoint',
      'Name the socket of the plugin, as unix:///run/waxseal/kms.sock.',
    );
  }
  return { kind: 'kms', name: kmsName, endpoint: kmsEndpoint, timeoutMs: KMS_TIMEOUT_MS };
}

function write({ out, stdout }: DestinationOptions, text: string): void {
  if (out !== undefined) {
    writeNewFiles([[out, text]]);
    return;
  }
  if (!stdout) {
    throw usageError(
      'say where the key goes: --out FILE, or --stdout',
      'A file gets mode 0600; a terminal keeps what it shows.',
    );
  }
  process.stdout.write(text);
}

/** All of them or none. A key that is in use may lie there: never over it. */
function writeNewFiles(files: readonly (readonly [path: string, text: string])[]): void {
  const made: string[] = [];
  try {
    for (const [path, text] of files) {
      const file = openSync(path, 'wx', 0o600);
      made.push(path);
      try {
        writeFileSync(file, text, { flush: true });
      } finally {
        closeSync(file);
      }
    }
  } catch (error) {
    for (const path of made) rmSync(path, { force: true });
    throw withoutSpace(made.at(-1) ?? '', error);
  }
}
