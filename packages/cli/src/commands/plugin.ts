/** `waxseal plugin aws|waxseal|local`: the KMS plugin alone, one key on one socket. */
import { existsSync } from 'node:fs';
import {
  createAwsProvider,
  createKeyring,
  createLocalProvider,
  createWaxsealProvider,
  startPlugin,
  type Plugin,
  type Provider,
} from '@waxseal/kms-plugin';
import { CliError, exitCodes } from '../errors.js';
import { runUntilSignal } from '../lifetime.js';
import { createLogger } from '../logging.js';
import type { LogLevel, OutputFormat } from '../options.js';

interface CommonOptions {
  readonly listen: string;
  readonly healthPort?: number;
  readonly statusVersion: 'v2' | 'v2beta1';
  readonly output: OutputFormat;
  readonly logLevel: LogLevel;
}

export interface LocalOptions extends CommonOptions {
  readonly keyring: string;
}

export interface AwsOptions extends CommonOptions {
  readonly key: string;
  readonly region?: string;
  readonly kmsEndpoint?: string;
  readonly caFile?: string;
  readonly credentialsFile?: string;
  readonly profile?: string;
  readonly encryptionContext?: Readonly<Record<string, string>>;
}

export async function pluginLocal(options: LocalOptions): Promise<void> {
  if (!existsSync(options.keyring)) await createKeyring(options.keyring);
  await serve(await createLocalProvider({ keyringFile: options.keyring }), options);
}

export async function pluginAws(options: AwsOptions): Promise<void> {
  // The SDK's chain reads the file's place from the environment; the option is the same setting, said once.
  if (options.credentialsFile !== undefined)
    process.env['AWS_SHARED_CREDENTIALS_FILE'] = options.credentialsFile;
  const provider = createAwsProvider({
    keyId: options.key,
    ...definedOnly({
      encryptionContext: options.encryptionContext,
      region: options.region,
      endpoint: options.kmsEndpoint,
      caFile: options.caFile,
      profile: options.profile,
    }),
  });
  await serve(provider, options);
}

export async function pluginWaxseal(options: AwsOptions): Promise<void> {
  const { kmsEndpoint, credentialsFile } = options;
  if (kmsEndpoint === undefined || credentialsFile === undefined) {
    throw new CliError(
      'the waxseal provider needs --kms-endpoint and --credentials-file',
      '`waxseal up` and `waxseal kms serve` print both.',
      exitCodes.usage,
    );
  }
  const provider = createWaxsealProvider({
    keyId: options.key,
    endpoint: kmsEndpoint,
    credentialsFile,
    ...definedOnly({
      encryptionContext: options.encryptionContext,
      region: options.region,
      caFile: options.caFile,
      profile: options.profile,
    }),
  });
  await serve(provider, options);
}

async function serve(provider: Provider, options: CommonOptions): Promise<void> {
  await runUntilSignal(
    async (started) => {
      // Closing the plugin closes its provider; until there is one, the provider is on its own.
      const plugin = await startPlugin({
        listen: options.listen,
        provider,
        statusVersion: options.statusVersion,
        logger: createLogger(options.logLevel),
        ...(options.healthPort === undefined
          ? {}
          : { health: { host: '127.0.0.1', port: options.healthPort } }),
      }).catch(async (error: unknown) => {
        await provider.close();
        throw error;
      });
      process.on(
        'SIGHUP',
        () =>
          void plugin
            .reload()
            .catch((error: unknown) => console.error(`waxseal: not reloaded: ${String(error)}`)),
      );
      return started.add(plugin);
    },
    (plugin) => {
      const { sockets, healthEndpoint } = plugin;
      console.log(
        options.output === 'json'
          ? JSON.stringify({ sockets, healthEndpoint: healthEndpoint ?? null })
          : describe(plugin),
      );
    },
  );
}

const describe = ({ sockets, healthEndpoint }: Plugin): string =>
  `The KMS plugin listens at ${sockets.join(', ')}.${healthEndpoint === undefined ? '' : `\nHealth and metrics: ${healthEndpoint}`}

Name it in the API server's EncryptionConfiguration:

  - kms: {apiVersion: v2, name: waxseal, endpoint: "${sockets[0] ?? ''}"}
`;

/** Drops what was not given, so that defaults apply. */
function definedOnly<T extends object>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
