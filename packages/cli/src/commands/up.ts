/** `waxseal up`: every part in one process over one data directory. */
import { resolve } from 'node:path';
import { createWaxsealProvider, startPlugin } from '@waxseal/kms-plugin';
import { startEtcdFront } from '@waxseal/storage';
import { runUntilSignal, type Started } from '../lifetime.js';
import { createLogger } from '../logging.js';
import type { LogLevel, OutputFormat } from '../options.js';
import { startApiServerPart } from '../parts/api-server.js';
import { startKeyServicePart } from '../parts/key-service.js';
import type { RootKeyOptions } from '../parts/root-key.js';
import { openStore, type StorageOptions } from '../parts/store.js';
import {
  accountId,
  ensureEncryptionConfig,
  ensurePrincipals,
  keyAlias,
  pluginProfile,
  region,
  writeKubeconfig,
} from '../up/client-files.js';
import { openDataDir } from '../up/data-dir.js';
import { writeEnvironmentFile } from '../up/environment.js';
import { loadPki } from '../up/pki.js';
import { describeReady, type UpReady } from '../up/ready.js';

export interface UpOptions extends StorageOptions, RootKeyOptions {
  readonly dataDir: string;
  readonly apiPort: number;
  readonly kmsPort: number;
  readonly etcdPort: number;
  readonly pluginHealthPort?: number;
  readonly kmsHealthPort?: number;
  readonly encryptionProviderConfig?: string;
  readonly kmsV1: boolean;
  readonly output: OutputFormat;
  readonly logLevel: LogLevel;
}

export async function up(options: UpOptions): Promise<void> {
  await runUntilSignal(
    (started) => start(started, options),
    (ready) => {
      process.stdout.write(
        options.output === 'json' ? `${JSON.stringify(ready)}\n` : describeReady(ready, process.cwd()),
      );
    },
  );
}

async function start(started: Started, options: UpOptions): Promise<UpReady> {
  const logger = createLogger(options.logLevel);
  const dataDir = openDataDir(options.dataDir);
  // Before anything is written: a data directory in use belongs to somebody else.
  const store = started.add(await openStore(options, dataDir.apiStore));
  const pki = await loadPki(dataDir.pki, new Date());
  ensurePrincipals(dataDir);
  const keyService = await startKeyServicePart(started, {
    folder: dataDir.keyService,
    principalsFile: dataDir.principals,
    port: options.kmsPort,
    tls: pki.keyService,
    region,
    rootKey: options,
    healthPort: options.kmsHealthPort,
    logger: logger.child({ part: 'key-service' }),
  });
  await keyService.ensureKey({
    accountId,
    region,
    aliasName: keyAlias,
    description: 'Wraps the data encryption keys of the Kubernetes API data',
  });
  const plugin = started.add(
    await startPlugin({
      listen: dataDir.pluginSocket,
      provider: createWaxsealProvider({
        keyId: keyAlias,
        endpoint: keyService.endpoint,
        caFile: pki.caFile,
        credentialsFile: dataDir.credentials,
        profile: pluginProfile,
        region,
      }),
      logger: logger.child({ part: 'kms-plugin' }),
      ...(options.pluginHealthPort === undefined
        ? {}
        : { health: { host: '127.0.0.1', port: options.pluginHealthPort } }),
    }),
  );
  ensureEncryptionConfig(dataDir.encryptionConfig, dataDir.pluginSocket);
  const encryptionConfig = resolve(options.encryptionProviderConfig ?? dataDir.encryptionConfig);
  const etcdFront = started.add(
    await startEtcdFront({
      store,
      listen: { host: '127.0.0.1', port: options.etcdPort },
      tls: {
        cert: Buffer.from(pki.etcdFront.cert),
        key: Buffer.from(pki.etcdFront.key),
        clientCa: Buffer.from(pki.etcdClientCa),
      },
      logger: logger.child({ part: 'etcd-front' }),
    }),
  );
  const apiServer = await startApiServerPart(started, {
    store,
    dataDir,
    pki,
    encryptionConfig,
    kmsV1Enabled: options.kmsV1,
    port: options.apiPort,
    logger: logger.child({ part: 'apiserver' }),
  });
  const ready: UpReady = {
    kubeconfig: dataDir.kubeconfig,
    apiServer: apiServer.url,
    kmsEndpoint: keyService.endpoint,
    region,
    credentialsFile: dataDir.credentials,
    etcdEndpoint: etcdFront.endpoint,
    etcdCertFile: pki.etcdCertFile,
    etcdKeyFile: pki.etcdKeyFile,
    pluginSocket: dataDir.pluginSocket,
    caFile: pki.caFile,
    encryptionConfig,
    tokenFile: dataDir.tokens,
    environmentFile: dataDir.environment,
    ...(plugin.healthEndpoint === undefined ? {} : { pluginHealthEndpoint: plugin.healthEndpoint }),
  };
  writeKubeconfig(ready.kubeconfig, ready.apiServer, pki);
  writeEnvironmentFile(dataDir.environment, ready);
  return ready;
}
