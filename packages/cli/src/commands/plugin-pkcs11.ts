/** `waxseal plugin pkcs11`: DEKs wrapped under a key of a PKCS#11 token, and making such a key. */
import {
  createPkcs11Key,
  createPkcs11Provider,
  type Pkcs11Mechanism,
  type Pkcs11ProviderOptions,
} from '@waxseal/kms-plugin';
import type { OutputFormat } from '../options.js';
import { warnIfOpen } from '../parts/secrets.js';
import { secretReader } from './plugin-secret.js';
import { definedOnly, givenFiles, serveKey, type ServeOptions } from './plugin-serve-key.js';

interface TokenOptions {
  readonly module: string;
  readonly tokenLabel?: string;
  readonly tokenSerial?: string;
  readonly slot?: number;
  readonly pinFile?: string;
  readonly keyLabel: string;
}

export interface Pkcs11Options extends ServeOptions, TokenOptions {
  readonly keyId?: Buffer;
  readonly mechanism?: Pkcs11Mechanism;
  readonly maxSessions?: number;
}

export async function pluginPkcs11(options: Pkcs11Options): Promise<void> {
  const { keyId, mechanism, maxSessions } = options;
  const provider = await createPkcs11Provider({
    ...(await tokenOf(options)),
    ...definedOnly({ keyId, mechanism, maxSessions }),
  });
  await serveKey(provider, {
    ...options,
    secretFiles: givenFiles(options.pinFile),
  });
}

export async function createTokenKey(
  options: TokenOptions & {
    readonly mechanism: Pkcs11Mechanism;
    readonly endDate?: Date;
    readonly output: OutputFormat;
  },
): Promise<void> {
  const { mechanism, endDate, keyLabel } = options;
  warnIfOpen(options.pinFile);
  const id = await createPkcs11Key({ ...(await tokenOf(options)), mechanism, endDate });
  const keyId = id.toString('hex');
  console.log(
    options.output === 'json'
      ? JSON.stringify({ keyLabel, keyId, mechanism })
      : `The token has a key '${keyLabel}' with CKA_ID ${keyId} for ${mechanism} now. A plugin that runs writes with it after SIGHUP.`,
  );
}

type Named = Pick<Pkcs11ProviderOptions, 'modulePath' | 'keyLabel' | 'pin'> &
  Partial<Pick<Pkcs11ProviderOptions, 'tokenLabel' | 'serialNumber' | 'slotId'>>;

async function tokenOf(options: TokenOptions): Promise<Named> {
  return {
    modulePath: options.module,
    keyLabel: options.keyLabel,
    pin: await secretReader(options.pinFile, {
      variable: 'WAXSEAL_PKCS11_PIN',
      option: '--pin-file',
      missing: 'the token needs a PIN, and it is not given',
      question: 'PIN of the PKCS#11 token: ',
    }),
    ...definedOnly({
      tokenLabel: options.tokenLabel,
      serialNumber: options.tokenSerial,
      slotId: options.slot,
    }),
  };
}
