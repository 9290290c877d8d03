/**
 * What a module answers (CKR_…) as a Pkcs11Error: which code, and what the operator can do about it.
 */
import { CKR, type CkrName } from './constants.js';
import { Pkcs11Error, type Pkcs11ErrorCode } from './errors.js';

interface Meaning {
  readonly code: Pkcs11ErrorCode;
  readonly advice: string;
}

const GONE = 'The token does not answer any more. Check that it is plugged in or reachable.';
const PIN_WRONG =
  'The token refuses the PIN. It was tried once and will not be tried again: tokens lock after a few wrong PINs. Put the right one in place and open the token again.';
const PARAMETERS = 'The token does not take this mechanism, key size or parameter.';
const FORBIDDEN = 'The key does not permit this operation. Use a key whose attributes allow it.';
const FULL = 'The token has no memory or session left. Remove objects, or lower the number of sessions.';
const READ_ONLY = 'The token cannot be written. Remove its write protection, or make the key by other means.';
const CIPHERTEXT =
  'The token does not decrypt this: it was made by another key or with other parameters, or was changed.';
const DATA = 'The token does not take data of this length for this mechanism and key.';
const KEY_GONE = 'The key is not on the token any more.';

const MEANINGS: Readonly<Partial<Record<CkrName, Meaning>>> = {
  CKR_HOST_MEMORY: { code: 'token-full', advice: FULL },
  CKR_DEVICE_MEMORY: { code: 'token-full', advice: FULL },
  CKR_SESSION_COUNT: { code: 'token-full', advice: FULL },
  CKR_SLOT_ID_INVALID: { code: 'token-gone', advice: GONE },
  CKR_DEVICE_REMOVED: { code: 'token-gone', advice: GONE },
  CKR_SESSION_CLOSED: { code: 'token-gone', advice: GONE },
  CKR_SESSION_HANDLE_INVALID: { code: 'token-gone', advice: GONE },
  CKR_TOKEN_NOT_PRESENT: { code: 'token-gone', advice: GONE },
  CKR_TOKEN_NOT_RECOGNIZED: { code: 'token-gone', advice: GONE },
  CKR_USER_NOT_LOGGED_IN: { code: 'token-gone', advice: GONE },
  CKR_CRYPTOKI_NOT_INITIALIZED: { code: 'token-gone', advice: GONE },
  CKR_PIN_INCORRECT: { code: 'pin-incorrect', advice: PIN_WRONG },
  CKR_PIN_INVALID: { code: 'pin-incorrect', advice: PIN_WRONG },
  CKR_PIN_LEN_RANGE: { code: 'pin-incorrect', advice: PIN_WRONG },
  CKR_USER_PIN_NOT_INITIALIZED: {
    code: 'pin-incorrect',
    advice: 'The token has no user PIN yet. Set one with the tool of its maker.',
  },
  CKR_PIN_LOCKED: {
    code: 'pin-locked',
    advice:
      'The PIN of the token is locked after too many wrong ones. Its security officer must set a new one.',
  },
  CKR_PIN_EXPIRED: {
    code: 'pin-locked',
    advice: 'The PIN of the token has expired. Set a new one with the tool of its maker.',
  },
  CKR_KEY_HANDLE_INVALID: { code: 'key-not-found', advice: KEY_GONE },
  CKR_OBJECT_HANDLE_INVALID: { code: 'key-not-found', advice: KEY_GONE },
  CKR_ARGUMENTS_BAD: { code: 'mechanism-unsupported', advice: PARAMETERS },
  CKR_FUNCTION_NOT_SUPPORTED: { code: 'mechanism-unsupported', advice: PARAMETERS },
  CKR_MECHANISM_INVALID: { code: 'mechanism-unsupported', advice: PARAMETERS },
  CKR_MECHANISM_PARAM_INVALID: { code: 'mechanism-unsupported', advice: PARAMETERS },
  CKR_KEY_SIZE_RANGE: { code: 'mechanism-unsupported', advice: PARAMETERS },
  CKR_DOMAIN_PARAMS_INVALID: { code: 'mechanism-unsupported', advice: PARAMETERS },
  CKR_CURVE_NOT_SUPPORTED: { code: 'mechanism-unsupported', advice: PARAMETERS },
  CKR_ATTRIBUTE_TYPE_INVALID: { code: 'mechanism-unsupported', advice: PARAMETERS },
  CKR_ATTRIBUTE_VALUE_INVALID: { code: 'mechanism-unsupported', advice: PARAMETERS },
  CKR_TEMPLATE_INCOMPLETE: { code: 'mechanism-unsupported', advice: PARAMETERS },
  CKR_TEMPLATE_INCONSISTENT: { code: 'mechanism-unsupported', advice: PARAMETERS },
  CKR_RANDOM_NO_RNG: {
    code: 'mechanism-unsupported',
    advice: 'The token has no random number generator.',
  },
  CKR_ACTION_PROHIBITED: { code: 'key-forbids', advice: FORBIDDEN },
  CKR_ATTRIBUTE_SENSITIVE: { code: 'key-forbids', advice: FORBIDDEN },
  CKR_KEY_FUNCTION_NOT_PERMITTED: { code: 'key-forbids', advice: FORBIDDEN },
  CKR_KEY_TYPE_INCONSISTENT: { code: 'key-forbids', advice: FORBIDDEN },
  CKR_KEY_NOT_WRAPPABLE: { code: 'key-forbids', advice: FORBIDDEN },
  CKR_KEY_UNEXTRACTABLE: { code: 'key-forbids', advice: FORBIDDEN },
  CKR_DATA_INVALID: { code: 'data-invalid', advice: DATA },
  CKR_DATA_LEN_RANGE: { code: 'data-invalid', advice: DATA },
  CKR_ENCRYPTED_DATA_INVALID: { code: 'ciphertext-invalid', advice: CIPHERTEXT },
  CKR_ENCRYPTED_DATA_LEN_RANGE: { code: 'ciphertext-invalid', advice: CIPHERTEXT },
  CKR_AEAD_DECRYPT_FAILED: { code: 'ciphertext-invalid', advice: CIPHERTEXT },
  CKR_WRAPPED_KEY_INVALID: { code: 'ciphertext-invalid', advice: CIPHERTEXT },
  CKR_WRAPPED_KEY_LEN_RANGE: { code: 'ciphertext-invalid', advice: CIPHERTEXT },
  CKR_SESSION_READ_ONLY: { code: 'token-failed', advice: READ_ONLY },
  CKR_TOKEN_WRITE_PROTECTED: { code: 'token-failed', advice: READ_ONLY },
};

const FAILED: Meaning = {
  code: 'token-failed',
  advice: 'The token failed. Look into the log of the token or its module.',
};

const names: ReadonlyMap<number, CkrName> = new Map(
  (Object.entries(CKR) as [CkrName, number][]).map(([name, value]) => [value, name]),
);

/** The name of a return value; a number nobody named is `0x…`. */
function returnValueName(rv: number): string {
  return names.get(rv) ?? `0x${rv.toString(16)}`;
}

/** @param call the function that answered, e.g. `C_Login` */
export function errorOf(rv: number, call: string): Pkcs11Error {
  const name = names.get(rv);
  const { code, advice } = (name === undefined ? undefined : MEANINGS[name]) ?? FAILED;
  return new Pkcs11Error(code, `${advice} (${call}: ${returnValueName(rv)})`, { rv: returnValueName(rv) });
}

/** The ciphertext does not open: what decrypting says when a module has no better word than a general error. */
export function ciphertextInvalid(rv: number, call: string): Pkcs11Error {
  const name = returnValueName(rv);
  return new Pkcs11Error('ciphertext-invalid', `${CIPHERTEXT} (${call}: ${name})`, { rv: name });
}
