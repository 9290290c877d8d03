/** `waxseal kms serve`: the key service alone. */
import { existsSync, readFileSync } from 'node:fs';
import { hostname, networkInterfaces } from 'node:os';
import { parsePrincipals } from '@waxseal/key-service';
import { CliError, exitCodes } from '../errors.js';
import { runUntilSignal } from '../lifetime.js';
import { createLogger } from '../logging.js';
import type { LogLevel, OutputFormat } from '../options.js';
import { startKeyServicePart } from '../parts/key-service.js';
import type { RootKeyOptions } from '../parts/root-key.js';
import type { StorageOptions } from '../parts/store.js';
import { ensurePrincipals, region } from '../up/client-files.js';
import { type DataDir, openDataDir } from '../up/data-dir.js';
import { loadKeyServicePki } from '../up/pki.js';

export interface KmsServeOptions extends RootKeyOptions, StorageOptions {
  readonly dataDir: string;
  readonly host: string;
  readonly port: number;
  readonly config?: string;
  readonly allowPlaintextSeeds: boolean;
  readonly insecureHttp: boolean;
  readonly healthPort?: number;
  readonly auditRetentionDays?: number;
  readonly output: OutputFormat;
  readonly logLevel: LogLevel;
}

const loopback = new Set(['127.0.0.1', '::1', 'localhost']);
const everyAddress = new Set(['0.0.0.0', '::']);

export async function serveKms(options: KmsServeOptions): Promise<void> {
  const { host } = options;
  if (options.insecureHttp && !loopback.has(host)) {
    throw new CliError(
      `plain HTTP is served on loopback only, not on ${host}`,
      'Leave out --insecure-http, or --host.',
      exitCodes.usage,
    );
  }
  const dataDir = openDataDir(options.dataDir);
  const pki = await loadKeyServicePki(dataDir.pki, new Date(), namesOf(host));
  if (options.config === undefined) ensurePrincipals(dataDir);
  const principalsFile = options.config ?? dataDir.principals;
  await runUntilSignal(
    (started) =>
      startKeyServicePart(started, {
        folder: dataDir.keyService,
        principalsFile,
        allowPlaintextSeeds: options.allowPlaintextSeeds,
        host,
        port: options.port,
        tls: options.insecureHttp ? undefined : pki.keyService,
        region,
        rootKey: options,
        storage: options,
        healthPort: options.healthPort,
        auditRetentionDays: options.auditRetentionDays,
        logger: createLogger(options.logLevel),
      }),
    ({ endpoint, healthEndpoint }) => {
      const credentialsFile = credentialsOf(dataDir, principalsFile);
      console.log(
        options.output === 'json'
          ? JSON.stringify({ endpoint, caFile: pki.caFile, region, credentialsFile, healthEndpoint })
          : describe(
              endpoint,
              options.insecureHttp ? undefined : pki.caFile,
              credentialsFile,
              principalsFile,
            ),
      );
    },
  );
}

/** The data directory's credentials file, when it is there and its first access key is one of the file's. */
function credentialsOf(dataDir: DataDir, principalsFile: string): string | undefined {
  if (!existsSync(dataDir.credentials)) return undefined;
  const id = /^aws_access_key_id *= *(\S+)$/m.exec(readFileSync(dataDir.credentials, 'utf8'))?.[1];
  const known = id !== undefined && parsePrincipals(readFileSync(principalsFile, 'utf8')).findAccessKey(id);
  return known ? dataDir.credentials : undefined;
}

/** What clients may call this machine when the service listens at `host`. */
function namesOf(host: string): readonly string[] {
  if (loopback.has(host)) return [];
  if (!everyAddress.has(host)) return [host];
  const addresses = Object.values(networkInterfaces()).flatMap((all) => all ?? []);
  // Link-local addresses mean nothing without their interface, and certificates cannot name one.
  const reachable = addresses.filter(({ scopeid }) => !scopeid).map(({ address }) => address);
  return [hostname(), ...reachable];
}

const describe = (
  endpoint: string,
  caFile: string | undefined,
  credentialsFile: string | undefined,
  principalsFile: string,
): string =>
  `The key service listens at ${endpoint}.

Type next, in another terminal${credentialsFile === undefined ? `, with an access key of ${principalsFile} in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY` : ''}:

${credentialsFile === undefined ? '' : `  export AWS_SHARED_CREDENTIALS_FILE=${credentialsFile}\n`}${caFile === undefined ? '' : `  export AWS_CA_BUNDLE=${caFile}\n`}  aws --endpoint-url ${endpoint} --region ${region} kms list-keys
`;
