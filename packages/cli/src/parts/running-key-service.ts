/** Reaches the key service of a data directory as its administrator: the one that runs, or one that runs for this command alone. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type * as AwsSdk from '@aws-sdk/client-kms';
import type { KMSClient } from '@aws-sdk/client-kms';
import { findRunningKeyService } from '@waxseal/key-service';
import { CliError, exitCodes } from '../errors.js';
import { startAll } from '../lifetime.js';
import { createLogger } from '../logging.js';
import { region as defaultRegion } from '../up/client-files.js';
import { type DataDir, openDataDir } from '../up/data-dir.js';
import { loadKeyServicePki } from '../up/pki.js';
import { startKeyServicePart } from './key-service.js';
import type { RootKeyOptions } from './root-key.js';

const connectTimeoutMs = 2_000;
const requestTimeoutMs = 30_000;

export interface ConnectionOptions extends RootKeyOptions {
  readonly dataDir: string;
  /** Principals, when no service runs. Default: those of the data directory. */
  readonly config?: string;
  readonly region?: string;
  /** Of the AWS shared credentials file. */
  readonly profile?: string;
  /** Default: the one in the data directory, or the SDK's own chain when there is none. */
  readonly credentialsFile?: string;
}

/** A data directory that is there already. @throws CliError */
export function existingDataDir(path: string): DataDir {
  if (!existsSync(join(path, 'key-service'))) {
    throw new CliError(
      `${path} is not a data directory with a key service`,
      'Give the --data-dir that `waxseal up` or `waxseal kms serve` was started with.',
    );
  }
  return openDataDir(path);
}

/**
 * Calls `use` with the endpoint of the service that runs on the data directory. When none does, one is started on a free port
 * for as long as `use` takes: what it is asked is verified, decided and audited like any call.
 *
 * @throws CliError
 */
async function withEndpoint<T>(
  options: ConnectionOptions,
  dataDir: DataDir,
  use: (endpoint: string) => Promise<T>,
): Promise<T> {
  const running = await findRunningKeyService(dataDir.keyService);
  if (running !== undefined) return use(String((await running.status())['endpoint']));
  const principalsFile = options.config ?? dataDir.principals;
  // Keys in an etcd cluster, or no keys yet: a service of our own would find an empty store, and make a root key for it.
  const hasStore = existsSync(join(dataDir.keyService, 'store'));
  if (!hasStore || !existsSync(principalsFile)) {
    const start = `Start it in another terminal: waxseal kms serve --data-dir ${dataDir.path}`;
    throw new CliError(
      `no key service runs on ${dataDir.path}`,
      hasStore ? `${start}\n  Or name the file with its principals: --config FILE` : start,
    );
  }
  const pki = await loadKeyServicePki(dataDir.pki, new Date());
  const { value, started } = await startAll((parts) =>
    startKeyServicePart(parts, {
      folder: dataDir.keyService,
      principalsFile,
      makeSeeds: false,
      port: 0,
      tls: pki.keyService,
      region: defaultRegion,
      rootKey: options,
      logger: createLogger('error'),
    }),
  );
  try {
    return await use(value.endpoint);
  } finally {
    await started.close();
  }
}

export type Sdk = typeof AwsSdk;

/** Runs `use` with a client of the service; the SDK's errors become sentences. */
export async function withKmsClient<T>(
  options: ConnectionOptions,
  use: (client: KMSClient, sdk: Sdk) => Promise<T>,
): Promise<T> {
  const dataDir = existingDataDir(options.dataDir);
  return withEndpoint(options, dataDir, (endpoint) => callService(options, dataDir, endpoint, use));
}

async function callService<T>(
  options: ConnectionOptions,
  dataDir: DataDir,
  endpoint: string,
  use: (client: KMSClient, sdk: Sdk) => Promise<T>,
): Promise<T> {
  const credentialsFile =
    options.credentialsFile ?? (existsSync(dataDir.credentials) ? dataDir.credentials : undefined);
  // The SDK's chain reads the file's place from the environment; the option is the same setting, said once.
  if (credentialsFile !== undefined) process.env['AWS_SHARED_CREDENTIALS_FILE'] = credentialsFile;
  // The SDK's note on future Node versions is for who builds this, not for who lists keys.
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true';
  const [sdk, ca] = await Promise.all([
    import('@aws-sdk/client-kms'),
    readFile(join(dataDir.pki, 'ca.crt')).catch(() => undefined),
  ]);
  const profile = options.profile ?? (credentialsFile === undefined ? undefined : 'default');
  const client = new sdk.KMSClient({
    endpoint,
    region: options.region ?? defaultRegion,
    maxAttempts: 2,
    requestHandler: {
      connectionTimeout: connectTimeoutMs,
      requestTimeout: requestTimeoutMs,
      ...(ca === undefined ? {} : { httpsAgent: { ca } }),
    },
    ...(profile === undefined ? {} : { profile }),
  });
  try {
    return await use(client, sdk);
  } catch (error) {
    if (error instanceof Error && error.name === 'CredentialsProviderError') {
      throw new CliError(
        `no access key for the key service: ${error.message}`,
        'Give --credentials-file and --profile, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.',
        undefined,
        { cause: error },
      );
    }
    if (!(error instanceof sdk.KMSServiceException)) throw error;
    const exitCode = error.name === 'ValidationException' ? exitCodes.usage : undefined;
    throw new CliError(`${error.name}: ${error.message}`, hintFor(error.name), exitCode, { cause: error });
  } finally {
    client.destroy();
  }
}

function hintFor(name: string): string {
  switch (name) {
    case 'NotFoundException':
      return 'See what there is: waxseal kms key list';
    case 'IncorrectKeyMaterialException':
      return 'A key takes again only what was imported into it before. For other material: --new-material (symmetric keys), or a new key.';
    case 'AccessDeniedException':
      return 'Ask with --profile of somebody who may, or change the policies.';
    case 'UnrecognizedClientException':
    case 'InvalidSignatureException':
      return 'The service knows other access keys: was it started with another --config? Give --credentials-file.';
    default:
      return '';
  }
}
