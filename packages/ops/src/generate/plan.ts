/**
 * What to do with the files of a migration, in which order, and the command that proves each step.
 */
import type { Migration, MigrationFile } from './migration.js';

interface PlanCheck {
  readonly command: string;
  /** What it must say. */
  readonly expect: string;
}

export interface PlanStep {
  readonly title: string;
  /** The file that is put in force; absent when nothing is applied. */
  readonly file?: MigrationFile['name'];
  readonly action: string;
  readonly checks: readonly PlanCheck[];
}

export interface PlanOptions {
  /** The file in force, as the user named it; undefined: nothing is encrypted yet. */
  readonly currentFile: string | undefined;
  /** Of the API servers, `https://host:6443`; empty: not known. */
  readonly servers: readonly string[];
  /** Undefined: not known; the commands name `etcdVariables`, which the reader sets. */
  readonly etcd?: PlanEtcd | undefined;
  /** Of the API servers' keys; undefined: the default. */
  readonly prefix?: string | undefined;
}

export interface PlanEtcd {
  readonly endpoints: readonly string[];
  /** PEM files. */
  readonly cacert?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

/** What the reader of a plan sets first, where etcd was not named. */
export const etcdVariables = [
  { name: 'ETCD', meaning: 'every member of etcd, as https://a:2379,https://b:2379' },
] as const;

/** @param keyFlag another one where `--key` names the key in question */
function etcdOptions({ etcd, prefix }: PlanOptions, keyFlag = '--key'): string {
  const option = (flag: string, value: string | undefined): string =>
    value === undefined ? '' : ` ${flag} ${shellWord(value)}`;
  const where =
    etcd === undefined
      ? '--etcd "$ETCD"'
      : [
          `--etcd ${shellWord(etcd.endpoints.join(','))}`,
          option('--cacert', etcd.cacert),
          option('--cert', etcd.cert),
          option(keyFlag, etcd.key),
        ].join('');
  return `${where}${option('--prefix', prefix)}`;
}

export function migrationPlan(migration: Migration, options: PlanOptions): readonly PlanStep[] {
  const { servers } = options;
  const etcd = etcdOptions(options);
  const [readable, promoted, after] = migration.files;
  const currentFile = options.currentFile === undefined ? undefined : shellWord(options.currentFile);
  const verify = (file: string): PlanCheck => ({
    command: `waxseal verify ${etcd} --encryption-config ${file} --all`,
    expect: 'exit code 0: every value opens',
  });
  const everywhere =
    'Put it in the place of the file in force on one API server after the other (mode 0600).';
  const firstEverywhere =
    currentFile === undefined
      ? 'No file is in force yet: put it on one API server after the other (mode 0600), and start each of them again with --encryption-provider-config=FILE and --encryption-provider-config-automatic-reload=true.'
      : everywhere;
  return [
    {
      title: 'Before',
      action: `Make a snapshot of etcd, and keep it ${currentFile === undefined ? '' : 'with the file in force '}until the end.`,
      checks: [
        ...(currentFile === undefined ? [] : [verify(currentFile)]),
        {
          command: `waxseal lint ${readable.name}${currentFile === undefined ? '' : ` --against ${currentFile}`}`,
          expect: 'no errors',
        },
      ],
    },
    {
      title: 'The new provider reads',
      file: readable.name,
      action: `${firstEverywhere} Go on only when all of them have it.`,
      checks: [...inForce(readable, migration, servers)],
    },
    {
      title: 'The new provider writes',
      file: promoted.name,
      action: `${everywhere} From here on what is written is under ${migration.writers.join(', ')}.`,
      checks: [
        { command: `waxseal lint ${promoted.name} --against ${readable.name}`, expect: 'no errors' },
        ...inForce(promoted, migration, servers),
      ],
    },
    {
      title: 'Everything is written again',
      action: 'Rewrap what is still under the old provider. It may be stopped and started again.',
      checks: [
        {
          command: `waxseal rewrap ${etcd} --encryption-config ${promoted.name}`,
          expect: 'exit code 0: nothing failed, nothing remains',
        },
        {
          command: `waxseal scan ${etcd}`,
          expect: `for the resources of the file only ${migration.writers.join(', ')}`,
        },
        verify(after.name),
        { command: `waxseal lint ${after.name} --against ${promoted.name} ${etcd}`, expect: 'no errors' },
      ],
    },
    {
      title: 'The old provider is gone',
      file: after.name,
      action: everywhere,
      checks: inForce(after, migration, servers),
    },
    {
      title: 'After',
      action:
        "What was written before stays in etcd's history, free pages and write-ahead log until these are compacted, defragmented and rotated. " +
        'Old keys open old backups: destroy a key only when retire says that nothing needs it.',
      checks: [
        {
          command: `waxseal residue ${etcd} --fix`,
          expect:
            'exit code 0 (compacts, then defragments each member that --etcd names: one after the other answers nobody meanwhile)',
        },
        ...migration.retiredKeys.map((key) => ({
          command: `waxseal retire ${etcdOptions(options, '--etcd-key')} --key ${shellWord(key)} --snapshots DIR`,
          expect: 'exit code 0 (DIR: the folder of your backups)',
        })),
      ],
    },
  ];
}

/** That an API server has a file in force: its hash in the metrics (automatic reload), and that it is ready. */
function inForce(
  file: MigrationFile,
  { usesKms }: Migration,
  servers: readonly string[],
): readonly PlanCheck[] {
  const each = servers.length === 0 ? [''] : servers.map((server) => ` --server ${shellWord(server)}`);
  return each.flatMap((server) => [
    {
      command: `kubectl${server} get --raw /metrics | grep apiserver_encryption_config_controller_last_config_info`,
      expect: `hash="${file.contentHash}" (automatic reload takes up to a minute; without it, restart the server)`,
    },
    {
      command: `kubectl${server} get --raw '${usesKms ? '/readyz/kms-providers' : '/readyz'}'`,
      expect: 'ok',
    },
    { command: `kubectl${server} get secrets --all-namespaces --output name`, expect: 'no error' },
  ]);
}

/**
 * As a folder's README.md.
 *
 * @param variables what the commands leave to the reader
 */
export function formatPlan(
  steps: readonly PlanStep[],
  variables: readonly { readonly name: string; readonly meaning: string }[],
): string {
  const sections = steps.map(({ title, file, action, checks }, i) =>
    [
      `## ${i}. ${title}`,
      '',
      `${file === undefined ? '' : `\`${file}\`: `}${action}`,
      '',
      ...checks.flatMap(({ command, expect }) => [`- \`${command}\``, `  must say: ${expect}`]),
      '',
    ].join('\n'),
  );
  return [
    '# Migration of encryption at rest',
    '',
    'These files hold keys: mode 0600, and not in a repository. Each step is safe while the API servers change over one by one,',
    'and each may be taken back to the one before it until step 4 is done. The commands are run in this folder.',
    '',
    ...(variables.length === 0
      ? []
      : [
          'Set first, in the shell that runs the commands:',
          '',
          ...variables.map(({ name, meaning }) => `- \`${name}\`: ${meaning}`),
          '- where etcd asks for them, `ETCDCTL_CACERT`, `ETCDCTL_CERT`, `ETCDCTL_KEY`, `ETCDCTL_USER`, exported, as for etcdctl',
          '',
        ]),
    ...sections,
  ].join('\n');
}

function shellWord(text: string): string {
  return /^[A-Za-z0-9@%_+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
