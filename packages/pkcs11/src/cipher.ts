/** Encrypting, decrypting, signing and verifying with a key of the token, by handle. PKCS#11 2.40 §5.8 to §5.13. */
import { CKF, CKM, CKO, CKK, CKR, type CkmName } from './constants.js';
import type { Cryptoki, CryptokiFunction } from './cryptoki.js';
import { Pkcs11Error } from './errors.js';
import {
  cipherMechanism,
  MAX_RSA_BYTES,
  mechanism,
  outputBytes,
  signInput,
  signMechanism,
} from './mechanisms.js';
import { type NativeMemory, readUlong, ULONG_BYTES } from './native-memory.js';
import { readAttributes } from './objects.js';
import { ciphertextInvalid, errorOf } from './return-values.js';
import type { Session } from './session-pool.js';
import type { CipherMechanism, SignMechanism } from './token.js';

type KeyWrap = Extract<CipherMechanism, { kind: 'aes-key-wrap' | 'aes-key-wrap-pad' }>;

/** Where an operation runs: which module and session, which key, and what the token can do (mechanism number → flags). */
export interface Operation {
  readonly cryptoki: Cryptoki;
  readonly session: Session;
  readonly key: number;
  readonly mechanismFlags: ReadonlyMap<number, number>;
}

/** The calls of one direction; `byKey`: how a token works that has the mechanism for keys only. */
const DIRECTIONS = {
  encrypt: { init: 'C_EncryptInit', call: 'C_Encrypt', byKey: wrapBytes },
  decrypt: { init: 'C_DecryptInit', call: 'C_Decrypt', byKey: unwrapBytes },
} as const;

type Direction = keyof typeof DIRECTIONS;

export function encrypt(operation: Operation, cipher: CipherMechanism, plaintext: Buffer): Promise<Buffer> {
  return cipherBytes(operation, cipher, plaintext, 'encrypt');
}

export function decrypt(operation: Operation, cipher: CipherMechanism, ciphertext: Buffer): Promise<Buffer> {
  return cipherBytes(operation, cipher, ciphertext, 'decrypt');
}

async function cipherBytes(
  operation: Operation,
  cipher: CipherMechanism,
  input: Buffer,
  direction: Direction,
): Promise<Buffer> {
  const { cryptoki, session, key } = operation;
  const { init, call, byKey } = DIRECTIONS[direction];
  return cryptoki.withMemory(async (memory) => {
    const route = routeOf(operation, cipher, memory, direction);
    if (route.by === 'wrap') return byKey(operation, route.mechanism, input, memory);
    await cryptoki.checked(init, session.handle, route.mechanism, key);
    return transform(cryptoki, session, call, input, outputBytes(cipher, input.length), memory);
  });
}

export async function sign(operation: Operation, how: SignMechanism, data: Buffer): Promise<Buffer> {
  const { cryptoki, session, key } = operation;
  return cryptoki.withMemory(async (memory) => {
    const input = signInput(how, data);
    await cryptoki.checked('C_SignInit', session.handle, signMechanism(memory, how), key);
    return transform(cryptoki, session, 'C_Sign', input, MAX_RSA_BYTES, memory);
  });
}

export async function verify(
  operation: Operation,
  how: SignMechanism,
  data: Buffer,
  signature: Buffer,
): Promise<boolean> {
  const { cryptoki, session, key } = operation;
  return cryptoki.withMemory(async (memory) => {
    const input = memory.copy(signInput(how, data));
    const claimed = memory.copy(signature);
    await cryptoki.checked('C_VerifyInit', session.handle, signMechanism(memory, how), key);
    const rv = await cryptoki.call('C_Verify', session.handle, input, input.length, claimed, claimed.length);
    if (rv === CKR.CKR_SIGNATURE_INVALID || rv === CKR.CKR_SIGNATURE_LEN_RANGE) return false;
    if (rv !== CKR.CKR_OK) throw errorOf(rv, 'C_Verify');
    return true;
  });
}

