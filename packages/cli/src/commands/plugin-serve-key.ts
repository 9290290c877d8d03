/** Serves one key of one provider on its socket: what every `waxseal plugin PROVIDER` does in the end. */
import { startPlugin, type Plugin, type Provider } from '@waxseal/kms-plugin';
import { runUntilSignal } from '../lifetime.js';
import { createLogger } from '../logging.js';
import type { LogLevel, OutputFormat } from '../options.js';

/** What every provider's command takes. */
export interface ServeOptions {
  readonly listen: string;
  readonly healthPort?: number;
  readonly statusVersion: 'v2' | 'v2beta1';
  readonly output: OutputFormat;
  readonly logLevel: LogLevel;
}

/** Serves one provider's key until SIGINT or SIGTERM; SIGHUP reads its files again. */
export async function serveKey(provider: Provider, options: ServeOptions): Promise<void> {
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
export function definedOnly<T extends object>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
