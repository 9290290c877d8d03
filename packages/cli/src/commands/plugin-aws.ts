/** `waxseal plugin aws`: DEKs wrapped with AWS KMS, by the flags of aws-encryption-provider. */
import { createAwsProvider, type KeySetOptions } from '@waxseal/kms-plugin';
import { usageError } from '../errors.js';
import { definedOnly, givenFiles, serveKeySets, type ServeOptions } from './plugin-serve-key.js';

export interface AwsOptions extends Omit<ServeOptions, 'listen'> {
  readonly key: readonly string[];
  readonly listen?: readonly string[];
  readonly encryptionContext?: readonly string[];
  readonly decryptKey?: readonly string[];
  readonly region?: string;
  readonly kmsEndpoint?: string;
  readonly sourceArn?: string;
  readonly caFile?: string;
  readonly credentialsFile?: string;
  readonly profile?: string;
  readonly healthzPath: string;
  readonly livezPath: string;
  readonly qpsLimit: number;
  readonly burstLimit: number;
  readonly retryTokenCapacity: number;
  readonly kmsVersions?: readonly string[];
  readonly healthKmsVersion?: 'v1' | 'v2';
  readonly debug: boolean;
}

const defaultSocket = '/var/run/kmsplugin/socket.sock';

export async function pluginAws(options: AwsOptions): Promise<void> {
  // The SDK's chain reads the file's place from the environment; the option is the same setting, said once.
  if (options.credentialsFile !== undefined)
    process.env['AWS_SHARED_CREDENTIALS_FILE'] = options.credentialsFile;
  const keySets = keySetsOf(options);
  const { healthPort, healthzPath, livezPath } = options;
  await serveKeySets(keySets, {
    ...options,
    secretFiles: givenFiles(options.credentialsFile),
    logLevel: options.debug ? 'debug' : options.logLevel,
    ...(healthPort === undefined ? {} : { healthPort: { ...healthPort, healthzPath, livezPath } }),
  });
}

/** Key, socket, context and versions belong together by their place in the lists, as in aws-encryption-provider. */
function keySetsOf(options: AwsOptions): readonly KeySetOptions[] {
  const { key: keys } = options;
  // Nothing listens when keys are only tried.
  const sockets =
    options.listen ?? (options.explain === true ? keys.map(() => defaultSocket) : [defaultSocket]);
  if (keys.length !== sockets.length) {
    throw usageError(
      `${keys.length} --key and ${sockets.length} --listen`,
      'Give every key a socket of its own.',
    );
  }
  const contexts = (options.encryptionContext ?? []).map(parseContext);
  if (contexts.length > keys.length) {
    throw usageError(
      `${keys.length} --key and ${contexts.length} --encryption-context`,
      'Every key has one context; write it in one flag, parted by commas.',
    );
  }
  const versions = (options.kmsVersions ?? []).map(parseVersions);
  if (versions.length > 0 && versions.length !== keys.length) {
    throw usageError(
      `${keys.length} --key and ${versions.length} --kms-versions`,
      'Give every key its versions.',
    );
  }
  const { healthKmsVersion } = options;
  if (healthKmsVersion !== undefined && versions.some((served) => !served.includes(healthKmsVersion))) {
    throw usageError(
      `--health-kms-version ${healthKmsVersion}, which --kms-versions does not serve for every key`,
      'Name a version that is served, or leave the flag out: one probe speaks for both.',
    );
  }
  const limits = definedOnly({
    qpsLimit: options.qpsLimit || undefined,
    burstLimit: options.burstLimit || undefined,
    retryTokenCapacity: options.retryTokenCapacity || undefined,
  });
  return keys.map((keyId, index) => ({
    name: index === 0 ? 'aws' : `aws-${index + 1}`,
    listen: sockets[index] ?? defaultSocket,
    statusVersion: options.statusVersion,
    versions: versions[index],
    limits,
    awsMetrics: true,
    provider: createAwsProvider({
      keyId,
      ...definedOnly({
        encryptionContext: contexts[index],
        decryptKeyIds: options.decryptKey,
        region: options.region || regionOf(keyId),
        endpoint: options.kmsEndpoint || undefined,
        sourceArn: options.sourceArn || undefined,
        caFile: options.caFile,
        profile: options.profile,
      }),
    }),
  }));
}

/** `a=b,c=d`, also in brackets and with fields in quotes, as Go's flag library writes and reads it. Empty: no context. */
function parseContext(text: string): Readonly<Record<string, string>> {
  const inner = text.replace(/^\[(.*)\]$/s, '$1');
  if (inner === '') return {};
  const context: Record<string, string> = {};
  for (const [, quoted, bare] of inner.matchAll(/(?:"((?:[^"]|"")*)"|([^,]+))(?:,|$)/g)) {
    Object.assign(context, parsePair(quoted?.replaceAll('""', '"') ?? bare ?? ''));
  }
  return context;
}

function parsePair(pair: string): Readonly<Record<string, string>> {
  const at = pair.indexOf('=');
  if (at <= 0) throw usageError(`--encryption-context: '${pair}' is not name=value`, 'Write a=b,c=d.');
  return { [pair.slice(0, at)]: pair.slice(at + 1) };
}

function parseVersions(text: string): readonly ('v1' | 'v2')[] {
  const versions = text.split(':');
  const known = versions.filter((version) => version === 'v1' || version === 'v2');
  if (known.length !== versions.length)
    throw usageError(`--kms-versions: '${text}'`, 'Write v1, v2 or v1:v2.');
  return known;
}

/** Of a key's ARN, where neither a flag nor the environment names one. */
function regionOf(keyId: string): string | undefined {
  if (process.env['AWS_REGION'] || process.env['AWS_DEFAULT_REGION']) return undefined;
  return /^arn:[^:]+:kms:([^:]+):/.exec(keyId)?.[1];
}