/** A function of the shape (session, input, length, output, &length). */
async function transform(
  cryptoki: Cryptoki,
  session: Session,
  name: Extract<CryptokiFunction, 'C_Encrypt' | 'C_Decrypt' | 'C_Sign'>,
  input: Buffer,
  maxBytes: number,
  memory: NativeMemory,
): Promise<Buffer> {
  const bytes = memory.copy(input);
  const length = memory.reserve(ULONG_BYTES);
  let output = memory.reserve(maxBytes);
  const call = (): Promise<number> => {
    length.writeBigUInt64LE(BigInt(output.length));
    return cryptoki.call(name, session.handle, bytes, bytes.length, output, length);
  };
  let rv = await call();
  if (rv === CKR.CKR_BUFFER_TOO_SMALL) {
    output = memory.reserve(Math.min(readUlong(length) ?? 0, maxBytes * 2 + MAX_RSA_BYTES));
    rv = await call();
  }
  if (rv !== CKR.CKR_OK)
    throw name === 'C_Decrypt' ? await decryptError(cryptoki, session, rv) : errorOf(rv, name);
  return take(output, length);
}

function take(output: Buffer, length: Buffer): Buffer {
  const bytes = readUlong(length);
  if (bytes === undefined || bytes > output.length) {
    throw new Pkcs11Error('token-failed', 'The module says it wrote more than there was room for.');
  }
  return Buffer.from(output.subarray(0, bytes));
}

/** Some modules have only "general error" for a tag or padding that does not match: it is that when the session is well. */
async function decryptError(cryptoki: Cryptoki, { handle }: Session, rv: number): Promise<Pkcs11Error> {
  const vague =
    rv === CKR.CKR_GENERAL_ERROR ||
    rv === CKR.CKR_FUNCTION_FAILED ||
    rv === CKR.CKR_DATA_INVALID ||
    rv === CKR.CKR_DATA_LEN_RANGE;
  if (!vague) return errorOf(rv, 'C_Decrypt');
  const alive = await cryptoki.withMemory((memory) =>
    cryptoki.call('C_GetSessionInfo', handle, memory.reserve(4 * ULONG_BYTES)),
  );
  return alive === CKR.CKR_OK ? ciphertextInvalid(rv, 'C_Decrypt') : errorOf(alive, 'C_GetSessionInfo');
}

type Route = { readonly by: 'cipher' | 'wrap'; readonly mechanism: Buffer };

/**
 * AES key wrap is an encryption on some tokens and only a wrapping of keys on others: there the bytes become the value
 * of a key object of this session first, or last.
 */
function routeOf(
  { mechanismFlags }: Operation,
  cipher: CipherMechanism,
  memory: NativeMemory,
  direction: Direction,
): Route {
  if (cipher.kind !== 'aes-key-wrap' && cipher.kind !== 'aes-key-wrap-pad') {
    return { by: 'cipher', mechanism: cipherMechanism(memory, cipher) };
  }
  const [asCipher, asWrap] =
    direction === 'encrypt' ? [CKF.CKF_ENCRYPT, CKF.CKF_WRAP] : [CKF.CKF_DECRYPT, CKF.CKF_UNWRAP];
  for (const name of WRAP_MECHANISMS[cipher.kind]) {
    const flags = mechanismFlags.get(CKM[name]) ?? 0;
    if ((flags & asCipher) !== 0) return { by: 'cipher', mechanism: mechanism(memory, name) };
    if ((flags & asWrap) !== 0) return { by: 'wrap', mechanism: mechanism(memory, name) };
  }
  throw errorOf(CKR.CKR_MECHANISM_INVALID, `${cipher.kind} is not among the token's mechanisms`);
}

