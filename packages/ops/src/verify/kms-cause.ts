/**
 * What a failed call to a KMS plugin says about the key.
 *
 * The gRPC code says it where plugins use it well. Many answer INTERNAL or UNKNOWN with the words of their key service behind it,
 * so the words are looked at too. Sources: the error references of AWS KMS, Azure Key Vault, Cloud KMS and Vault Transit; the codes
 * of this project's plugin.
 */
import { errorMessage } from '@waxseal/envelope';
import type { Finding, VerifyCause } from './causes.js';

/** In this order: a key that is pending deletion is also called disabled by some. */
const WORDS: readonly (readonly [RegExp, VerifyCause])[] = [
  [
    /pending[ _]?(deletion|import)|pendingdeletion|KMSInvalidState|DESTROY|deleted|does not exist|not found|NotFound|not in (the )?keyring|no such key/i,
    'kms-deleted',
  ],
  [/disabled|KeyDisabled|is not enabled/i, 'kms-disabled'],
  [
    /AccessDenied|access denied|not authorized|permission denied|PERMISSION_DENIED|forbidden|unauthenticated|expired ?token|ExpiredToken|UnrecognizedClient|credentials|sealed/i,
    'kms-denied',
  ],
  [
    /InvalidCiphertext|IncorrectKey|cannot be decrypted|message authentication failed|authentication failed|decryption failed|another key/i,
    'wrong-key',
  ],
  [
    /connection refused|connection reset|no such host|dial |timed? ?out|deadline exceeded|unavailable|cannot be reached|throttl|too many requests/i,
    'kms-unreachable',
  ],
];

const CODES: Readonly<Record<string, VerifyCause>> = {
  permission_denied: 'kms-denied',
  unauthenticated: 'kms-denied',
  unavailable: 'kms-unreachable',
  deadline_exceeded: 'kms-unreachable',
  resource_exhausted: 'kms-unreachable',
  cancelled: 'kms-unreachable',
  invalid_argument: 'wrong-key',
};

/** @param error what a `kms-failed` of the envelope package has as its cause */
export function kmsFinding(error: unknown, kmsName: string): Finding {
  const said = errorMessage(error);
  const code = callCode(error);
  const byCode = code !== undefined && Object.hasOwn(CODES, code) ? CODES[code] : undefined;
  const cause = byCode ?? causeOfWords(said) ?? 'kms-failed';
  return { cause, message: `KMS provider ${kmsName}: ${said}` };
}

function causeOfWords(text: string): VerifyCause | undefined {
  return WORDS.find(([pattern]) => pattern.test(text))?.[1];
}

/** The code of the call's error, wherever it stands in the chain of causes. */
function callCode(error: unknown): string | undefined {
  let current = error;
  for (let depth = 0; depth < 8 && current instanceof Error; depth++) {
    if (current.name === 'KmsApiError' && 'code' in current && typeof current.code === 'string') {
      return current.code;
    }
    current = current.cause;
  }
  return undefined;
}
