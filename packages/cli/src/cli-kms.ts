/** The options of `waxseal kms …` and `waxseal audit …`. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import {
  dataDirOption,
  keyServiceOptions,
  logLevelOption,
  outputOption,
  refuseUnknownCommand,
  rootKeyOptions,
  storageOptions,
} from './cli-options.js';
import { parseEncryptionContext, parseExpiry, parseHost, parsePort, parseRegion } from './options.js';

export function addKms(program: Command): void {
  const kms = program
    .command('kms')
    .description(
      "The key service: AWS KMS's API on this machine. Without a command it serves, as `kms serve`.",
    )
    .addHelpText(
      'after',
      '\n`waxseal kms [options]` takes the options of `waxseal kms serve`; see waxseal kms serve --help.\n\nExample:\n  $ waxseal kms serve --data-dir ./demo',
    );
  addServe(kms);
  addKey(kms);
  addPrincipal(kms);
  addStored(kms);
  addCost(kms);
  addExplainAccess(kms);
}

function addServe(kms: Command): void {
  keyServiceOptions(
    storageOptions(
      kms
        .command('serve', { isDefault: true })
        // `waxseal kms` alone serves, so a misspelt command arrives here.
        .argument('[command]', '', refuseUnknownCommand)
        .usage('[options]')
        .description('Serve the key service alone. Several can serve from one etcd cluster, as one.')
        .addOption(dataDirOption()),
    )
      .option(
        '--host <address>',
        'address to listen on, which the certificate then names; 0.0.0.0 or ::: all of this machine',
        parseHost,
        '127.0.0.1',
      )
      .option('--port <n>', 'HTTPS port (0: a free port)', parsePort, 6444)
      .option(
        '--config <file>',
        'YAML: accounts, users, access keys, fixed keys and throttling (default: principals.yaml in the data directory)',
      )
      .option(
        '--allow-plaintext-seeds',
        'let fixed keys in the file carry their key material (tests only)',
        false,
      )
      .option('--insecure-http', 'serve plain HTTP (loopback only), for clients without TLS', false),
  )
    .addOption(outputOption())
    .addOption(logLevelOption())
    .addHelpText(
      'after',
      `
Examples:
  $ waxseal kms serve --data-dir ./demo --port 6444 --health-port 6454
  $ waxseal kms serve --data-dir ./one --storage etcds://a:2379,b:2379,c:2379 --storage-cafile ./etcd-ca.pem`,
    )
    .action(async (_command, options) => (await import('./commands/kms.js')).serveKms(options));
}

const connectionOptions = (command: Command): Command =>
  rootKeyOptions(
    command
      .addOption(dataDirOption())
      .option('--region <region>', 'AWS region (default: us-east-1)', parseRegion)
      .option('--profile <name>', 'whose access key: a profile of the credentials file')
      .option(
        '--credentials-file <file>',
        'AWS shared credentials file (default: the data directory’s administrator)',
      )
      .option(
        '--config <file>',
        'the file with the principals, when no service runs (default: principals.yaml in the data directory)',
      ),
  ).addOption(outputOption());

function addKey(kms: Command): void {
  const key = kms
    .command('key')
    .description('Keys of the data directory’s service, whether it runs or not.')
    .addHelpText('after', '\nExample:\n  $ waxseal kms key list --data-dir ./demo');
  const commands = () => import('./commands/kms-key.js');

  connectionOptions(key.command('create').description('Make a key.'))
    .option('--alias <name>', 'and an alias for it')
    .option('--description <text>', 'what it is for')
    .option('--spec <spec>', 'SYMMETRIC_DEFAULT, RSA_2048, ECC_NIST_P256, HMAC_256, …', 'SYMMETRIC_DEFAULT')
    .option('--usage <usage>', 'ENCRYPT_DECRYPT, SIGN_VERIFY, GENERATE_VERIFY_MAC or KEY_AGREEMENT')
    .addOption(
      new Option(
        '--origin <origin>',
        'EXTERNAL: waits for `key import` (default: AWS_KMS, made here)',
      ).choices(['AWS_KMS', 'EXTERNAL']),
    )
    .option('--multi-region', 'a primary key that can be replicated', false)
    .addHelpText(
      'after',
      '\nExample:\n  $ waxseal kms key create --alias app --description "the application’s data"',
    )
    .action(async (options) => (await commands()).createKey(options));
  connectionOptions(key.command('list').description('All keys of the region, with their aliases.'))
    .addHelpText('after', '\nExample:\n  $ waxseal kms key list --output json')
    .action(async (options) => (await commands()).listKeys(options));
  const one = (name: string, description: string): Command =>
    connectionOptions(
      key.command(name).argument('<key>', 'id, ARN or alias/…').description(description),
    ).addHelpText('after', `\nExample:\n  $ waxseal kms key ${name} alias/app`);
  one('show', 'Everything about one key.').action(async (id: string, options) =>
    (await commands()).showKey(id, options),
  );
  one('rotate', 'Give the key new material; what it encrypted before still decrypts.').action(
    async (id: string, options) => (await commands()).rotateKey(id, options),
  );
  one('enable', 'Let the key be used again.').action(async (id: string, options) =>
    (await commands()).setKeyEnabled(id, true, options),
  );
  one('disable', 'Let nobody use the key until it is enabled again.').action(async (id: string, options) =>
    (await commands()).setKeyEnabled(id, false, options),
  );
  one('schedule-deletion', 'Destroy the key after a waiting period.')
    .option('--days <n>', 'length of the waiting period, 7 to 30', parseWaitingDays, 30)
    .action(async (id: string, options) => (await commands()).scheduleKeyDeletion(id, options));
  one('cancel-deletion', 'Keep a key that waits for its deletion.').action(async (id: string, options) =>
    (await commands()).cancelKeyDeletion(id, options),
  );
  connectionOptions(
    key
      .command('import')
      .argument('<key>', 'id, ARN or alias/… of a key made with --origin EXTERNAL')
      .argument('<file>', 'raw bytes, or a private key as PKCS#8 (DER or PEM); -: standard input')
      .description('Give the key its key material.'),
  )
    .option(
      '--expires <date>',
      'when it is deleted again: 2030-01-31, 2030-01-31T12:00:00Z, or 30d',
      parseExpiry,
    )
    .option('--description <text>', 'what the material is')
    .option('--new-material', 'further material for a key that has some; `key rotate` then uses it', false)
    .addHelpText(
      'after',
      `
Examples:
  $ waxseal kms key create --alias app --origin EXTERNAL
  $ openssl rand -out ./app.key 32
  $ waxseal kms key import alias/app ./app.key --expires 90d`,
    )
    .action(async (id: string, file: string, options) =>
      (await import('./commands/kms-key-import.js')).importKey(id, file, options),
    );
  one('policy', 'Print the key policy, or replace it.')
    .option('--set <file>', 'JSON policy document to put in its place')
    .action(async (id: string, options) => (await commands()).keyPolicy(id, options));
}

function parseWaitingDays(text: string): number {
  const days = Number(text);
  if (!/^\d{1,2}$/.test(text) || days < 7 || days > 30)
    throw new InvalidArgumentError('Expected 7 to 30 days.');
  return days;
}

function addPrincipal(kms: Command): void {
  const principal = kms
    .command('principal')
    .description('Who may call the service.')
    .addHelpText('after', '\nExample:\n  $ waxseal kms principal add app --policy AdministratorAccess');
  principal
    .command('add')
    .argument('<name>', 'name of the user')
    .description('Add a user with an access key, printed this once.')
    .addOption(dataDirOption())
    .option(
      '--config <file>',
      'the file with the principals (default: principals.yaml in the data directory)',
    )
    .option('--account <id>', 'account (default: the only one)')
    .addOption(
      new Option('--policy <policy>', 'managed policy or JSON file; can be given again')
        .argParser((policy: string, before: readonly string[]) => [...before, policy])
        .default([], 'none: key policies decide alone'),
    )
    .addOption(outputOption())
    .addHelpText(
      'after',
      '\nExample:\n  $ waxseal kms principal add app --data-dir ./demo --policy ./app-policy.json',
    )
    .action(async (name: string, options) =>
      (await import('./commands/kms-principal.js')).addPrincipal(name, options),
    );
}

function addStored(kms: Command): void {
  const commands = () => import('./commands/kms-backup.js');
  rootKeyOptions(
    storageOptions(
      kms
        .command('backup')
        .argument('<file>', 'where to write it; never overwritten')
        .description('Back up every key, sealed under the root key; the service may run meanwhile.')
        .addOption(dataDirOption()),
    ),
  )
    .addOption(outputOption())
    .addHelpText(
      'after',
      `
The root key is not in it (unless a passphrase or another KMS wraps it): keep it apart.

Example:
  $ waxseal kms backup ./keys.backup --data-dir ./demo`,
    )
    .action(async (file: string, options) => (await commands()).kmsBackup(file, options));
  rootKeyOptions(
    storageOptions(
      kms
        .command('restore')
        .argument('<file>', 'a backup')
        .description(
          'Restore a backup into an empty data directory. Put root.key into its key-service folder first.',
        )
        .addOption(dataDirOption()),
    ),
  )
    .addOption(outputOption())
    .addHelpText('after', '\nExample:\n  $ waxseal kms restore ./keys.backup --data-dir ./restored')
    .action(async (file: string, options) => (await commands()).kmsRestore(file, options));
  rootKeyOptions(
    storageOptions(
      kms
        .command('reseal')
        .description('Move the root key to another protector; a running service goes on meanwhile.')
        .addOption(dataDirOption()),
    )
      .addOption(
        new Option('--to <protector>', 'who keeps it from now on')
          .choices(['file', 'passphrase', 'pkcs11', 'aws-kms'])
          .makeOptionMandatory(),
      )
      .option(
        '--new-passphrase-file <file>',
        'the new passphrase (default: $WAXSEAL_NEW_PASSPHRASE, or a prompt)',
      )
      .option('--unseal-key-id <id>', 'key of the other KMS, for --to aws-kms')
      .option(
        '--pkcs11-key <label>',
        'AES or RSA key of the token, for --to pkcs11; an AES key is made when it has none (default: waxseal-root-key)',
      ),
  )
    .addOption(outputOption())
    .addHelpText(
      'after',
      `
Example:
  $ waxseal kms reseal --data-dir ./demo --to passphrase --new-passphrase-file ./passphrase
  $ waxseal kms reseal --data-dir ./demo --to pkcs11 --pkcs11-module /usr/lib/softhsm/libsofthsm2.so \\
      --pkcs11-token hsm --pkcs11-pin-file ./pin`,
    )
    .action(async (options) => (await commands()).kmsReseal(options));
}

function addCost(kms: Command): void {
  kms
    .command('cost')
    .description('What the calls in the audit log would have cost on AWS, by month and account.')
    .addOption(dataDirOption())
    .addOption(outputOption())
    .addHelpText('after', '\nExample:\n  $ waxseal kms cost --data-dir ./demo')
    .action(async (options) => (await import('./commands/kms-cost.js')).kmsCost(options));
}

function addExplainAccess(kms: Command): void {
  kms
    .command('explain-access')
    .description('Say which statement allows or denies an action; the exit code is 1 when it is denied.')
    .option('--data-dir <dir>', 'data directory of a key service; one that runs is asked itself')
    .option(
      '--config <file>',
      'YAML: principals and fixed keys (default: principals.yaml in the data directory)',
    )
    .requiredOption('--principal <arn>', 'user, role, session or account root')
    .requiredOption('--action <action>', 'e.g. kms:Decrypt')
    .option('--key <id>', 'key id, ARN, alias or alias ARN; none for actions like kms:CreateKey')
    .option('--region <region>', 'where the call would be made', 'us-east-1')
    .option('--context <k=v,…>', 'encryption context of the call', parseEncryptionContext)
    .option(
      '--condition <k=v,…>',
      'other condition keys of the call, e.g. aws:SourceIp=10.0.0.1',
      parseEncryptionContext,
    )
    .addOption(outputOption())
    .addHelpText(
      'after',
      `
Example:
  $ waxseal kms explain-access --data-dir ./demo --principal arn:aws:iam::111122223333:user/admin \\
      --action kms:Decrypt --key alias/waxseal --context app=shop`,
    )
    .action(async (options) =>
      (await import('./commands/kms-explain-access.js')).explainAccessCommand(options),
    );
}

export function addAudit(program: Command): void {
  program
    .command('audit')
    .description('The audit log of the key service.')
    .addHelpText('after', '\nExample:\n  $ waxseal audit verify --data-dir ./demo')
    .command('verify')
    .argument('[folder]', 'audit folder (default: that of the data directory)')
    .description('Find any record or file removed, changed or reordered; exit code 1 when there is one.')
    .addOption(dataDirOption())
    .option('--public-key <file>', 'PEM of the only signing key to trust (default: those in digest-keys)')
    .addOption(outputOption())
    .addHelpText(
      'after',
      `
Example:
  $ waxseal audit verify ./audit-copy --public-key ./signing-key.pem`,
    )
    .action(async (folder: string | undefined, options) =>
      (await import('./commands/audit-verify.js')).auditVerify(folder, options),
    );
}
