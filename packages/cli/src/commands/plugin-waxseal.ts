/** `waxseal plugin waxseal`: DEKs wrapped with our key service. */
import { createWaxsealProvider } from '@waxseal/kms-plugin';
import { CliError, exitCodes } from '../errors.js';
import { definedOnly, givenFiles, serveKey, type ServeOptions } from './plugin-serve-key.js';

interface WaxsealOptions extends ServeOptions {
  readonly key: string;
  readonly region?: string;
  readonly kmsEndpoint?: string;
  readonly caFile?: string;
  readonly credentialsFile?: string;
  readonly profile?: string;
  readonly encryptionContext?: Readonly<Record<string, string>>;
}

export async function pluginWaxseal(options: WaxsealOptions): Promise<void> {
  const { kmsEndpoint, credentialsFile } = options;
  if (kmsEndpoint === undefined || credentialsFile === undefined) {
    throw new CliError(
      'the waxseal provider needs --kms-endpoint and --credentials-file',
      '`waxseal up` and `waxseal kms serve` print both.',
      exitCodes.usage,
    );
  }
  const provider = createWaxsealProvider({
    keyId: options.key,
    endpoint: kmsEndpoint,
    credentialsFile,
    ...definedOnly({
      encryptionContext: options.encryptionContext,
      region: options.region,
      caFile: options.caFile,
      profile: options.profile,
    }),
  });
  await serveKey(provider, {
    ...options,
    secretFiles: givenFiles(credentialsFile),
  });
}
