/**
 * Making keys on the token. They never leave it: CKA_SENSITIVE, not CKA_EXTRACTABLE, and the token is asked afterwards whether it
 * took that seriously.
 */
import type { Cryptoki } from './cryptoki.js';
import { CKK, CKO } from './constants.js';
import { renderCkDate } from './dates.js';
import { Pkcs11Error } from './errors.js';
import { mechanism } from './mechanisms.js';
import { readUlong, type Template, ULONG_BYTES } from './native-memory.js';
import { readAttributes } from './objects.js';
import { curveParams } from './public-key.js';
import type { Session } from './session-pool.js';
import type { EcCurve, GenerateKeyOptions, KeyPairUsage, SecretKeyUsage } from './token.js';

const RSA_PUBLIC_EXPONENT = Buffer.from([1, 0, 1]);

const PROTECTED: Template = [
  ['CKA_TOKEN', true],
  ['CKA_PRIVATE', true],
  ['CKA_SENSITIVE', true],
  ['CKA_EXTRACTABLE', false],
];

export interface KeyPairHandles {
  readonly publicKey: number;
  readonly privateKey: number;
}

export async function generateSecretKey(
  cryptoki: Cryptoki,
  session: Session,
  keyType: 'aes' | 'generic-secret',
  options: GenerateKeyOptions & SecretKeyUsage & { readonly bytes: number },
): Promise<number> {
  const { label, id, bytes, encryptDecrypt = false, signVerify = false, wrapUnwrap = false } = options;
  const template: Template = [
    ['CKA_CLASS', CKO.secret],
    ['CKA_KEY_TYPE', CKK[keyType]],
    ...PROTECTED,
    ['CKA_LABEL', label],
    ['CKA_ID', id],
    ['CKA_VALUE_LEN', bytes],
    ['CKA_ENCRYPT', encryptDecrypt],
    ['CKA_DECRYPT', encryptDecrypt],
    ['CKA_SIGN', signVerify],
    ['CKA_VERIFY', signVerify],
    ['CKA_WRAP', wrapUnwrap],
    ['CKA_UNWRAP', wrapUnwrap],
    ...lifetime(options),
  ];
  const handle = await cryptoki.withMemory(async (memory) => {
    const out = memory.reserve(ULONG_BYTES);
    await cryptoki.checked(
      'C_GenerateKey',
      session.handle,
      mechanism(memory, keyType === 'aes' ? 'CKM_AES_KEY_GEN' : 'CKM_GENERIC_SECRET_KEY_GEN'),
      memory.template(template),
      template.length,
      out,
    );
    return readUlong(out) ?? 0;
  });
  await assertProtected(cryptoki, session, [handle], handle);
  return handle;
}

export function generateRsaKeyPair(
  cryptoki: Cryptoki,
  session: Session,
  options: GenerateKeyOptions & KeyPairUsage & { readonly modulusBits: number },
): Promise<KeyPairHandles> {
  return generateKeyPair(cryptoki, session, 'CKM_RSA_PKCS_KEY_PAIR_GEN', options, [
    ['CKA_MODULUS_BITS', options.modulusBits],
    ['CKA_PUBLIC_EXPONENT', RSA_PUBLIC_EXPONENT],
  ]);
}

export function generateEcKeyPair(
  cryptoki: Cryptoki,
  session: Session,
  options: GenerateKeyOptions & KeyPairUsage & { readonly curve: EcCurve },
): Promise<KeyPairHandles> {
  return generateKeyPair(cryptoki, session, 'CKM_EC_KEY_PAIR_GEN', options, [
    ['CKA_EC_PARAMS', curveParams(options.curve)],
  ]);
}

async function generateKeyPair(
  cryptoki: Cryptoki,
  session: Session,
  name: 'CKM_RSA_PKCS_KEY_PAIR_GEN' | 'CKM_EC_KEY_PAIR_GEN',
  options: GenerateKeyOptions & KeyPairUsage,
  publicTemplate: Template,
): Promise<KeyPairHandles> {
  const { label, id, encryptDecrypt = false, signVerify = false } = options;
  // What is left out may be on by default; but some tokens refuse to hear of encryption on an EC key at all.
  const encryption = name === 'CKM_RSA_PKCS_KEY_PAIR_GEN';
  const forPublic: Template = [
    ['CKA_TOKEN', true],
    ['CKA_PRIVATE', false],
    ['CKA_LABEL', label],
    ['CKA_ID', id],
    ['CKA_VERIFY', signVerify],
    ...flags(encryption, [
      ['CKA_ENCRYPT', encryptDecrypt],
      ['CKA_WRAP', false],
    ]),
    ...publicTemplate,
    ...lifetime(options),
  ];
  const forPrivate: Template = [
    ...PROTECTED,
    ['CKA_LABEL', label],
    ['CKA_ID', id],
    ['CKA_SIGN', signVerify],
    ...flags(encryption, [
      ['CKA_DECRYPT', encryptDecrypt],
      ['CKA_UNWRAP', false],
    ]),
    ...lifetime(options),
  ];
  const handles = await cryptoki.withMemory(async (memory) => {
    const publicKey = memory.reserve(ULONG_BYTES);
    const privateKey = memory.reserve(ULONG_BYTES);
    await cryptoki.checked(
      'C_GenerateKeyPair',
      session.handle,
      mechanism(memory, name),
      memory.template(forPublic),
      forPublic.length,
      memory.template(forPrivate),
      forPrivate.length,
      publicKey,
      privateKey,
    );
    return { publicKey: readUlong(publicKey) ?? 0, privateKey: readUlong(privateKey) ?? 0 };
  });
  await assertProtected(cryptoki, session, [handles.publicKey, handles.privateKey], handles.privateKey);
  return handles;
}

function lifetime({ endDate }: GenerateKeyOptions): Template {
  return endDate === undefined ? [] : [['CKA_END_DATE', renderCkDate(endDate)]];
}

function flags(apply: boolean, template: Template): Template {
  return apply ? template : [];
}

/** A token that ignored the template has made a key that can leave it: that one is removed again. */
async function assertProtected(
  cryptoki: Cryptoki,
  session: Session,
  made: readonly number[],
  secret: number,
): Promise<void> {
  const attributes = await readAttributes(cryptoki, session, secret, ['CKA_SENSITIVE', 'CKA_EXTRACTABLE']);
  if (attributes.get('CKA_SENSITIVE')?.[0] === 1 && attributes.get('CKA_EXTRACTABLE')?.[0] === 0) return;
  for (const handle of made) await cryptoki.call('C_DestroyObject', session.handle, handle);
  throw new Pkcs11Error(
    'token-failed',
    'The token made a key that can be taken out of it, though it was asked not to. The key was removed again.',
  );
}
