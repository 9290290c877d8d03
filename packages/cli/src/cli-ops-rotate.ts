/** `waxseal rotate`: from one key to the next; `waxseal retire`: may a key go? */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { outputOption } from './cli-options.js';
import { etcdAccessOptions, etcdOnlyOption } from './etcd-access.js';
import { parsePath } from './options.js';
import { prefixOption, sourceOptions } from './source-options.js';

/** Where `--key` means a key of the encryption, the client's key for etcd has another name. */
const ETCD_KEY = '--etcd-key';

export function addRetire(program: Command): void {
  sourceOptions(
    program
      .command('retire')
      .description('May a key be deleted? Not while a live value, an older revision or a backup needs it.')
      .requiredOption(
        '--key <key>',
        'provider:name as aescbc:key1, a KMS provider’s name, or a KMS keyID',
        collectKey,
      ),
    { keyFlag: ETCD_KEY },
  )
    .option('--snapshots <dir>', 'also look into every snapshot in this folder', parsePath)
    .option('--ledger <file>', 'keeps which backup needs which keys, so that each is read once', parsePath)
    .option(
      '--encryption-config <file>',
      'refuse a key that is not in it (KMS keyIDs are in none)',
      parsePath,
    )
    .addOption(
      new Option('--ignore-undecided', 'values whose key nobody can tell do not count').default(false),
    )
    .addOption(outputOption())
    .addHelpText(
      'after',
      `
With --cert, a second --key that is a file is the certificate's key, as for etcdctl: the same as ${ETCD_KEY}.

Exit codes: 0 the key may be deleted, 1 it may not; what needs it is listed. What cannot be read counts as a need.
A key that nothing names may be deleted, and may be misspelt: the answer says so, and lists the keys that occur.

Examples:
  $ waxseal retire --key aescbc:key1 --etcd https://127.0.0.1:2379 --cacert ca.crt --cert client.crt ${ETCD_KEY} client.key
  $ waxseal retire --key arn:aws:kms:eu-west-1:111122223333:key/a --etcd http://127.0.0.1:2379 --snapshots /backups --ledger ledger.jsonl`,
    )
    .action(async (options) => (await import('./commands/retire.js')).retire(options));
}

const collectKey = (key: string, others: readonly string[] = []): readonly string[] => [...others, key];

const stateOption = (): Option =>
  new Option('--state <file>', 'where the rotation stands (mode 0600; holds its keys until the end)')
    .argParser(parsePath)
    .makeOptionMandatory();

export function addRotate(program: Command): void {
  const rotate = program
    .command('rotate')
    .description('The whole way from one key to the next, step by step; killed anywhere, it goes on.')
    .addHelpText(
      'after',
      `
  plan     says what is wanted, on disk, and touches nothing
  run      goes as far as it can: new key readable, proved on every server, promoted, proved, rewrapped, verified
  status   says where it stands, and what happens next
  finish   removes the old key from the configuration, once retire says yes
  abandon  turns back: the file as it was, or, once the new key writes, a rotation to the old one; then run goes that way

Exit codes of run and finish: 0 done, 1 something is not yet as it must be (run it again), 3 something is missing.

Example:
  $ waxseal rotate plan --state r.json --config-file enc.yaml --add-key secretbox
  $ waxseal rotate run --state r.json --etcd http://127.0.0.1:2379 --servers https://10.0.0.1:6443,https://10.0.0.2:6443
  $ waxseal rotate finish --state r.json --etcd http://127.0.0.1:2379 --servers https://10.0.0.1:6443,https://10.0.0.2:6443`,
    );
  rotate
    .command('plan')
    .description('What is wanted: one of --add-key, --to-kms, --to-identity, --target, --kms-key-id.')
    .addOption(stateOption())
    .requiredOption('--config-file <file>', 'the EncryptionConfiguration in force', parsePath)
    .addOption(new Option('--add-key <provider[:name]>', 'a new random key of aescbc, aesgcm or secretbox'))
    .option('--to-kms <name=…,endpoint=unix://…>', 'a KMS v2 provider; also timeout=3s')
    .option('--to-identity', 'back to plaintext')
    .option('--target <file>', 'the EncryptionConfiguration to end with', parsePath)
    .option('--kms-key-id <name=keyID>', 'the KMS has a new key: wait for it, then rewrap')
    .addOption(outputOption())
    .action(async (options) => (await import('./commands/rotate-plan.js')).rotatePlan(options));
  runOptions(rotate.command('run').description('Goes on as far as it can, up to the old key as a reader.'))
    .addOption(outputOption())
    .action(async (options) => (await import('./commands/rotate.js')).rotate(options, false));
  runOptions(rotate.command('finish').description('Goes on, and removes the old key when nothing needs it.'))
    .option('--snapshots <dir>', 'a snapshot in this folder that needs the old key is a no', parsePath)
    .option('--ledger <file>', 'keeps which backup needs which keys', parsePath)
    .addOption(outputOption())
    .action(async (options) => (await import('./commands/rotate.js')).rotate(options, true));
  rotate
    .command('status')
    .description('Where a rotation stands. Needs nothing but its state.')
    .addOption(stateOption())
    .addOption(outputOption())
    .action(async (options) => (await import('./commands/rotate.js')).rotateStatus(options));
  rotate
    .command('abandon')
    .description(
      'Turns back, as long as the old key is there. Changes the plan alone: run goes the way back.',
    )
    .addOption(stateOption())
    .addOption(outputOption())
    .action(async (options) => (await import('./commands/rotate.js')).rotateAbandon(options));
}

const runOptions = (command: Command): Command =>
  etcdAccessOptions(command.addOption(stateOption()).addOption(etcdOnlyOption()).addOption(prefixOption()))
    .option(
      '--servers <urls>',
      'every API server by its own address; each is asked at /metrics',
      parseServers,
    )
    .option('--server-ca <file>', 'PEM authority of the API servers', parsePath)
    .option('--server-token-file <file>', 'bearer token that may read /metrics', parsePath)
    .option('--server-cert <file>', 'PEM client certificate for the API servers', parsePath)
    .option('--server-key <file>', 'PEM key of that certificate', parsePath)
    .option('--confirm <hash>', 'I have seen to it that every server has exactly this in force')
    .option('--wait-seconds <n>', 'how long to ask the servers (they look every minute)', parseSeconds, 180)
    .option('--rate <n>', 'writes a second of the rewrap at most (default: no limit)', parseRate)
    .option('--hook <command>', 'distributes the file; $1 is the file, $2 its hash; may be run twice');

/** One that is not asked would prove nothing, so an option that is repeated adds to the others. */
function parseServers(text: string, before: readonly string[] = []): readonly string[] {
  const servers = text.split(',').map((each) => {
    const url = URL.canParse(each) ? new URL(each) : undefined;
    if (url === undefined || (url.protocol !== 'https:' && url.protocol !== 'http:'))
      throw new InvalidArgumentError('Expected https://host:6443,https://host:6443.');
    return url.origin;
  });
  return [...before, ...servers];
}

function parseRate(text: string): number {
  const rate = Number(text);
  if (!/^\d{1,7}$/.test(text) || rate < 1 || rate > 1_000_000)
    throw new InvalidArgumentError('Expected a number from 1 to 1000000.');
  return rate;
}

function parseSeconds(text: string): number {
  if (!/^\d{1,6}$/.test(text)) throw new InvalidArgumentError('Expected a number of seconds.');
  return Number(text);
}
