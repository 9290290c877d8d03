/**
 * `waxseal plugin PROVIDER`: one function per provider, which says its options. What runs lies in `commands/plugin-PROVIDER.ts` and is
 * loaded when it is asked for.
 */
import { type Command, Option } from 'commander';
import { logLevelOption, outputOption } from './cli-options.js';
import { parseEncryptionContext, parsePort, parseSocket } from './options.js';

/** What the plugin that this one replaces calls the same options. */
interface FormerNames {
  readonly listen?: string;
  readonly healthPort?: string;
}

const listed = (flag: string | undefined): string => (flag === undefined ? '' : `${flag}, `);

/** What every provider's command takes: `ServeOptions` of `commands/plugin-serve-key.ts`. */
const serveOptions = (command: Command, former: FormerNames = {}): Command =>
  command
    .requiredOption(
      `${listed(former.listen)}--listen <socket>`,
      'unix socket: a path, unix:///path or @abstract',
      parseSocket,
    )
    .option(
      `${listed(former.healthPort)}--health-port <n>`,
      'health and metrics on 127.0.0.1 (default: off)',
      parsePort,
    )
    .addOption(
      new Option(
        '--status-version <version>',
        'what v2 Status answers; must not change under a running API server',
      )
        .choices(['v2', 'v2beta1'])
        .default('v2'),
    )
    .addOption(outputOption())
    .addOption(logLevelOption());

const collect = (value: string, before: readonly string[] = []): readonly string[] => [...before, value];

const awsOptions = (command: Command): Command =>
  serveOptions(command)
    .requiredOption('--key <id>', 'key id, ARN or alias; also the keyId the API server sees')
    .option('--region <region>', 'AWS region (default: from the environment)')
    .option('--kms-endpoint <url>', 'another endpoint than the region’s')
    .option('--ca-file <file>', 'PEM authority of that endpoint')
    .option('--credentials-file <file>', 'AWS shared credentials file (default: the SDK’s own chain)')
    .option('--profile <name>', 'profile in that file')
    .option('--encryption-context <k=v,…>', 'encryption context of every call', parseEncryptionContext);

export function addLocal(plugin: Command): void {
  serveOptions(plugin.command('local').description('Wrap DEKs under a keyring file on this machine.'))
    .requiredOption('--keyring <file>', 'keyring file (0600); made when it is missing')
    .addHelpText(
      'after',
      `
Example:
  $ waxseal plugin local --keyring ./keyring.yaml --listen unix:///run/waxseal/kms.sock --health-port 8080`,
    )
    .action(async (options) => (await import('./commands/plugin-local.js')).pluginLocal(options));
}

export function addAws(plugin: Command): void {
  awsOptions(plugin.command('aws').description('Wrap DEKs with AWS KMS.'))
    .addHelpText(
      'after',
      `
Example:
  $ waxseal plugin aws --key alias/cluster --region eu-central-1 --listen unix:///run/waxseal/kms.sock`,
    )
    .action(async (options) => (await import('./commands/plugin-aws.js')).pluginAws(options));
}

export function addWaxseal(plugin: Command): void {
  awsOptions(plugin.command('waxseal').description('Wrap DEKs with a Waxseal key service.'))
    .addHelpText(
      'after',
      `
Example:
  $ waxseal plugin waxseal --key alias/waxseal --kms-endpoint https://127.0.0.1:6444 \\
      --ca-file ./demo/pki/ca.crt --credentials-file ./demo/aws-credentials --profile plugin --listen ./kms.sock`,
    )
    .action(async (options) => (await import('./commands/plugin-waxseal.js')).pluginWaxseal(options));
}

export function addGcp(plugin: Command): void {
  serveOptions(plugin.command('gcp').description('Wrap DEKs with Google Cloud KMS.'), {
    listen: '--path-to-unix-socket',
    healthPort: '--healthz-port',
  })
    .requiredOption(
      '--key-uri, --key <name>',
      'projects/…/locations/…/keyRings/…/cryptoKeys/… (with /cryptoKeyVersions/N: that version only)',
    )
    .option('--decrypt-key <name>', 'a further key whose values may be read; may be repeated', collect)
    .option('--key-suffix <text>', 'put behind the key id after a colon, for a version that is in use again')
    .option('--aad <text>', 'bound to every ciphertext; must stay the same')
    .option(
      '--credentials-file <file>',
      'service account key, workload identity federation or impersonation (default: application default credentials)',
    )
    .option('--kms-endpoint <url>', 'another endpoint than https://cloudkms.googleapis.com')
    .option('--universe-domain <domain>', 'of a sovereign cloud (default: googleapis.com)')
    .addHelpText(
      'after',
      `
Takes the place of k8s-cloudkms-plugin with its --key-uri, --key-suffix, --path-to-unix-socket and --healthz-port; then give
--status-version v2beta1 too. Reads what it wrote, and it reads what this writes without --aad.

Example:
  $ waxseal plugin gcp --listen unix:///run/waxseal/kms.sock \\
      --key projects/acme/locations/europe-west1/keyRings/clusters/cryptoKeys/prod`,
    )
    .action(async (options) => (await import('./commands/plugin-gcp.js')).pluginGcp(options));
}
