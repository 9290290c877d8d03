/** `waxseal plugin aws`: the options of aws-encryption-provider, with its defaults, and a few more. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { keyLossOptions, logLevelOption, outputOption, socketGroupOption } from './cli-options.js';
import { parseHealthAddress, parseSocket } from './options.js';

export function addAws(plugin: Command): void {
  keyLossOptions(
    plugin.command('aws').description('Wrap DEKs with AWS KMS; takes the place of aws-encryption-provider.'),
  )
    .requiredOption(
      '--key <id>',
      'key ARN, id or alias, also the keyId the API server sees; repeated or parted by commas, with as many --listen',
      collectList,
    )
    .option(
      '--listen <socket>',
      'unix socket of the key in the same place (default: /var/run/kmsplugin/socket.sock)',
      collectSockets,
    )
    .option('--encryption-context <k=v,…>', 'of the key in the same place; may be repeated', collect)
    .option(
      '--decrypt-key <id>',
      'ARN or id; values of other keys are refused then; may be repeated',
      collectList,
    )
    .option('--region <region>', 'AWS region (default: the environment’s, or that of the key’s ARN)')
    .option('--kms-endpoint <url>', 'another endpoint than the region’s')
    .option('--source-arn <arn>', 'sent as x-amz-source-arn, and its account as x-amz-source-account')
    .option('--ca-file <file>', 'PEM authority of that endpoint')
    .option('--credentials-file <file>', 'AWS shared credentials file (default: the SDK’s own chain)')
    .option('--profile <name>', 'profile in that file')
    .addOption(
      new Option('--health-port <port>', 'health and metrics: 8080 on 127.0.0.1, :8080 on every address')
        .argParser(parseHealthAddress)
        .default({ host: '', port: 8080 }, ':8080'),
    )
    .option('--healthz-path <path>', 'another path for /healthz', parseUrlPath, '/healthz')
    .option('--livez-path <path>', 'another path for /livez', parseUrlPath, '/livez')
    .option('--qps-limit <n>', 'calls in a second; 0: no limit', parseCount, 0)
    .option('--burst-limit <n>', 'calls at once after a pause; 0: as many as in a second', parseCount, 0)
    .option('--retry-token-capacity <n>', 'retries between successes, at 5 a retry; 0: 500', parseCount, 0)
    .option(
      '--kms-versions <list>',
      'v1, v2 or v1:v2 of the key in the same place (default: both)',
      collectList,
    )
    .addOption(
      new Option(
        '--health-kms-version <version>',
        'the version whose health counts: one probe speaks for both, so it only has to be served',
      ).choices(['v1', 'v2']),
    )
    .option('--debug', 'as --log-level debug', false)
    .addOption(socketGroupOption())
    .addOption(
      new Option(
        '--status-version <version>',
        'what v2 Status answers; must not change under a running API server',
      )
        .choices(['v2', 'v2beta1'])
        .default('v2beta1'),
    )
    .addOption(outputOption())
    .addOption(logLevelOption())
    .addHelpText(
      'after',
      `
Every flag of aws-encryption-provider means what it means there. Its health port listens on every address of the machine by
default; --health-port 8080 keeps it on 127.0.0.1.

Examples:
  $ waxseal plugin aws --key arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab
  $ waxseal plugin aws --key alias/old,alias/new --listen /run/waxseal/old.sock,/run/waxseal/new.sock --health-port 8083`,
    )
    .action(async (options) => (await import('./commands/plugin-aws.js')).pluginAws(options));
}

const collect = (text: string, before: readonly string[] = []): readonly string[] => [...before, text];

/** Repeated, parted by commas, or both. */
function collectList(text: string, before: readonly string[] = []): readonly string[] {
  const items = text.split(',').map((item) => item.trim());
  if (items.includes('')) throw new InvalidArgumentError('Expected a list parted by commas, without gaps.');
  return [...before, ...items];
}

const collectSockets = (text: string, before?: readonly string[]): readonly string[] => [
  ...(before ?? []),
  ...collectList(text).map(parseSocket),
];

function parseCount(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('Expected a whole number.');
  return Number(text);
}

function parseUrlPath(text: string): string {
  if (!/^\/[\w./-]{1,200}$/.test(text)) throw new InvalidArgumentError('Expected a path, as /healthz.');
  return text;
}
