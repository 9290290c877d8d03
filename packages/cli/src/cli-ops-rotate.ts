/** `waxseal retire`: may a key go? */
import { type Command, Option } from 'commander';
import { outputOption } from './cli-options.js';
import { parsePath } from './options.js';
import { sourceOptions } from './source-options.js';

/** Where `--key` means a key of the encryption, the client's key for etcd has another name. */
const ETCD_KEY = '--etcd-key';

export function addRetire(program: Command): void {
  sourceOptions(
    program
      .command('retire')
      .description('May a key be deleted? Not while a live value, an older revision or a backup needs it.')
      .requiredOption('--key <key>', 'provider:name as aescbc:key1, a KMS provider’s name, or a KMS keyID'),
    ETCD_KEY,
  )
    .option('--snapshots <dir>', 'also look into every snapshot in this folder', parsePath)
    .option('--ledger <file>', 'keeps which backup needs which keys, so that each is read once', parsePath)
    .addOption(
      new Option('--ignore-undecided', 'values whose key nobody can tell do not count').default(false),
    )
    .addOption(outputOption())
    .addHelpText(
      'after',
      `
Exit codes: 0 the key may be deleted, 1 it may not; what needs it is listed. What cannot be read counts as a need.

Examples:
  $ waxseal retire --key aescbc:key1 --etcd https://127.0.0.1:2379 --cacert ca.crt --cert client.crt ${ETCD_KEY} client.key
  $ waxseal retire --key arn:aws:kms:eu-west-1:111122223333:key/a --etcd http://127.0.0.1:2379 --snapshots /backups --ledger ledger.jsonl`,
    )
    .action(async (options) => (await import('./commands/retire.js')).retire(options));
}
