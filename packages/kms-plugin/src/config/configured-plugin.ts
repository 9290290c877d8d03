/**
 * A plugin that runs by a configuration file and follows it: read again, the file adds, takes away and changes key sets while the sockets that
 * stay keep their connections. A file that cannot be used changes nothing.
 */
import { access, constants, readFile, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { KmsPluginError } from '../errors.js';
import type { HealthAddress } from '../health.js';
import type { KeySetOptions } from '../key-set.js';
import { silentLogger } from '../logger.js';
import { startKeySets, type Plugin, type ProcessOptions } from '../plugin.js';
import type { Provider } from '../provider.js';
import { invalid, parsePluginConfig, type KeySetConfig, type PluginConfig } from './plugin-config.js';
import type { NamedFile } from './settings.js';

export interface ConfiguredPluginOptions extends Omit<ProcessOptions, 'health'> {
  /** YAML. */
  readonly configFile: string;
  /** Where the file gives no `health`; nowhere by default. */
  readonly health?: HealthAddress | undefined;
}

interface Made {
  readonly config: KeySetConfig;
  readonly provider: Provider;
}

/**
 * @returns a plugin whose `reload` reads the file again as well as the credentials it names
 * @throws KmsPluginError `config_unreadable`, `config_invalid` and what `startKeySets` throws; then nothing is left open
 */
export async function startConfiguredPlugin(options: ConfiguredPluginOptions): Promise<Plugin> {
  const { configFile, ...processOptions } = options;
  const logger = options.logger ?? silentLogger;
  const first = await readConfig(configFile);
  let made = await makeAll(first.keySets, []);
  const plugin = await startKeySets({
    ...processOptions,
    health: first.health ?? options.health,
    keySets: made.map(keySetOptions),
  }).catch(async (error: unknown) => {
    await closeAll(made);
    throw error;
  });

  const follow = async (): Promise<void> => {
    const config = await readConfig(configFile);
    if (JSON.stringify(config.health) !== JSON.stringify(first.health)) {
      throw new KmsPluginError(
        'config_invalid',
        'The configuration cannot be used:\n  health: cannot change while the plugin runs; restart it.',
      );
    }
    const next = await makeAll(config.keySets, made);
    const fresh = next.filter(({ provider }) => !made.some((old) => old.provider === provider));
    try {
      // Credentials of key sets that stay. Each keeps what it had when it cannot.
      for (const {
        provider,
        config: {
          options: { name },
        },
      } of next) {
        if (fresh.some((one) => one.provider === provider)) continue;
        await provider.reload().catch((error: unknown) => {
          throw new KmsPluginError(
            'config_invalid',
            `Key set "${name}" cannot be read again: ${error instanceof KmsPluginError ? error.message : 'unexpected error'}`,
            error,
          );
        });
      }
      await plugin.replace(next.map(keySetOptions));
    } catch (error) {
      await closeAll(fresh);
      throw error;
    }
    made = next;
  };

  let reloading: Promise<void> = Promise.resolve();
  const reload = async (): Promise<void> => {
    try {
      await follow();
    } catch (error) {
      plugin.reloaded('failure');
      logger.warn(
        { configFile, reason: error instanceof Error ? error.message : 'unexpected error' },
        'the configuration was not reloaded; everything stays as it was',
      );
      throw error;
    }
    plugin.reloaded('success');
    logger.info(
      { configFile, keySets: made.map(({ config }) => config.options.name) },
      'the configuration was reloaded',
    );
  };
  return {
    ...plugin,
    get sockets() {
      return plugin.sockets;
    },
    // One after the other: each starts from what the one before has left.
    reload: () => {
      const mine = reloading.then(reload);
      reloading = mine.catch(() => undefined);
      return mine;
    },
  };
}

/**
 * Reads a configuration file without making anything of it, and tries whether the files it names can be read.
 *
 * @returns the names of its key sets
 * @throws KmsPluginError `config_unreadable` or `config_invalid`
 */
export async function checkPluginConfig(configFile: string): Promise<readonly string[]> {
  const { keySets, files } = await readConfig(configFile);
  const problems = await Promise.all(files.map(fileProblem));
  const found = problems.filter((problem) => problem !== undefined);
  if (found.length > 0) throw invalid(found);
  return keySets.map(({ options }) => options.name);
}

async function fileProblem({ path, file }: NamedFile): Promise<string | undefined> {
  try {
    // A folder can be opened too, and a pipe would wait for its writer.
    if ((await stat(file)).isDirectory()) return `${path}: ${file} is a folder; name a file.`;
    await access(file, constants.R_OK);
    return undefined;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    return code === 'ENOENT'
      ? `${path}: there is no file ${file}.`
      : `${path}: ${file} cannot be read (${code}); check its permissions and those of its folders.`;
  }
}

/**
 * The key sets of a configuration file, made and not served; closing their providers is the caller's.
 *
 * @throws KmsPluginError `config_unreadable`, `config_invalid` and what making a provider throws; then nothing is left open
 */
export async function createConfiguredKeySets(
  configFile: string,
): Promise<readonly (KeySetOptions & { readonly name: string })[]> {
  const made = await makeAll((await readConfig(configFile)).keySets, []);
  return made.map(({ config, provider }) => ({ ...config.options, provider }));
}

async function readConfig(configFile: string): Promise<PluginConfig> {
  let text: string;
  try {
    text = await readFile(configFile, 'utf8');
  } catch (cause) {
    throw new KmsPluginError(
      'config_unreadable',
      `The configuration ${configFile} cannot be read. Check the path and its permissions.`,
      cause,
    );
  }
  return parsePluginConfig(text, dirname(resolve(configFile)));
}

/** The providers of these key sets; those of `old` that have the same settings are kept. */
async function makeAll(configs: readonly KeySetConfig[], old: readonly Made[]): Promise<readonly Made[]> {
  const all: Made[] = [];
  const fresh: Made[] = [];
  for (const config of configs) {
    const same = old.find(
      (one) =>
        one.config.options.name === config.options.name && one.config.providerText === config.providerText,
    );
    try {
      const one = { config, provider: same?.provider ?? (await config.createProvider()) };
      if (same === undefined) fresh.push(one);
      all.push(one);
    } catch (error) {
      await closeAll(fresh);
      if (!(error instanceof KmsPluginError)) throw error;
      throw new KmsPluginError(error.code, `Key set "${config.options.name}": ${error.message}`, error);
    }
  }
  return all;
}

async function closeAll(made: readonly Made[]): Promise<void> {
  await Promise.all(made.map(({ provider }) => provider.close()));
}

const keySetOptions = ({ config, provider }: Made): KeySetOptions => ({ ...config.options, provider });
