/**
 * Verify: opens stored values as the API server would and says of each that does not open why. One value per DEK source is enough to
 * know that the keys are there; all of them, to know that every object can be read.
 */
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import {
  createEncryptionAtRest,
  grpcConnectors,
  readEncryptionConfig,
  type EncryptionConfiguration,
  type GroupResource,
  type KmsConnectors,
} from '@waxseal/encryption-config';
import { errorMessage, type Transformer } from '@waxseal/envelope';
import { OpsError } from '../errors.js';
import type { Source } from '../sources/source.js';
import type { VerifyFailure } from './decision.js';
import { createDiagnoser } from './diagnose.js';
import { VerifyRun } from './verify-run.js';

export interface VerifyResult {
  /** Values opened or tried. */
  readonly checked: number;
  /** Values under the prefix; the others share a key with one that was checked. */
  readonly seen: number;
  /** In the order of the source. */
  readonly failed: readonly VerifyFailure[];
}

export interface VerifyProgress {
  readonly seen: number;
  /** Live values there are, about; 0 where the source cannot tell. */
  readonly total: number;
  readonly checked: number;
  readonly failed: number;
}

export interface VerifyOptions {
  readonly source: Source;
  /** What the API server's --etcd-prefix is; `/registry` by default. */
  readonly prefix?: string;
  /** Path of the EncryptionConfiguration; KMS v1 is allowed. */
  readonly encryptionConfigFile: string;
  /** Every value; default: one per DEK source, or per key name and resource. KMS v1 has a DEK per value, so all of its values. */
  readonly all?: boolean;
  /** Decodes an opened object completely; throws what is wrong with it. Default: only kind, namespace and name are read. */
  readonly decode?: (data: Buffer) => void;
  /** Values under way at a time; 16 by default. */
  readonly workers?: number;
  readonly onProgress?: (progress: VerifyProgress) => void;
  readonly signal?: AbortSignal;
  /** Default: gRPC over the configured sockets. */
  readonly connectors?: KmsConnectors;
}

const DEFAULT_PREFIXES = ['/registry', '/kubernetes.io', 'registry'];

/** @throws OpsError config-invalid, source-unreadable, source-damaged, interrupted */
export async function verify(options: VerifyOptions): Promise<VerifyResult> {
  const prefix = `${(options.prefix ?? '/registry').replace(/\/+$/, '')}/`;
  const config = await readConfig(options.encryptionConfigFile);
  const diagnoser = createDiagnoser({
    config,
    connectors: options.connectors ?? grpcConnectors,
    randomBytes,
    prefixes: [...new Set([prefix.slice(0, -1), ...DEFAULT_PREFIXES])],
  });
  try {
    const encryption = await createEncryptionAtRest({
      file: options.encryptionConfigFile,
      kmsV1Enabled: true,
      connectors: diagnoser.connectors,
    });
    try {
      const transformerFor = (resource: GroupResource): Transformer => encryption.transformerFor(resource);
      return await new VerifyRun(options, prefix, transformerFor, diagnoser).toEnd();
    } finally {
      await encryption.close();
    }
  } finally {
    diagnoser.close();
  }
}

async function readConfig(file: string): Promise<EncryptionConfiguration> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw new OpsError(
      'config-invalid',
      `The EncryptionConfiguration cannot be read: ${errorMessage(error)}`,
      error,
    );
  }
  const { config, message } = readEncryptionConfig(text, { fileName: file, kmsV1Enabled: true });
  if (config === undefined) {
    throw new OpsError('config-invalid', `The EncryptionConfiguration ${file} cannot be used: ${message}`);
  }
  return config;
}
