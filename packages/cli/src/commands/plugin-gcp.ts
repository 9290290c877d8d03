/** `waxseal plugin gcp`: DEKs wrapped with Google Cloud KMS. */
import { createGcpProvider } from '@waxseal/kms-plugin';
import { definedOnly, serveKey, type ServeOptions } from './plugin-serve-key.js';

export interface GcpOptions extends ServeOptions {
  readonly key: string;
  readonly decryptKey?: readonly string[];
  readonly keySuffix?: string;
  readonly aad?: string;
  readonly credentialsFile?: string;
  readonly kmsEndpoint?: string;
  readonly universeDomain?: string;
}

export async function pluginGcp(options: GcpOptions): Promise<void> {
  const provider = createGcpProvider({
    key: options.key,
    ...definedOnly({
      decryptKeys: options.decryptKey,
      keyIdSuffix: options.keySuffix,
      additionalAuthenticatedData: options.aad,
      credentialsFile: options.credentialsFile,
      endpoint: options.kmsEndpoint,
      universeDomain: options.universeDomain,
    }),
  });
  await serveKey(provider, options);
}
