/** `waxseal verify` and `waxseal explain-error`: what cannot be read, and why. */
import { type Command, InvalidArgumentError } from 'commander';
import { outputOption } from './cli-options.js';
import { parsePath } from './options.js';
import { sourceOptions } from './source-options.js';

export function addVerify(program: Command): void {
  sourceOptions(
    program
      .command('verify')
      .description(
        'Open stored values by an EncryptionConfiguration; list each that cannot be read, and why.',
      ),
  )
    .requiredOption(
      '--encryption-config <file>',
      'the configuration whose keys and KMS plugins to open them with',
      parsePath,
    )
    .option('--all', 'every value (default: one per DEK source, or per key name and resource)', false)
    .option('--decode', 'also decode every opened object completely', false)
    .option('--workers <n>', 'values at once', parseWorkers, 16)
    .addOption(outputOption())
    .addHelpText(
      'after',
      `
Causes: wrong-key, moved (written under another key of etcd), authentication-failed (the key fits, the bytes were changed), truncated,
provider-missing, malformed, kms-denied, kms-disabled, kms-deleted, kms-unreachable, kms-failed. Exit code 1 when something failed.
KMS plugins are asked on the sockets of the configuration, at most once for each DEK source. KMS v1 values have a DEK each: all are opened.

Examples:
  $ waxseal verify --etcd https://127.0.0.1:2379 --cacert ca.crt --cert client.crt --key client.key --encryption-config enc.yaml
  $ waxseal verify --snapshot backup.db --encryption-config enc.yaml --all --decode --output json
  {"checked":1200,"failed":[]}`,
    )
    .action(async (options) => (await import('./commands/verify.js')).verifyCommand(options));
}

export function addExplainError(program: Command): void {
  program
    .command('explain-error')
    .argument('[text...]', 'a message or a line of a log; - or nothing: standard input')
    .description('What a message of an API server about encryption at rest means, and what to do.')
    .addOption(outputOption())
    .addHelpText(
      'after',
      `
Exit code 1 when the message is not known.

Examples:
  $ waxseal explain-error 'Internal error occurred: no matching prefix found'
  $ kubectl get secrets 2>&1 | waxseal explain-error`,
    )
    .action(async (words: readonly string[], options) =>
      (await import('./commands/explain-error.js')).explainErrorCommand(words, options),
    );
}

function parseWorkers(text: string): number {
  const workers = Number(text);
  if (!/^\d{1,4}$/.test(text) || workers < 1 || workers > 1024)
    throw new InvalidArgumentError('Expected a number from 1 to 1024.');
  return workers;
}
