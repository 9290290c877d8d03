/** `waxseal residue`: plaintext and old-key values that lie where no reader of the API sees them. */
import type { Command } from 'commander';
import { outputOption } from './cli-options.js';
import { parsePath } from './options.js';
import { sourceOptions } from './source-options.js';

export function addResidue(program: Command): void {
  sourceOptions(
    program
      .command('residue')
      .description(
        'What is left behind: plaintext and values under old keys, and what removes them. Needs no key.',
      ),
  )
    .option(
      '--data-dir-etcd <dir>',
      'the --data-dir of a member of etcd that is stopped, or a copy: database, WAL and snapshots of raft',
      parsePath,
    )
    .option(
      '--snapshots <dir>',
      'with --etcd, --data-dir or --data-dir-etcd: a folder of backups, each compared with what is live',
      parsePath,
    )
    .option(
      '--fix',
      'with --etcd: compact, defragment every endpoint in turn, and look again; with --data-dir: write its file anew',
      false,
    )
    .option('--disarm', 'with --etcd --fix: take the alarm NOSPACE off afterwards', false)
    .option(
      '--marker <file>',
      'search the files also for this secret, in the clear and as base64; a last newline does not count',
      parsePath,
    )
    .addOption(outputOption())
    .addHelpText(
      'after',
      `
Left behind is a value that is not stored as the newest live value of its resource is.

  --etcd            live values that a rewrap has not reached, and older revisions that are not yet compacted
  --data-dir        the same, and the free pages of the store's file
  --snapshot        the same, and the file's free pages
  --data-dir-etcd   the same, and the write-ahead log

A live etcd shows live values and history only. A snapshot taken from it has the free pages of the member that it was taken from.
With --etcd --fix, name every member by its own address: each answers nobody while its database file is written anew.

Exit codes: 0 nothing was found; 1 something was, or a file is not whole or no snapshot; 3 the source cannot be read or is damaged.

Examples:
  $ waxseal residue --etcd https://127.0.0.1:2379 --cacert ca.crt --cert client.crt --key client.key --fix
  $ waxseal residue --data-dir-etcd /var/lib/etcd --snapshots /var/backups/etcd
  $ waxseal residue --snapshot backup.db --output json`,
    )
    .action(async (options) => (await import('./commands/residue.js')).residue(options));
}
