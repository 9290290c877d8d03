/** `waxseal rewrap`: everything that is stale, encrypted again under the first provider. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { outputOption } from './cli-options.js';
import { etcdAccessOptions, etcdOption } from './etcd-access.js';
import { parsePath } from './options.js';
import { prefixOption } from './source-options.js';

export function addRewrap(program: Command): void {
  etcdAccessOptions(
    program
      .command('rewrap')
      .description(
        'Encrypt again, under the first provider of an EncryptionConfiguration, whatever lies in etcd otherwise.',
      )
      .addOption(etcdOption()),
  )
    .addOption(prefixOption())
    .addOption(
      new Option(
        '--encryption-config <file>',
        'the EncryptionConfiguration that the API servers have',
      ).argParser(parsePath),
    )
    .addOption(
      new Option(
        '--resources <list>',
        'as in the configuration: secrets,widgets.example.com,*.apps (default: all it covers)',
      ).argParser(parseResources),
    )
    .option('--dry-run', 'only count what is stale', false)
    .option(
      '--offline',
      'no API server uses this etcd now: write many objects in one revision, which is several times as fast',
      false,
    )
    .addOption(
      new Option(
        '--workers <n>',
        'objects at once (default: 64; via an API server 16; offline 512)',
      ).argParser(parseCount(1, 1024)),
    )
    .addOption(
      new Option('--rate <n>', 'writes a second at most (default: no limit)').argParser(
        parseCount(1, 1_000_000),
      ),
    )
    .addOption(
      new Option('--checkpoint <file>', 'keeps the progress, and goes on from it').argParser(parsePath),
    )
    .option(
      '--via-api [url]',
      'through an API server, by patches that change nothing; --etcd then only proves that nothing is left',
    )
    .addOption(
      new Option(
        '--patch-type <type>',
        'for --via-api; auto: apply, and merge where the server takes no apply',
      )
        .choices(['auto', 'apply', 'merge'])
        .default('auto'),
    )
    .addOption(
      new Option('--kubeconfig <file>', 'for --via-api (default: $KUBECONFIG, or ~/.kube/config)').argParser(
        parsePath,
      ),
    )
    .addOption(outputOption())
    .addHelpText(
      'after',
      `
Runs beside live API servers: each object is replaced only if nobody wrote it meanwhile. What is stale is decided as the API server decides it,
so identity as the first provider decrypts everything. At the end everything is read again to prove that nothing is left.
With --offline every API server must be stopped: clients that watch take it for granted that no two objects share a revision.
A rewrite makes a new revision of each object: mind etcd's quota when they are many, and compact and defragment afterwards.

With --via-api the API server itself writes what it finds stale; no key and no way to etcd is needed, and it is much slower. Nothing is proved at the end
unless --etcd is named, too. No checkpoint is needed: started again, it only reads what is done already. --dry-run lists and counts, without a patch.

Exit codes: 0 nothing is left, 1 something is or could not be read, 3 etcd or the KMS does not work; start again with the same --checkpoint.

Examples:
  $ waxseal rewrap --etcd https://127.0.0.1:2379 --cacert ca.crt --cert client.crt --key client.key \\
      --encryption-config /etc/kubernetes/enc/enc.yaml --dry-run
  $ waxseal rewrap --etcd http://127.0.0.1:2379 --encryption-config enc.yaml --rate 500 --checkpoint rewrap.json
  $ waxseal rewrap --via-api --kubeconfig admin.conf --resources secrets
  $ waxseal rewrap --via-api --kubeconfig admin.conf --encryption-config enc.yaml --etcd http://127.0.0.1:2379`,
    )
    .action(async (options) => (await import('./commands/rewrap.js')).rewrapCommand(options));
}

function parseResources(text: string, before: readonly string[] = []): readonly string[] {
  const names = text.split(',').map((name) => name.trim());
  if (!names.every((name) => /^(\*|[a-z0-9]([-a-z0-9]*[a-z0-9])?)(\.(\*|[-a-z0-9.]*))?$/.test(name)))
    throw new InvalidArgumentError('Expected resources as secrets,deployments.apps or wildcards as *.apps.');
  return [...before, ...names];
}

function parseCount(min: number, max: number): (text: string) => number {
  return (text) => {
    const count = Number(text);
    if (!/^\d{1,7}$/.test(text) || count < min || count > max)
      throw new InvalidArgumentError(`Expected a number from ${min} to ${max}.`);
    return count;
  };
}
