/** `waxseal apiserver`: the Kubernetes API alone. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { CliError, exitCodes } from '../errors.js';
import { runUntilSignal, type Started } from '../lifetime.js';
import { createLogger } from '../logging.js';
import type { LogLevel, OutputFormat } from '../options.js';
import { startApiServerPart } from '../parts/api-server.js';
import { openStore, type StorageOptions } from '../parts/store.js';
import { writeKubeconfig } from '../up/client-files.js';
import { openDataDir, type DataDir } from '../up/data-dir.js';
import { loadPki } from '../up/pki.js';

export interface ApiServerCommandOptions extends StorageOptions {
  readonly dataDir: string;
  readonly port: number;
  readonly encryptionProviderConfig?: string;
  readonly kmsV1: boolean;
  readonly output: OutputFormat;
  readonly logLevel: LogLevel;
}

export async function apiServer(options: ApiServerCommandOptions): Promise<void> {
  const dataDir = openDataDir(options.dataDir);
  const encryptionConfig = resolve(options.encryptionProviderConfig ?? dataDir.encryptionConfig);
  if (!existsSync(encryptionConfig)) {
    throw new CliError(
      `${encryptionConfig} does not exist`,
      'Name an EncryptionConfiguration: --encryption-provider-config FILE. To store in the clear on purpose, give one with the identity provider.',
      exitCodes.usage,
    );
  }
  await runUntilSignal(
    (started) => start(started, options, dataDir, encryptionConfig),
    (ready) => console.log(options.output === 'json' ? JSON.stringify(ready) : describe(ready)),
  );
}

async function start(
  parts: Started,
  options: ApiServerCommandOptions,
  dataDir: DataDir,
  encryptionConfig: string,
) {
  const store = parts.add(await openStore(options, dataDir.apiStore));
  const pki = await loadPki(dataDir.pki, new Date());
  const server = await startApiServerPart(parts, {
    store,
    dataDir,
    pki,
    encryptionConfig,
    kmsV1Enabled: options.kmsV1,
    port: options.port,
    logger: createLogger(options.logLevel),
  });
  writeKubeconfig(dataDir.kubeconfig, server.url, pki);
  return {
    kubeconfig: dataDir.kubeconfig,
    apiServer: server.url,
    caFile: pki.caFile,
    encryptionConfig,
    tokenFile: dataDir.tokens,
  };
}

const describe = (ready: { readonly apiServer: string; readonly kubeconfig: string }): string =>
  `The API server listens at ${ready.apiServer}.

Type next, in another terminal:

  kubectl --kubeconfig ${ready.kubeconfig} get namespaces
`;
