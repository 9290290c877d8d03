/** Reaches the key service that runs on a data directory, as its administrator. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type * as AwsSdk from '@aws-sdk/client-kms';
import type { KMSClient } from '@aws-sdk/client-kms';
import { findRunningKeyService, type RunningKeyService } from '@waxseal/key-service';
import { CliError } from '../errors.js';
import { region as defaultRegion } from '../up/client-files.js';
import { type DataDir, openDataDir } from '../up/data-dir.js';

const connectTimeoutMs = 2_000;
const requestTimeoutMs = 30_000;

export interface ConnectionOptions {
  readonly dataDir: string;
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

/** @throws CliError when none runs there */
async function requireRunning(dataDir: DataDir): Promise<RunningKeyService> {
  const running = await findRunningKeyService(dataDir.keyService);
  if (running === undefined) {
    throw new CliError(
      `no key service runs on ${dataDir.path}`,
      `Start it in another terminal: waxseal kms serve --data-dir ${dataDir.path}`,
    );
  }
  return running;
}

export type Sdk = typeof AwsSdk;

/** Runs `use` with a client of the service; the SDK's errors become sentences. */
export async function withKmsClient<T>(
  options: ConnectionOptions,
  use: (client: KMSClient, sdk: Sdk) => Promise<T>,
): Promise<T> {
  const dataDir = existingDataDir(options.dataDir);
  const { endpoint } = await (await requireRunning(dataDir)).status();
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
    endpoint: String(endpoint),
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
    if (!(error instanceof sdk.KMSServiceException)) throw error;
    throw new CliError(`${error.name}: ${error.message}`, hintFor(error.name), undefined, { cause: error });
  } finally {
    client.destroy();
  }
}

function hintFor(name: string): string {
  switch (name) {
    case 'NotFoundException':
      return 'See what there is: waxseal kms key list';
    case 'AccessDeniedException':
      return 'Ask with --profile of somebody who may, or change the policies.';
    case 'UnrecognizedClientException':
    case 'InvalidSignatureException':
      return 'The service knows other access keys: was it started with another --config? Give --credentials-file.';
    default:
      return '';
  }
}
