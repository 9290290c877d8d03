/** A running `waxseal kms serve` whose keys and callers are known beforehand, and clients of it. */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { Agent } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KMSClient, type KMSClientConfig } from '@aws-sdk/client-kms';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { run, type Result, tool } from './programs.js';
import { startWaxseal, type Process } from './waxseal.js';

export const REGION = 'us-east-1';
export const OTHER_REGION = 'eu-west-1';
export const ACCOUNT = '111122223333';
export const KEY_ARN = `arn:aws:kms:${REGION}:${ACCOUNT}:key/`;
export const ADMIN = { id: 'AKIAADMINOFTESTS0001', secret: 'admin-secret-of-tests' } as const;
const READER = { id: 'AKIAREADEROFTESTS001', secret: 'reader-secret-of-tests' } as const;
export const ROLE_ARN = `arn:aws:iam::${ACCOUNT}:role/operator`;

interface KmsReady {
  readonly endpoint: string;
  readonly caFile: string;
}

export interface KeyServiceUnderTest extends Process<KmsReady> {
  /** Removed with the service. */
  readonly folder: string;
  readonly dataDir: string;
  /** For programs: the administrator's access key, Region, authority, and no file of the user's. */
  readonly environment: Readonly<Record<string, string>>;
  /** Settings of the AWS SDK: endpoint, administrator, authority. */
  settings(region?: string): KMSClientConfig & { readonly requestHandler: NodeHttpHandler };
  client(region?: string): KMSClient;
  /** Runs the real aws CLI as the administrator. */
  aws(...args: readonly string[]): Promise<Result>;
  close(): Promise<void>;
}

const principals = (throttling: Readonly<Record<string, unknown>>, keys: readonly unknown[]): string =>
  JSON.stringify({
    accounts: [
      {
        id: ACCOUNT,
        users: [
          { name: 'admin', accessKeys: [ADMIN], policies: ['AdministratorAccess'] },
          { name: 'reader', accessKeys: [READER], policies: ['ReadOnlyAccess'] },
        ],
        roles: [
          {
            name: 'operator',
            trustPolicy: {
              Version: '2012-10-17',
              Statement: [
                {
                  Effect: 'Allow',
                  Principal: { AWS: `arn:aws:iam::${ACCOUNT}:root` },
                  Action: 'sts:AssumeRole',
                },
              ],
            },
            policies: ['AdministratorAccess'],
          },
        ],
        keys,
      },
    ],
    throttling,
  });

/** Each start has a folder of its own. The caller closes it. */
export async function startKeyService(
  options: {
    readonly throttling?: Readonly<Record<string, unknown>>;
    readonly keys?: readonly unknown[];
    readonly arguments?: readonly string[];
  } = {},
): Promise<KeyServiceUnderTest> {
  const folder = await mkdtemp(join(tmpdir(), 'waxseal-kms-'));
  const config = join(folder, 'config.yaml');
  await writeFile(config, principals(options.throttling ?? {}, options.keys ?? []));
  const dataDir = join(folder, 'data');
  const where = ['--data-dir', dataDir, '--config', config, '--port', '0'];
  const served = await startWaxseal<KmsReady>('kms', 'serve', ...where, ...(options.arguments ?? []));
  const { endpoint, caFile } = served.ready;
  const agent = new Agent({ keepAlive: true, ca: readFileSync(caFile) });
  const clients: KMSClient[] = [];
  const settings = (region = REGION) => ({
    endpoint,
    region,
    credentials: { accessKeyId: ADMIN.id, secretAccessKey: ADMIN.secret },
    requestHandler: new NodeHttpHandler({ httpsAgent: agent }),
    maxAttempts: 1,
  });
  const environment = {
    HOME: folder,
    AWS_ACCESS_KEY_ID: ADMIN.id,
    AWS_SECRET_ACCESS_KEY: ADMIN.secret,
    AWS_DEFAULT_REGION: REGION,
    AWS_CA_BUNDLE: caFile,
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_PAGER: '',
  };
  return {
    ...served,
    folder,
    dataDir,
    environment,
    settings,
    client: (region) => {
      const client = new KMSClient(settings(region));
      clients.push(client);
      return client;
    },
    aws: (...args) => run(tool('aws'), ['--endpoint-url', endpoint, ...args], { env: environment }),
    close: async () => {
      for (const client of clients) client.destroy();
      agent.destroy();
      await served.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
