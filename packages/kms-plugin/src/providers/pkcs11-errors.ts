/**
 * What a PKCS#11 token answers, as data: return value or code of `Pkcs11Error` → class, code for the API server, advice.
 *
 * Sources: PKCS#11 2.40 §5.1 (return values), and the codes of `@waxseal/pkcs11` for what a module is not asked or answers in many ways.
 */
import type { Pkcs11Error, Pkcs11ErrorCode } from '@waxseal/pkcs11';
import { KmsPluginError, ProviderError, unexpected, unopenable, type Failure } from '../errors.js';
import { throttling, unauthenticated, unavailable, userInduced } from './failure-rows.js';

const wrongPin = unauthenticated(
  'The token refuses the PIN, and it is not sent again; put the right one in place, and reload.',
);
const lockedPin = unauthenticated(
  'The PIN of the token is locked or has expired; its security officer must set a new one.',
);
const tokenAway = unavailable('The token is away; check that it is plugged in, or its daemon runs.');
const tokenTrouble = unavailable('The token failed; look into the log of the token or its module.');
const tokenFull = throttling(
  'The token has no session or memory left; close other sessions, or lower --max-sessions.',
);
const notReadable = userInduced('The PKCS#11 module cannot be loaded; check its path and its libraries.');

/** By what the module answered; goes before `pkcs11Failures`. */
export const returnValueFailures: ReadonlyMap<string, Failure> = new Map<string, Failure>([
  ['CKR_USER_PIN_NOT_INITIALIZED', unauthenticated('The token has no user PIN yet; set one with its tool.')],
  ['CKR_PIN_EXPIRED', unauthenticated('The PIN of the token has expired; set a new one with its tool.')],
  [
    'CKR_KEY_FUNCTION_NOT_PERMITTED',
    userInduced('The key must not be used so; set CKA_ENCRYPT and CKA_DECRYPT, or CKA_WRAP and CKA_UNWRAP.'),
  ],
  ['CKR_KEY_TYPE_INCONSISTENT', userInduced('The mechanism does not fit the key; choose another mechanism.')],
  ['CKR_KEY_SIZE_RANGE', userInduced('The token does not take a key of this size for this mechanism.')],
  ['CKR_DEVICE_ERROR', unavailable('The device of the token failed; look into its log.')],
]);

export const pkcs11Failures: Readonly<Record<Pkcs11ErrorCode, Failure>> = {
  'platform-unsupported': userInduced('PKCS#11 modules need Linux or macOS on x64 or arm64.'),
  'module-unreadable': notReadable,
  'token-not-found': unavailable('The module has no such token; check its label, and that it is plugged in.'),
  'token-ambiguous': userInduced('Several tokens fit; name the one to use by its serial number.'),
  'pin-incorrect': wrongPin,
  'pin-locked': lockedPin,
  'key-not-found': userInduced('The token has no such key; check the label, or make the key.'),
  'key-ambiguous': userInduced('Several keys of the token have this label and id; remove what is not meant.'),
  'mechanism-unsupported': userInduced('The token does not do this with this key; choose another mechanism.'),
  'key-forbids': userInduced('The attributes of the key forbid this; use a key that allows it.'),
  'data-invalid': userInduced('The token does not take 32 bytes for this key; choose another mechanism.'),
  'ciphertext-invalid': unopenable,
  'token-gone': tokenAway,
  'token-full': tokenFull,
  'token-failed': tokenTrouble,
  timeout: {
    class: 'unavailable',
    code: 'deadline_exceeded',
    advice: 'The token did not answer in time; check that it is reachable and not overloaded.',
  },
  closed: unavailable('The token is being closed; the call can be tried again.'),
  'invalid-option': userInduced('A setting of the token cannot be used; the log says which.'),
};

/** Any failure of a call, classified by what the module answered, or by its code. */
export function classifyPkcs11(error: unknown): ProviderError {
  if (error instanceof ProviderError) return error;
  if (error instanceof KmsPluginError)
    return new ProviderError(error.code, userInduced(error.message), error);
  if (!isPkcs11Error(error)) return new ProviderError('internal error', unexpected, error);
  const failure =
    (error.rv === undefined ? undefined : returnValueFailures.get(error.rv)) ?? pkcs11Failures[error.code];
  return new ProviderError(error.rv ?? error.code, failure, error);
}

/** By its name: the class is loaded with the module, and that only when a token is opened. */
export function isPkcs11Error(error: unknown): error is Pkcs11Error {
  return (
    error instanceof Error &&
    error.name === 'Pkcs11Error' &&
    'code' in error &&
    typeof error.code === 'string' &&
    Object.hasOwn(pkcs11Failures, error.code)
  );
}