/** CKM_AES_KEY_WRAP_PAD was not clear about its padding; 3.0 gave RFC 5649 a number of its own, which goes first. */
const WRAP_MECHANISMS: Readonly<Record<KeyWrap['kind'], readonly CkmName[]>> = {
  'aes-key-wrap': ['CKM_AES_KEY_WRAP'],
  'aes-key-wrap-pad': ['CKM_AES_KEY_WRAP_KWP', 'CKM_AES_KEY_WRAP_PAD'],
};

async function wrapBytes(
  operation: Operation,
  wrapMechanism: Buffer,
  bytes: Buffer,
  memory: NativeMemory,
): Promise<Buffer> {
  const { cryptoki, session, key } = operation;
  const template = memory.template([
    ['CKA_CLASS', CKO.secret],
    ['CKA_KEY_TYPE', CKK['generic-secret']],
    ['CKA_TOKEN', false],
    ['CKA_PRIVATE', true],
    ['CKA_SENSITIVE', false],
    ['CKA_EXTRACTABLE', true],
    ['CKA_VALUE', bytes],
  ]);
  const object = memory.reserve(ULONG_BYTES);
  await cryptoki.checked('C_CreateObject', session.handle, template, 7, object);
  const handle = readUlong(object) ?? 0;
  try {
    const output = memory.reserve(bytes.length + 32);
    const length = memory.reserve(ULONG_BYTES);
    length.writeBigUInt64LE(BigInt(output.length));
    await cryptoki.checked('C_WrapKey', session.handle, wrapMechanism, key, handle, output, length);
    const wrapped = take(output, length);
    if (bytes.length % 8 !== 0) await assertUnwraps(operation, wrapMechanism, wrapped, bytes, memory);
    return wrapped;
  } finally {
    await cryptoki.call('C_DestroyObject', session.handle, handle);
  }
}

/** Some tokens (SoftHSM2) fill a key up with zeros before they wrap it, and give those back with it. */
async function assertUnwraps(
  operation: Operation,
  wrapMechanism: Buffer,
  wrapped: Buffer,
  bytes: Buffer,
  memory: NativeMemory,
): Promise<void> {
  const unwrapped = await unwrapBytes(operation, wrapMechanism, wrapped, memory);
  const same = unwrapped.equals(bytes);
  unwrapped.fill(0);
  if (same) return;
  throw new Pkcs11Error(
    'mechanism-unsupported',
    'The token does not keep the length of what it wraps. Wrap multiples of 8 bytes, or use another mechanism.',
  );
}

async function unwrapBytes(
  { cryptoki, session, key }: Operation,
  wrapMechanism: Buffer,
  wrapped: Buffer,
  memory: NativeMemory,
): Promise<Buffer> {
  const template = memory.template([
    ['CKA_CLASS', CKO.secret],
    ['CKA_KEY_TYPE', CKK['generic-secret']],
    ['CKA_TOKEN', false],
    ['CKA_PRIVATE', true],
    ['CKA_SENSITIVE', false],
    ['CKA_EXTRACTABLE', true],
  ]);
  const object = memory.reserve(ULONG_BYTES);
  const input = memory.copy(wrapped);
  const rv = await cryptoki.call(
    'C_UnwrapKey',
    session.handle,
    wrapMechanism,
    key,
    input,
    input.length,
    template,
    6,
    object,
  );
  if (rv === CKR.CKR_GENERAL_ERROR || rv === CKR.CKR_FUNCTION_FAILED)
    throw ciphertextInvalid(rv, 'C_UnwrapKey');
  if (rv !== CKR.CKR_OK) throw errorOf(rv, 'C_UnwrapKey');
  const handle = readUlong(object) ?? 0;
  try {
    const value = (await readAttributes(cryptoki, session, handle, ['CKA_VALUE'])).get('CKA_VALUE');
    if (value === undefined) throw errorOf(CKR.CKR_ATTRIBUTE_SENSITIVE, 'C_GetAttributeValue');
    return value;
  } finally {
    await cryptoki.call('C_DestroyObject', session.handle, handle);
  }
}
