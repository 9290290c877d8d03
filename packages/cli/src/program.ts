/**
 * The `waxseal` command line: every command with its options. What a command needs is imported when it runs, so that `--help` and a fast
 * start stay fast.
 */
import { Command, Option } from 'commander';
import { addAudit, addKms } from './cli-kms.js';
import { addOperations } from './cli-ops.js';
import { addPlugin } from './cli-plugin.js';
import {
  dataDirOption,
  logLevelOption,
  outputOption,
  rootKeyOptions,
  storageOptions,
} from './cli-options.js';
import { exitCodes } from './errors.js';
import { parsePort, parseResource } from './options.js';

const apiServerOptions = (command: Command): Command =>
  storageOptions(command)
    .addOption(
      new Option(
        '--encryption-provider-config <file>',
        'EncryptionConfiguration (default: in the data directory)',
      ),
    )
    .option('--kms-v1', 'allow KMS v1 providers (deprecated upstream; off by default there too)', false);

/** Parsing throws commander's errors instead of ending the process. */
export function createProgram(): Command {
  const program = new Command('waxseal')
    .description('Envelope encryption at rest for Kubernetes API data.')
    .version('0.1.0')
    .showHelpAfterError('(add --help for the options)')
    // Subcommands inherit this only when it is set before they are made.
    .exitOverride()
    .enablePositionalOptions()
    .addHelpText(
      'after',
      `
Exit codes:
  0  done
  ${exitCodes.negative}  the answer is no (an invalid configuration, a failed check)
  ${exitCodes.usage}  the command line is wrong
  ${exitCodes.environment}  something it needs is missing or does not work; the message says what to do
  130  stopped by Ctrl-C or SIGTERM

Example:
  $ waxseal up --data-dir ./demo`,
    );
  addUp(program);
  addKms(program);
  addAudit(program);
  addPlugin(program);
  addApiServer(program);
  addConfig(program);
  addTransform(program);
  addOperations(program);
  return program;
}

function addUp(program: Command): void {
  rootKeyOptions(
    apiServerOptions(
      program
        .command('up')
        .description(
          'Key service, KMS plugin, API server and etcd front in one process over one data directory.',
        )
        .addOption(dataDirOption())
        .option('--api-port <n>', 'Kubernetes API (0: a free port)', parsePort, 6443)
        .option('--kms-port <n>', 'key service', parsePort, 6444)
        .option('--etcd-port <n>', 'etcd front', parsePort, 6445)
        .option(
          '--plugin-health-port <n>',
          'health and metrics of the plugin (0: a free port; default: off)',
          parsePort,
        )
        .addOption(outputOption())
        .option('--kms-health-port <n>', 'health and metrics of the key service (default: off)', parsePort)
        .addOption(logLevelOption()),
    ),
  )
    .addHelpText(
      'after',
      `
Keeps everything in the data directory; a second start on it finds everything again. Ctrl-C ends it cleanly.
With --output json, one JSON line says where everything listens once it does.

Examples:
  $ waxseal up
  $ waxseal up --data-dir ./demo --api-port 0 --kms-port 0 --etcd-port 0 --output json
  $ waxseal up --storage etcd://127.0.0.1:2379`,
    )
    .action(async (options) => (await import('./commands/up.js')).up(options));
}

function addApiServer(program: Command): void {
  apiServerOptions(
    program
      .command('apiserver')
      .description('The Kubernetes API alone, sealing what it stores as an EncryptionConfiguration says.')
      .addOption(dataDirOption())
      .option('--port <n>', 'HTTPS port (0: a free port)', parsePort, 6443)
      .addOption(outputOption())
      .addOption(logLevelOption()),
  )
    .addHelpText(
      'after',
      `
Example:
  $ waxseal apiserver --data-dir ./demo --encryption-provider-config ./encryption-config.yaml`,
    )
    .action(async (options) => (await import('./commands/apiserver.js')).apiServer(options));
}

function addConfig(program: Command): void {
  program
    .command('config')
    .description('EncryptionConfiguration files.')
    .addHelpText('after', '\nExample:\n  $ waxseal config check encryption-config.yaml')
    .command('check')
    .argument('<file>', 'YAML or JSON')
    .description("Check a file by kube-apiserver's rules; exit code 1 when it would be refused.")
    .option('--kms-v1', 'allow KMS v1 providers', false)
    .addOption(outputOption())
    .addHelpText(
      'after',
      `
Example:
  $ waxseal config check encryption-config.yaml --output json
  {"errors":[]}`,
    )
    .action(async (file: string, options) =>
      (await import('./commands/config-check.js')).configCheck(file, options),
    );
}

function addTransform(program: Command): void {
  program
    .command('transform')
    .description('Run values through an EncryptionConfiguration exactly as the API server would.')
    .requiredOption('--encryption-config <file>', 'EncryptionConfiguration')
    .requiredOption(
      '--resource <resource>',
      'resource or resource.group, e.g. secrets or deployments.apps',
      parseResource,
    )
    .option('--kms-v1', 'allow KMS v1 providers', false)
    .addHelpText(
      'after',
      `
Reads JSON lines {"op":"to"|"from","key":"/registry/…","data":"<base64>"} on standard input and answers each with
{"data":"<base64>","stale":false} or {"err":"…"}, in order.

Example:
  $ echo '{"op":"to","key":"/registry/secrets/default/a","data":"aGVsbG8="}' |
      waxseal transform --encryption-config encryption-config.yaml --resource secrets`,
    )
    .action(async (options) => (await import('./commands/transform.js')).transform(options));
}
