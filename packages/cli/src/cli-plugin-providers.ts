/**
 * `waxseal plugin PROVIDER`: one function per provider, which says its options. What runs lies in `commands/plugin-PROVIDER.ts` and is
 * loaded when it is asked for.
 */
import { type Command, Option } from 'commander';
import { keyLossOptions, logLevelOption, outputOption, socketGroupOption } from './cli-options.js';
import { collectSocket, parseBoolean, parseEncryptionContext, parseHealthAddress } from './options.js';

/** What the plugin that this one replaces calls the same options. */
interface FormerNames {
  readonly listen?: string;
  readonly healthPort?: string;
}

const listed = (flag: string | undefined): string => (flag === undefined ? '' : `${flag}, `);

/** What every provider's command takes: `ServeOptions` of `commands/plugin-serve-key.ts`. */
export const serveOptions = (command: Command, former: FormerNames = {}): Command =>
  keyLossOptions(command)
    .requiredOption(
      `${listed(former.listen)}--listen <socket>`,
      'unix socket: a path, unix:///path, @abstract, fd://name or systemd (those handed over); may be repeated',
      collectSocket,
    )
    .option(
      `${listed(former.healthPort)}--health-port <port>`,
      'health and metrics: 8080 on 127.0.0.1, :8080 on every address (default: off)',
      parseHealthAddress,
    )
    .addOption(socketGroupOption())
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

export function addAzure(plugin: Command): void {
  serveOptions(plugin.command('azure').description('Wrap DEKs with Azure Key Vault or a managed HSM.'), {
    listen: '--listen-addr',
    healthPort: '--healthz-port',
  })
    .option('--key <url>', 'https://VAULT.vault.azure.net/keys/NAME (with /VERSION: that version only)')
    .option('--keyvault-name <name>', 'vault or managed HSM, instead of --key; with --key-name')
    .option('--key-name <name>', 'name of the key')
    .option('--key-version <version>', 'pins the version (default: the newest enabled one)')
    .option('--managed-hsm [true|false]', '--keyvault-name is a managed HSM', parseBoolean)
    .addOption(
      new Option('--cloud <cloud>', 'of --keyvault-name and the directory (default: public)').choices([
        'public',
        'us-government',
        'china',
      ]),
    )
    .addOption(
      new Option(
        '--algorithm <name>',
        'A256GCM for AES keys of a managed HSM (default: RSA-OAEP-256)',
      ).choices(['RSA-OAEP-256', 'RSA1_5', 'A256GCM']),
    )
    .option('--ca-file <file>', 'PEM authority of a private endpoint')
    .option('--managed-identity', 'use the identity of the machine only', false)
    .option('--tenant-id <id>', 'directory of the identity')
    .option('--client-id <id>', 'of the application, or of a user-assigned identity')
    .option('--client-secret-file <file>', 'secret of the application')
    .option('--client-certificate-file <file>', 'PEM certificate and key of the application')
    .option('--token-file <file>', 'service account token, for workload identity')
    .option('--config-file-path <file>', 'azure.json of the cloud provider, as kubernetes-kms reads it')
    .option(
      '--encrypted-cluster-seed-file <file>',
      "read values under a cluster seed of kubernetes-kms's, too",
    )
    .addHelpText(
      'after',
      `
Takes the place of Azure's kubernetes-kms with its --listen-addr, --keyvault-name, --key-name, --key-version, --managed-hsm,
--config-file-path, --encrypted-cluster-seed-file and --healthz-port; then give --status-version v2beta1 too. Reads what it wrote, and it reads what this
writes over KMS v2 with the same key version. Without an option that names an identity, the default chain of Azure's SDK
finds one.

Example:
  $ waxseal plugin azure --listen unix:///run/waxseal/kms.sock \\
      --key https://acme.vault.azure.net/keys/k8s --managed-identity`,
    )
    .action(async (options) => (await import('./commands/plugin-azure.js')).pluginAzure(options));
}

export function addVault(plugin: Command): void {
  serveOptions(
    plugin.command('vault').description('Wrap DEKs with the transit engine of Vault or OpenBao.'),
    {
      listen: '--listen-address',
    },
  )
    .requiredOption('--transit-key, --key <name>', 'name of the transit key')
    .option(
      '--vault-address, --address <url>',
      'https://host:port; repeat it for the nodes of a cluster',
      collect,
    )
    .option('--transit-mount, --mount <path>', 'where the transit engine is mounted', 'transit')
    .option('--vault-namespace, --namespace <path>', 'namespace of the mount and the login')
    .option('--context <base64>', 'context of a derived key; must stay the same')
    .option('--associated-data <base64>', 'bound to every ciphertext; must stay the same')
    .option('--tls-ca-file, --ca-file <file>', 'PEM authority of Vault')
    .option('--client-cert-file <file>', 'PEM client certificate')
    .option('--client-key-file <file>', 'PEM key of that certificate')
    .option('--tls-sni, --tls-server-name <name>', 'name in the certificate of Vault (default: the host)')
    .addOption(
      new Option('--auth-method <method>', 'how the plugin logs in')
        .choices(['token', 'approle', 'kubernetes', 'jwt', 'cert'])
        .default('token'),
    )
    .option('--auth-mount <path>', 'where that method is mounted (default: its name)')
    .option('--auth-role <name>', 'role of kubernetes, jwt and cert')
    .option('--token-file <file>', 'file with the token, read again when it changes')
    .option('--approle-role-id, --role-id <id>', 'role id of approle')
    .option('--role-id-file <file>', 'file with the role id')
    .option('--approle-secret-id-path, --secret-id-file <file>', 'file with the secret id')
    .option('--secret-id-wrapped', 'that file holds a response-wrapping token', false)
    .option('--jwt-file <file>', 'token of kubernetes and jwt (default: the service account’s)')
    .addHelpText(
      'after',
      `
VAULT_ADDR, VAULT_NAMESPACE, VAULT_CACERT, VAULT_CLIENT_CERT, VAULT_CLIENT_KEY, VAULT_TLS_SERVER_NAME and VAULT_TOKEN, or the
same with BAO_, stand for options that are not given. The token needs update on MOUNT/encrypt/KEY and MOUNT/decrypt/KEY, and
read on MOUNT/keys/KEY. Values of vault-kubernetes-kms, vault-kms-provider, kleidi and Oracle's plugin can be read.

Example:
  $ waxseal plugin vault --listen unix:///run/waxseal/kms.sock --address https://vault.example:8200 --key k8s \\
      --auth-method approle --role-id-file ./role-id --secret-id-file ./secret-id`,
    )
    .action(async (options) => (await import('./commands/plugin-vault.js')).pluginVault(options));
}
