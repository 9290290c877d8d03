/** A protector by name and settings: what a command line, or a control request, can say. */
import { join } from 'node:path';
import { KeyServiceError } from '../errors.js';
import type { JsonObject } from '../http/json-body.js';
import { createAwsKmsProtector } from './aws-kms-protector.js';
import { createFileProtector } from './file-protector.js';
import { createPassphraseProtector } from './passphrase-protector.js';
import { createPkcs11Protector } from './pkcs11-protector.js';
import type { RootKeyProtector } from './protector.js';

export const ROOT_KEY_PROTECTOR_KINDS = ['file', 'passphrase', 'pkcs11', 'aws-kms'] as const;
export type RootKeyProtectorKind = (typeof ROOT_KEY_PROTECTOR_KINDS)[number];

export type RootKeyProtectorChoice =
  | { readonly kind: 'file' }
  | { readonly kind: 'passphrase'; readonly passphrase: () => Promise<Buffer> }
  | {
      readonly kind: 'pkcs11';
      readonly modulePath?: string | undefined;
      readonly tokenLabel?: string | undefined;
      readonly keyLabel?: string | undefined;
      readonly pin: () => Promise<Buffer>;
    }
  | {
      readonly kind: 'aws-kms';
      readonly keyId?: string | undefined;
      readonly region?: string | undefined;
      readonly endpoint?: string | undefined;
      readonly caFile?: string | undefined;
      readonly profile?: string | undefined;
    };

/** @param dataDir of the key service: a file protector keeps `root.key` there */
export function createRootKeyProtector(
  choice: RootKeyProtectorChoice,
  dataDir: string,
  randomBytes: (size: number) => Buffer,
): RootKeyProtector {
  switch (choice.kind) {
    case 'file':
      return createFileProtector(join(dataDir, 'root.key'));
    case 'passphrase':
      return createPassphraseProtector(choice.passphrase, randomBytes);
    case 'pkcs11':
      return createPkcs11Protector(choice, randomBytes);
    default:
      return createAwsKmsProtector(choice);
  }
}

/** A choice out of a control request; the passphrase or PIN in it is base64. @throws KeyServiceError invalid-option */
export function parseProtectorChoice(request: JsonObject): RootKeyProtectorChoice {
  const { kind, passphrase, pin } = request;
  if (kind === 'file') return { kind };
  if (kind === 'passphrase' && typeof passphrase === 'string') {
    return { kind, passphrase: async () => Buffer.from(passphrase, 'base64') };
  }
  const text = (name: string): string | undefined => {
    const value = request[name];
    return typeof value === 'string' ? value : undefined;
  };
  if (kind === 'pkcs11' && typeof pin === 'string') {
    return {
      kind,
      modulePath: text('modulePath'),
      tokenLabel: text('tokenLabel'),
      keyLabel: text('keyLabel'),
      pin: async () => Buffer.from(pin, 'base64'),
    };
  }
  if (kind === 'aws-kms') {
    return {
      kind,
      keyId: text('keyId'),
      region: text('region'),
      endpoint: text('endpoint'),
      caFile: text('caFile'),
      profile: text('profile'),
    };
  }
  throw new KeyServiceError(
    'invalid-option',
    `There are the root key protectors ${ROOT_KEY_PROTECTOR_KINDS.join(', ')}.`,
  );
}
