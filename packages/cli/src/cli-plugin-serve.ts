/** `waxseal plugin serve`: several key sets by a configuration file. */
import type { Command } from 'commander';
import { logLevelOption, outputOption } from './cli-options.js';
import { parseHealthAddress, parsePath } from './options.js';

export function addServe(plugin: Command): void {
  plugin
    .command('serve')
    .description(
      'Serve the key sets of a configuration file, each on its own sockets. SIGHUP reads it again.',
    )
    .requiredOption('--config <file>', 'YAML; docs/operating/kms-plugin-config.md', parsePath)
    .option(
      '--health-port <port>',
      'where the file has no health: 8080 on 127.0.0.1, :8080 on every address (default: off)',
      parseHealthAddress,
    )
    .option('--check', 'only check the file: exit code 1 when it cannot be used', false)
    .addOption(outputOption())
    .addOption(logLevelOption())
    .addHelpText(
      'after',
      `
Example:
  $ waxseal plugin serve --config /etc/waxseal/plugin.yaml`,
    )
    .action(async (options) => (await import('./commands/plugin-serve.js')).pluginServe(options));
}
