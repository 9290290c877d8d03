/** `waxseal plugin serve`: the key sets of a configuration file in one process. */
import { checkPluginConfig, startConfiguredPlugin, type HealthAddress } from '@waxseal/kms-plugin';
import { CliError, exitCodes } from '../errors.js';
import type { LogLevel, OutputFormat } from '../options.js';
import { runPlugin } from './plugin-serve-key.js';

interface ServeFileOptions {
  readonly config: string;
  readonly healthPort?: HealthAddress;
  readonly check: boolean;
  readonly output: OutputFormat;
  readonly logLevel: LogLevel;
}

export async function pluginServe(options: ServeFileOptions): Promise<void> {
  if (options.check) {
    await checkFile(options);
    return;
  }
  await runPlugin(options, (surroundings) =>
    startConfiguredPlugin({ configFile: options.config, health: options.healthPort, ...surroundings }),
  );
}

async function checkFile({ config, output }: ServeFileOptions): Promise<void> {
  const names = await checkPluginConfig(config).catch((error: unknown) => {
    throw new CliError(
      error instanceof Error ? error.message : String(error),
      'Nothing was started.',
      exitCodes.negative,
    );
  });
  console.log(
    output === 'json'
      ? JSON.stringify({ keys: names })
      : `${config} can be used; it serves ${names.join(', ')}.`,
  );
}
