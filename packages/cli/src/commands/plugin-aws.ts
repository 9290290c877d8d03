/** `waxseal plugin aws`: DEKs wrapped with AWS KMS. */
import { createAwsProvider } from '@waxseal/kms-plugin';
import { definedOnly, serveKey, type ServeOptions } from './plugin-serve-key.js';

export interface AwsOptions extends ServeOptions {
  readonly key: string;
  readonly region?: string;
  readonly kmsEndpoint?: string;
  readonly caFile?: string;
  readonly credentialsFile?: string;
  readonly profile?: string;
  readonly encryptionContext?: Readonly<Record<string, string>>;
}

export async function pluginAws(options: AwsOptions): Promise<void> {
  // The SDK's chain reads the file's place from the environment; the option is the same setting, said once.
  if (options.credentialsFile !== undefined)
    process.env['AWS_SHARED_CREDENTIALS_FILE'] = options.credentialsFile;
  const provider = createAwsProvider({
    keyId: options.key,
    ...definedOnly({
      encryptionContext: options.encryptionContext,
      region: options.region,
      endpoint: options.kmsEndpoint,
      caFile: options.caFile,
      profile: options.profile,
    }),
  });
  await serveKey(provider, options);
}
