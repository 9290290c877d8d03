/** `waxseal kms principal add`: a user with an access key in the principals file. */
import { randomBytes } from 'node:crypto';
import { readFileSync, realpathSync } from 'node:fs';
import { createAccessKey, findRunningKeyService, parsePrincipals } from '@waxseal/key-service';
import { isMap, isSeq, parseDocument, type YAMLMap, type YAMLSeq } from 'yaml';
import { CliError, exitCodes } from '../errors.js';
import type { OutputFormat } from '../options.js';
import { existingDataDir } from '../parts/running-key-service.js';
import { writePrivateFile } from '../private-files.js';
import type { DataDir } from '../up/data-dir.js';

export interface PrincipalAddOptions {
  readonly dataDir: string;
  readonly config?: string;
  readonly account?: string;
  /** Names of managed policies, or files with policy documents. */
  readonly policy: readonly string[];
  readonly output: OutputFormat;
}

export async function addPrincipal(name: string, options: PrincipalAddOptions): Promise<void> {
  const dataDir = existingDataDir(options.dataDir);
  const path = options.config ?? dataDir.principals;
  const before = readFileSync(path, 'utf8');
  parsePrincipals(before);
  // A document keeps the comments and the order somebody gave the file.
  const document = parseDocument(before);
  const account = findAccount(document.get('accounts'), options.account, path);
  const users = listOf(account, 'users');
  if (users.items.some((user) => isMap(user) && user.get('name') === name)) {
    throw new CliError(`${path} has a user ${name} already`, 'Choose another name.', exitCodes.usage);
  }
  const accessKey = createAccessKey(randomBytes);
  users.add(document.createNode({ name, accessKeys: [accessKey], policies: options.policy.map(readPolicy) }));
  const text = document.toString({ lineWidth: 0 });
  // What the service would refuse to start with is never written.
  parsePrincipals(text);
  writePrivateFile(path, text);
  const running = await tellRunning(dataDir, path);
  const arn = `arn:aws:iam::${String(account.get('id'))}:user/${name}`;
  console.log(
    options.output === 'json'
      ? JSON.stringify({
          arn,
          accessKeyId: accessKey.id,
          secretAccessKey: accessKey.secret,
          running,
        })
      : `${arn} is added. Its access key, shown this once:

  aws_access_key_id = ${accessKey.id}
  aws_secret_access_key = ${accessKey.secret}

${
  running === undefined
    ? 'No service runs on the data directory; the next start knows it.'
    : running
      ? 'The running service knows it.'
      : 'The service that runs on the data directory uses another file: it does not know it.'
}
`,
  );
}

/** Has the service that runs there read the file; undefined when none runs, false when it uses another file. */
async function tellRunning(dataDir: DataDir, path: string): Promise<boolean | undefined> {
  const service = await findRunningKeyService(dataDir.keyService);
  if (service === undefined) return undefined;
  const { config } = await service.reload();
  return typeof config === 'string' && realpathSync(config) === realpathSync(path);
}

function findAccount(accounts: unknown, id: string | undefined, path: string): YAMLMap {
  const all = isSeq(accounts) ? accounts.items.filter((item) => isMap(item)) : [];
  const found =
    id === undefined && all.length === 1 ? all[0] : all.find((account) => account.get('id') === id);
  if (found === undefined) {
    const ids = all.map((account) => String(account.get('id'))).join(', ');
    throw new CliError(
      id === undefined ? `${path} has ${all.length} accounts` : `${path} has no account ${id}`,
      `Give --account with one of: ${ids}`,
      exitCodes.usage,
    );
  }
  return found;
}

function listOf(account: YAMLMap, member: string): YAMLSeq {
  const present = account.get(member);
  if (isSeq(present)) return present;
  account.set(member, []);
  return account.get(member) as YAMLSeq;
}

function readPolicy(policy: string): unknown {
  if (!/[./]/.test(policy)) return policy;
  try {
    return JSON.parse(readFileSync(policy, 'utf8')) as unknown;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new CliError(
      `${policy} is not JSON`,
      'Give the name of a managed policy, or a policy document.',
      exitCodes.usage,
    );
  }
}
