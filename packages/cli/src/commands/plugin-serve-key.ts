/** Runs a plugin until it is told to stop: what every `waxseal plugin PROVIDER` and `waxseal plugin serve` do in the end. */
import { readFile } from 'node:fs/promises';
import { everyInherited, inheritedSockets, parseSocketGroup, type InheritedSockets } from '@waxseal/kms-api';
import {
  createEscrowKey,
  createKeyGroup,
  startKeySets,
  type EscrowKey,
  type HealthAddress,
  type KeySetOptions,
  type Logger,
  type Plugin,
  type Provider,
} from '@waxseal/kms-plugin';
import { CliError, exitCodes } from '../errors.js';
import { runUntilSignal } from '../lifetime.js';
import { createLogger } from '../logging.js';
import type { LogLevel, OutputFormat } from '../options.js';
import { notifySystemd } from '../systemd-notify.js';

interface KeyLossOptions {
  /** `age1…`, or a file with an RSA public key. */
  readonly escrowKey?: string;
  readonly failOnPendingDeletion: boolean;
}

/** What every provider's command takes. */
export interface ServeOptions extends KeyLossOptions {
  readonly listen: readonly string[];
  readonly healthPort?: HealthAddress;
  readonly socketGroup?: string;
  readonly statusVersion: 'v2' | 'v2beta1';
  readonly output: OutputFormat;
  readonly logLevel: LogLevel;
  /** Files with secrets, to warn of those that others may read. */
  readonly secretFiles?: readonly string[];
  /** Set by `waxseal plugin explain`: the keys are tried and not served. */
  readonly explain?: true;
  /** Of `waxseal plugin explain`: what some key must open. */
  readonly sealed?: Buffer;
}

/** What a plugin finds around it. */
interface Surroundings {
  readonly logger: Logger;
  readonly inheritedSockets: InheritedSockets;
}

/** Serves one provider's key. */
export async function serveKey(provider: Provider, options: ServeOptions): Promise<void> {
  const { listen, statusVersion } = options;
  await serveKeySets([{ listen, statusVersion, provider }], options);
}

/** Serves key sets; closes their providers in the end, whatever happens. */
export async function serveKeySets(
  keySets: readonly KeySetOptions[],
  options: Omit<ServeOptions, 'listen'>,
): Promise<void> {
  if (options.explain === true) {
    const { explainKeySets } = await import('./plugin-explain.js');
    const named = keySets.map(({ name, provider }) => ({ name: name ?? provider.name, provider }));
    await explainKeySets(named, options);
    return;
  }
  await runPlugin(options, async (surroundings) => {
    try {
      const socketGroupId =
        options.socketGroup === undefined ? undefined : parseSocketGroup(options.socketGroup);
      const escrow = options.escrowKey === undefined ? undefined : await readEscrowKey(options.escrowKey);
      // Closing the plugin closes its providers; until there is one, they are on their own.
      return await startKeySets({
        ...surroundings,
        health: options.healthPort,
        keySets: keySets.map((keySet) => ({
          ...keySet,
          provider: escrow === undefined ? keySet.provider : withEscrow(keySet.provider, escrow),
          failOnPendingDeletion: options.failOnPendingDeletion,
          secretFiles: options.secretFiles,
          socketGroupId,
          listen: withInherited(keySet.listen, surroundings.inheritedSockets),
        })),
      });
    } catch (error) {
      await Promise.all(keySets.map(({ provider }) => provider.close()));
      throw error;
    }
  });
}

const withEscrow = (provider: Provider, escrow: EscrowKey): Provider =>
  createKeyGroup({ primary: { provider }, recipients: [{ name: 'escrow', escrow }] });

async function readEscrowKey(key: string): Promise<EscrowKey> {
  return createEscrowKey(key.startsWith('age1') ? key : await readFile(key, 'utf8'));
}

/** Runs a plugin until SIGINT or SIGTERM; SIGHUP makes it read its files again. */
export async function runPlugin(
  options: Pick<ServeOptions, 'output' | 'logLevel'>,
  start: (surroundings: Surroundings) => Promise<Plugin>,
): Promise<void> {
  const logger = createLogger(options.logLevel);
  await runUntilSignal(
    async (started) => {
      const plugin = await start({
        logger,
        inheritedSockets: inheritedSockets(process.env, process.pid),
      });
      process.on('SIGHUP', () => void reload(plugin, logger));
      started.add(plugin);
      // Closed first: systemd hears of the stop before calls in flight are waited for.
      started.add({ close: () => notifySystemd('stopping', logger) });
      return plugin;
    },
    (plugin) => {
      const { sockets, healthEndpoint } = plugin;
      console.log(
        options.output === 'json'
          ? JSON.stringify({ sockets, healthEndpoint: healthEndpoint ?? null })
          : describe(plugin),
      );
      void notifySystemd('ready', logger);
    },
  );
}

async function reload(plugin: Plugin, logger: Logger): Promise<void> {
  await notifySystemd('reloading', logger);
  await plugin
    .reload()
    .catch((error: unknown) =>
      console.error(`waxseal: not reloaded: ${error instanceof Error ? error.message : String(error)}`),
    );
  await notifySystemd('ready', logger);
}

/** `systemd` stands for every socket that was handed over. */
function withInherited(listen: string | readonly string[], inherited: InheritedSockets): readonly string[] {
  const sockets = typeof listen === 'string' ? [listen] : listen;
  if (!sockets.includes('systemd')) return sockets;
  const handed = everyInherited(inherited);
  if (handed.length === 0) {
    throw new CliError(
      'no socket was handed over by systemd',
      'Start the plugin by its socket unit, or give --listen a path.',
      exitCodes.environment,
    );
  }
  return sockets.flatMap((socket) => (socket === 'systemd' ? handed : [socket]));
}

function describe(plugin: Plugin): string {
  const { healthEndpoint } = plugin;
  const keySets = plugin.keySets();
  const lines = keySets.map(
    ({ name, sockets }) =>
      `The KMS plugin${keySets.length > 1 ? `'s key set ${name}` : ''} listens at ${sockets.join(', ')}.`,
  );
  const health = healthEndpoint === undefined ? [] : [`Health and metrics: ${healthEndpoint}`];
  const providers = keySets.map(
    ({ name, sockets }) =>
      `  - kms: {apiVersion: v2, name: ${keySets.length > 1 ? name : 'waxseal'}, endpoint: "${sockets[0] ?? ''}"}`,
  );
  return `${[...lines, ...health].join('\n')}

Name it in the API server's EncryptionConfiguration:

${providers.join('\n')}
`;
}

/** The files among these that were given. */
export function givenFiles(...files: readonly (string | undefined)[]): readonly string[] {
  return files.flatMap((file) => (file === undefined || file === '' ? [] : [file]));
}

/** Drops what was not given, so that defaults apply. */
export function definedOnly<T extends object>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
