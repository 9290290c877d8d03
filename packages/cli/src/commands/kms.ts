/** `waxseal kms serve`: the key service alone. */
import { runUntilSignal } from '../lifetime.js';
import { createLogger } from '../logging.js';
import type { LogLevel, OutputFormat } from '../options.js';
import { startKeyServicePart } from '../parts/key-service.js';
import type { RootKeyOptions } from '../parts/root-key.js';
import type { StorageOptions } from '../parts/store.js';
import { ensurePrincipals, region } from '../up/client-files.js';
import { openDataDir } from '../up/data-dir.js';
import { loadPki } from '../up/pki.js';

export interface KmsServeOptions extends RootKeyOptions, StorageOptions {
  readonly dataDir: string;
  readonly port: number;
  readonly config?: string;
  readonly allowPlaintextSeeds: boolean;
  readonly insecureHttp: boolean;
  readonly healthPort?: number;
  readonly auditRetentionDays?: number;
  readonly output: OutputFormat;
  readonly logLevel: LogLevel;
}

export async function serveKms(options: KmsServeOptions): Promise<void> {
  const dataDir = openDataDir(options.dataDir);
  const pki = await loadPki(dataDir.pki, new Date());
  if (options.config === undefined) ensurePrincipals(dataDir);
  const credentialsFile = options.config === undefined ? dataDir.credentials : undefined;
  await runUntilSignal(
    (started) =>
      startKeyServicePart(started, {
        folder: dataDir.keyService,
        principalsFile: options.config ?? dataDir.principals,
        allowPlaintextSeeds: options.allowPlaintextSeeds,
        port: options.port,
        tls: options.insecureHttp ? undefined : pki.keyService,
        region,
        rootKey: options,
        storage: options,
        healthPort: options.healthPort,
        auditRetentionDays: options.auditRetentionDays,
        logger: createLogger(options.logLevel),
      }),
    ({ endpoint, healthEndpoint }) =>
      console.log(
        options.output === 'json'
          ? JSON.stringify({ endpoint, caFile: pki.caFile, region, credentialsFile, healthEndpoint })
          : describe(endpoint, pki.caFile, credentialsFile),
      ),
  );
}

const describe = (endpoint: string, caFile: string, credentialsFile: string | undefined): string =>
  `The key service listens at ${endpoint}.

Type next, in another terminal:

${credentialsFile === undefined ? '' : `  export AWS_SHARED_CREDENTIALS_FILE=${credentialsFile}\n`}  export AWS_CA_BUNDLE=${caFile}
  aws --endpoint-url ${endpoint} --region ${region} kms list-keys
`;
