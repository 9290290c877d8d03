/** `waxseal lint`. */
import { type Command, Option } from 'commander';
import { outputOption } from './cli-options.js';
import { parsePath } from './options.js';
import { sourceOptions } from './source-options.js';

export function addLint(program: Command): void {
  sourceOptions(
    program
      .command('lint')
      .argument('<file>', 'EncryptionConfiguration, YAML or JSON', parsePath)
      .description(
        'What is invalid or weak in an EncryptionConfiguration, and what a change to it makes unreadable.',
      )
      .addOption(
        new Option(
          '--against <file>',
          'the file in force now: also say what changing from it makes unreadable',
        ).argParser(parsePath),
      )
      .option('--one-server', 'one API server: none reads with the old file while others write', false)
      .addOption(
        new Option('--fail-on <severity>', 'exit code 1 from this severity on')
          .choices(['error', 'warning', 'info'])
          .default('error'),
      ),
    { endpointsFromEnvironment: false },
  )
    .addOption(outputOption())
    .addHelpText(
      'after',
      `
With --etcd, --snapshot or --data-dir the stored values are counted, without any key, and findings say how many they concern.

Examples:
  $ waxseal lint /etc/kubernetes/enc/enc.yaml --fail-on warning
  $ waxseal lint new.yaml --against /etc/kubernetes/enc/enc.yaml --snapshot backup.db --output json`,
    )
    .action(async (file: string, options) => (await import('./commands/lint.js')).lint(file, options));
}
