/** `waxseal plugin conformance`: checks any KMS plugin against the contract. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { parseSocket } from './options.js';

export function addConformance(plugin: Command): void {
  plugin
    .command('conformance')
    .argument('[socket]', 'unix:///path, a path or @abstract of a plugin that runs', parseSocket)
    .description(
      'Check any KMS plugin against the contract, v1beta1 and v2; exit code 1 unless all of it holds.',
    )
    .addOption(
      new Option('--output <format>', 'what to print').choices(['text', 'json', 'junit']).default('text'),
    )
    .option('--only <checks>', 'ids, or their beginning (v2, limits), parted by commas', parseIds)
    .option('--skip <checks>', 'the same, for what is left out', parseIds)
    .option('--list', 'list the checks and the rules they are of', false)
    .option('--in-flight <n>', 'calls at once under load', parseCount(1, 1024), 64)
    .option('--load-seconds <n>', 'how long load lasts', parseCount(1, 3600), 5)
    .option('--timeout <seconds>', 'how long the API server waits for an answer', parseCount(1, 600), 3)
    .option('--wait-seconds <n>', 'how long a restart or an outage may take to show', parseCount(1, 3600), 30)
    .option(
      '--restart-command <command>',
      'a shell command that restarts the plugin: then restarts are checked',
    )
    .option('--break-command <command>', 'a shell command that takes its key backend away')
    .option('--heal-command <command>', 'and one that brings it back: then outages are checked')
    .option('--seed <text>', 'of all random bytes, to repeat a run (default: another each time)')
    .addHelpText(
      'after',
      `
The plugin must run with a key that works. It is sent broken requests and much of everything: do not aim this at a plugin that
an API server depends on. What is not run is never counted as kept.

Examples:
  $ waxseal plugin conformance unix:///run/waxseal/kms.sock
  $ waxseal plugin conformance unix:///run/kms.sock --output junit > conformance.xml
  $ waxseal plugin conformance /run/kms.sock --restart-command 'systemctl restart kms-plugin' --only restart`,
    )
    .action(async (socket: string | undefined, options) =>
      (await import('./commands/plugin-conformance.js')).pluginConformance(socket, options),
    );
}

function parseIds(text: string): readonly string[] {
  const ids = text.split(',').map((id) => id.trim());
  if (ids.includes(''))
    throw new InvalidArgumentError('Expected ids parted by commas, as v2.round-trip,limits.');
  return ids;
}

const parseCount =
  (min: number, max: number) =>
  (text: string): number => {
    const count = Number(text);
    if (!/^\d{1,6}$/.test(text) || count < min || count > max)
      throw new InvalidArgumentError(`Expected a whole number, ${min} to ${max}.`);
    return count;
  };
