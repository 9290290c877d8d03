/** `waxseal generate`: keys, configurations, and the files of a migration. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { outputOption } from './cli-options.js';
import { etcdOption } from './etcd-access.js';
import { parsePath, parseResource } from './options.js';

const TARGETS = ['secretbox', 'aesgcm', 'aescbc', 'kms', 'identity'] as const;

export function addGenerate(program: Command): void {
  const generate = program
    .command('generate')
    .description(
      'Keys, EncryptionConfigurations, and the files of a migration. Keys go into files of mode 0600.',
    )
    .addHelpText(
      'after',
      '\nExample:\n  $ waxseal generate migration --from enc.yaml --to secretbox --out phases',
    );
  generate
    .command('key')
    .description('32 random bytes in base64: a secret for aescbc, aesgcm or secretbox.')
    .addOption(outOption('a new file, mode 0600'))
    .option('--stdout', 'print it', false)
    .addHelpText('after', '\nExample:\n  $ waxseal generate key --out key1')
    .action(async (options) => (await import('./commands/generate.js')).generateKeyFile(options));
  targetOptions(
    generate
      .command('config')
      .description('A first configuration: the provider writes, and plaintext is still read.')
      .addOption(resourcesOption().default(DEFAULT_RESOURCES, 'secrets')),
  )
    .addOption(outOption('a new file, mode 0600'))
    .option('--stdout', 'print it, key included', false)
    .addHelpText(
      'after',
      `
For a new cluster, or one API server. With several, let them change over with generate migration.

Example:
  $ waxseal generate config --to secretbox --resources secrets,configmaps --out enc.yaml`,
    )
    .action(async (options) => (await import('./commands/generate.js')).generateConfigFile(options));
  targetOptions(
    generate
      .command('migration')
      .description(
        'Three files that lead from one configuration to another, and the plan with the checks between.',
      )
      .addOption(
        new Option('--from <file>', 'the configuration in force (default: nothing is encrypted)').argParser(
          parsePath,
        ),
      )
      .addOption(resourcesOption().conflicts('from')),
  )
    .requiredOption('--out <folder>', 'where the files go; made when it is missing', parsePath)
    .addOption(etcdOption())
    .option('--cacert <file>', 'PEM authority of the etcd servers, for the commands of the plan', parsePath)
    .option('--cert <file>', 'PEM client certificate for etcd', parsePath)
    .option('--key <file>', 'PEM key of that certificate', parsePath)
    .option('--prefix <prefix>', "the API server's --etcd-prefix, where it is not /registry", parsePath)
    .option('--servers <urls>', 'API servers, as https://a:6443,https://b:6443, for the checks', parseServers)
    .addOption(outputOption())
    .addHelpText(
      'after',
      `
Writes 01-add-read-key.yaml, 02-promote.yaml, 03-after-rewrap.yaml, README.md and plan.json, all of mode 0600, and never over
a file that is there. Comments stay where the YAML has no anchors. An entry of identity alone beside others is left as it is.
Nothing is asked of etcd: --etcd and its certificates only stand in the commands of the plan. Without it they name $ETCD.

Examples:
  $ waxseal generate migration --from enc.yaml --to kms --kms-endpoint unix:///run/waxseal/kms.sock --out phases
  $ waxseal generate migration --to secretbox --resources secrets --out phases`,
    )
    .action(async (options) => (await import('./commands/generate.js')).generateMigration(options));
}

const outOption = (what: string): Option =>
  new Option('--out <file>', what).argParser(parsePath).conflicts('stdout');

const DEFAULT_RESOURCES: readonly string[] = ['secrets'];

const resourcesOption = (): Option =>
  new Option('--resources <list>', "what is encrypted, as secrets,deployments.apps or '*.*'").argParser(
    parseResources,
  );

const targetOptions = (command: Command): Command =>
  command
    .addOption(new Option('--to <provider>', 'what writes').choices(TARGETS).makeOptionMandatory())
    .option('--key-name <name>', 'name of the new key (default: key1, or the next number that is free)')
    .option('--kms-name <name>', 'name of the KMS provider: part of every stored value', 'waxseal')
    .option('--kms-endpoint <url>', "the KMS plugin's socket, as unix:///run/waxseal/kms.sock");

/** Wildcards too: the configuration's own rules decide. */
function parseResources(text: string, before: readonly string[] = []): readonly string[] {
  const names = text.split(',').map((name) => {
    if (!name.startsWith('*')) parseResource(name);
    return name;
  });
  // Commander hands over the default as what came before.
  return before === DEFAULT_RESOURCES ? names : [...before, ...names];
}

function parseServers(text: string, before: readonly string[] = []): readonly string[] {
  const servers = text.split(',');
  if (!servers.every((server) => /^https:\/\/[^\s/]+\/?$/.test(server))) {
    throw new InvalidArgumentError('Expected https://host:6443,https://host:6443.');
  }
  return [...before, ...servers];
}
