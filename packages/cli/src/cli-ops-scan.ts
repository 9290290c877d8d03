/** `waxseal scan`: what is sealed with which key, told without any key. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { parsePath } from './options.js';
import { sourceOptions } from './source-options.js';

export function addScan(program: Command): void {
  sourceOptions(
    program
      .command('scan')
      .description('What is stored how: counts and bytes by resource, provider and key. Needs no key.'),
  )
    .addOption(
      new Option('--output <format>', 'what to print')
        .choices(['text', 'json', 'csv', 'html'])
        .default('text'),
    )
    .option('--dek-sources', 'text and csv: also by DEK source (at most 1000 of each group)', false)
    .option('--require <resources>', 'exit code 1 unless every value of these is sealed', parseNames)
    .option('--policy <file>', 'the same by rules: resources, providers and keys', parsePath)
    .option(
      '--openmetrics <file>',
      'also write metrics, for the textfile collector of node_exporter; the name ends in .prom',
      parsePath,
    )
    .addHelpText(
      'after',
      `
A policy file:
  rules:
    - resources: [secrets, '*.example.com']
      providers: [kms-v2]     # default: all but identity
      keys: [key-2024]        # default: any
A field that is none of these is refused. Resources as in an EncryptionConfiguration, but a name without a group means every group.

Exit codes: 0 every rule of --policy and --require is kept, or none was given; 1 one is not; 2 --require names no resource; 3 the source or
the policy cannot be read, or is damaged.

Examples:
  $ waxseal scan --etcd https://127.0.0.1:2379 --cacert ca.crt --cert client.crt --key client.key
  $ waxseal scan --snapshot backup.db --require secrets,configmaps
  $ waxseal scan --snapshot backup.db --output html > report.html`,
    )
    .action(async (options) => (await import('./commands/scan.js')).scanCommand(options));
}

function parseNames(text: string, before: readonly string[] = []): readonly string[] {
  const names = text.split(',').map((name) => name.trim());
  if (names.includes('')) throw new InvalidArgumentError('Expected resources, as secrets,configmaps.');
  return [...before, ...names];
}
