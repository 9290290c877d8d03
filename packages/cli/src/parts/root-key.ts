/** Root key protectors as command lines name them. */
import { randomBytes } from 'node:crypto';
import {
  createRootKeyProtector,
  type RootKeyProtectorChoice,
  type RootKeyProtectorKind,
  type RootKeyProtectors,
} from '@waxseal/key-service';
import { readSecret } from './secrets.js';

export interface RootKeyOptions {
  readonly passphraseFile?: string;
  readonly unsealRegion?: string;
  readonly unsealEndpoint?: string;
  readonly unsealCaFile?: string;
  readonly unsealProfile?: string;
  readonly pkcs11Module?: string;
  readonly pkcs11Token?: string;
  readonly pkcs11PinFile?: string;
}

const passphraseVariable = 'WAXSEAL_PASSPHRASE';
const pinVariable = 'WAXSEAL_PKCS11_PIN';

/** All kinds: the store says which one is used. An empty store gets the first, a file. */
export function rootKeyProtectors(options: RootKeyOptions, folder: string): RootKeyProtectors {
  const create = (kind: RootKeyProtectorKind) =>
    createRootKeyProtector(protectorChoice(kind, options), folder, randomBytes);
  return [create('file'), create('passphrase'), create('pkcs11'), create('aws-kms')];
}

/** What is needed to seal only. */
export interface SealingOptions {
  /** Key of the other KMS. */
  readonly unsealKeyId?: string;
  /** Label of the key on the token. */
  readonly pkcs11Key?: string;
}

export function protectorChoice(
  kind: RootKeyProtectorKind,
  options: RootKeyOptions,
  { unsealKeyId, pkcs11Key }: SealingOptions = {},
): RootKeyProtectorChoice {
  switch (kind) {
    case 'file':
      return { kind };
    case 'passphrase':
      return {
        kind,
        passphrase: () => readPassphrase(options.passphraseFile),
      };
    case 'pkcs11':
      return {
        kind,
        modulePath: options.pkcs11Module,
        tokenLabel: options.pkcs11Token,
        keyLabel: pkcs11Key,
        pin: () => readPin(options.pkcs11PinFile),
      };
    default:
      return {
        kind,
        keyId: unsealKeyId,
        region: options.unsealRegion,
        endpoint: options.unsealEndpoint,
        caFile: options.unsealCaFile,
        profile: options.unsealProfile,
      };
  }
}

/** From the file, the environment variable, or a prompt. */
function readPassphrase(file: string | undefined): Promise<Buffer> {
  return readSecret(file, {
    variable: passphraseVariable,
    option: '--passphrase-file',
    missing: 'the root key is protected by a passphrase, and none is given',
    question: 'Passphrase of the root key: ',
  });
}

/** Of the user of the token; in the same ways. */
export function readPin(file: string | undefined): Promise<Buffer> {
  return readSecret(file, {
    variable: pinVariable,
    option: '--pkcs11-pin-file',
    missing: 'the root key is kept by a PKCS#11 token, and its PIN is not given',
    question: 'PIN of the PKCS#11 token: ',
  });
}
