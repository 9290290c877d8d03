/** `waxseal plugin explain`: the commands of the providers once more, with their options, to try the keys instead of serving them. */
import { EventEmitter } from 'node:events';
import { Command, InvalidArgumentError, Option } from 'commander';
import { outputOption } from './cli-options.js';
import { addAws } from './cli-plugin-aws.js';
import { addLocal, addPkcs11 } from './cli-plugin-machine.js';
import { addAzure, addGcp, addVault, addWaxseal } from './cli-plugin-providers.js';
import { parsePath } from './options.js';

const providers = [addLocal, addAws, addWaxseal, addAzure, addGcp, addVault, addPkcs11];
/** What only serving needs. */
const servingOptions = [
  'listen',
  'healthPort',
  'socketGroup',
  'statusVersion',
  'healthzPath',
  'livezPath',
  'failOnPendingDeletion',
];

const sealedOption = (): Option =>
  new Option('--sealed <base64>', 'encryptedDEKSource of a stored value, which some key must open').argParser(
    parseBase64,
  );

export function addExplain(plugin: Command): void {
  const explain = plugin
    .command('explain')
    .usage('[options] | PROVIDER [options]')
    .description(
      'Try every key and operation, and say in a sentence each what is wrong; exit code 1 unless all work.',
    )
    .option('--config <file>', 'the file of `waxseal plugin serve`', parsePath)
    .addOption(sealedOption())
    .addOption(outputOption())
    .addHelpText(
      'after',
      `
Takes the options of \`waxseal plugin PROVIDER\`, or the file of \`waxseal plugin serve\`. Each key is described, wraps 32 random
bytes and unwraps them; nothing is stored, and nothing is served.

Examples:
  $ waxseal plugin explain aws --key alias/cluster --region eu-central-1
  $ waxseal plugin explain --config /etc/waxseal/plugin.yaml`,
    )
    .action(async (options) => (await import('./commands/plugin-explain.js')).pluginExplain(options));
  for (const add of providers) explain.addCommand(explaining(add, explain));
}

/** The command that serves, made to explain; `serveKeySets` sees that by its option `explain`. */
function explaining(add: (parent: Command) => void, explain: Command): Command {
  const draft = new Command();
  add(draft);
  const [provider] = draft.commands;
  if (provider === undefined) throw new Error('a provider without a command');
  const command = provider.commands.find((one) => one.name() === 'serve') ?? provider;
  for (const option of command.options) {
    if (servingOptions.includes(option.attributeName())) option.makeOptionMandatory(false).hideHelp();
  }
  // Examples of serving.
  if (command instanceof EventEmitter) command.removeAllListeners('afterHelp');
  return command
    .name(provider.name())
    .usage('[options]')
    .description(`As \`waxseal plugin ${provider.name()}\`, to try the key instead of serving it.`)
    .copyInheritedSettings(explain)
    .addOption(sealedOption())
    .setOptionValue('explain', true);
}

function parseBase64(text: string): Buffer {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.length === 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(text))
    throw new InvalidArgumentError('Expected base64.');
  return bytes;
}
