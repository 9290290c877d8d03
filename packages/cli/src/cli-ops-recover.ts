/** `waxseal recover`: its options. */
import { type Command, Option } from 'commander';
import { parsePath, parseResource } from './options.js';
import { sourceOptions } from './source-options.js';

export function addRecover(program: Command): void {
  sourceOptions(
    program
      .command('recover')
      .description(
        'The objects of a snapshot as manifests, without a cluster; or the snapshot under another key.',
      ),
  )
    .requiredOption(
      '--encryption-config <file>',
      'the configuration whose keys and KMS plugins to open values with',
      parsePath,
    )
    .addOption(
      new Option(
        '--output <format>',
        'YAML documents, JSON lines, or one JSON List; with --reencrypt-with json: its counts',
      )
        .choices(['yaml', 'jsonl', 'json'])
        .default('yaml'),
    )
    .option(
      '--out-dir <dir>',
      'one private file for each object in a new folder (default: standard output)',
      parsePath,
    )
    .option('--resources <list>', 'only these, as secrets,deployments.apps', parseResources)
    .option('--namespace <name>', 'only this namespace')
    .option('--name <name>', 'only objects of this name')
    .option('--drop-managed-fields', 'leave out metadata.managedFields', false)
    .option('--drop-server-fields', 'leave out status, uid and what else only a server sets', false)
    .option(
      '--for-apply',
      'as another cluster takes it: without server fields, owners and addresses, and without what that cluster makes itself',
      false,
    )
    .option(
      '--escrow-identity <file>',
      'open KMS v2 values with the private half of an escrow key instead of the KMS plugins',
      parsePath,
    )
    .option(
      '--reencrypt-with <file>',
      'write a new snapshot, every value sealed by this configuration',
      parsePath,
    )
    .option('--output-snapshot <file>', 'the new snapshot (0600); never overwrites', parsePath)
    .option('--keep-unreadable', 'copy values that do not open as they are into the new snapshot', false)
    .addHelpText(
      'after',
      `
Namespaces come first, then custom resource definitions; admission webhooks and API services come last.
What does not open or decode is a document of kind Unrecovered, with the reason and the bytes in base64; exit code 1 when there is one.
A new snapshot keeps keys, revisions, history and leases; etcdutl snapshot restore takes it. It is not written when live values do not open.

Examples:
  $ waxseal recover --snapshot backup.db --encryption-config enc.yaml --for-apply | kubectl apply -f -
  $ waxseal recover --snapshot backup.db --encryption-config enc.yaml --out-dir ./objects
  $ waxseal recover --snapshot backup.db --encryption-config enc.yaml --resources secrets --namespace prod > prod.yaml
  $ waxseal recover --snapshot backup.db --encryption-config enc.yaml --reencrypt-with new.yaml --output-snapshot new.db`,
    )
    .action(async (options) => (await import('./commands/recover.js')).recover(options));
}

type Resources = readonly ReturnType<typeof parseResource>[];

function parseResources(text: string, before: Resources = []): Resources {
  return [...before, ...text.split(',').map((name) => parseResource(name.trim()))];
}
