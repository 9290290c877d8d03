/** What may be read of a key, as KeyAttributes. */
import type { CkaName } from './constants.js';
import type { Cryptoki } from './cryptoki.js';
import { parseCkDate } from './dates.js';
import { Pkcs11Error } from './errors.js';
import { numberOf, readAttributes } from './objects.js';
import { unwrapEcPoint } from './public-key.js';
import type { Session } from './session-pool.js';
import type { KeyAttributes } from './token.js';

const FLAGS = {
  sensitive: 'CKA_SENSITIVE',
  extractable: 'CKA_EXTRACTABLE',
  alwaysSensitive: 'CKA_ALWAYS_SENSITIVE',
  neverExtractable: 'CKA_NEVER_EXTRACTABLE',
  local: 'CKA_LOCAL',
  token: 'CKA_TOKEN',
  private: 'CKA_PRIVATE',
  encrypt: 'CKA_ENCRYPT',
  decrypt: 'CKA_DECRYPT',
  sign: 'CKA_SIGN',
  verify: 'CKA_VERIFY',
  wrap: 'CKA_WRAP',
  unwrap: 'CKA_UNWRAP',
  derive: 'CKA_DERIVE',
} as const satisfies Partial<Record<keyof KeyAttributes, CkaName>>;

const VALUES: readonly CkaName[] = [
  'CKA_VALUE_LEN',
  'CKA_MODULUS',
  'CKA_PUBLIC_EXPONENT',
  'CKA_EC_PARAMS',
  'CKA_EC_POINT',
];

export async function readKeyAttributes(
  cryptoki: Cryptoki,
  session: Session,
  handle: number,
): Promise<KeyAttributes> {
  const found = await readAttributes(cryptoki, session, handle, [...Object.values(FLAGS), ...VALUES]);
  const flags: Partial<Record<keyof typeof FLAGS, boolean>> = {};
  for (const [name, attribute] of Object.entries(FLAGS) as [keyof typeof FLAGS, CkaName][]) {
    const value = found.get(attribute);
    if (value?.length === 1) flags[name] = value[0] === 1;
  }
  const point = found.get('CKA_EC_POINT');
  return {
    ...flags,
    endDate: await readEndDate(cryptoki, session, handle),
    valueBytes: numberOf(found.get('CKA_VALUE_LEN')),
    modulus: found.get('CKA_MODULUS'),
    publicExponent: found.get('CKA_PUBLIC_EXPONENT'),
    ecParams: found.get('CKA_EC_PARAMS'),
    ecPoint: point === undefined ? undefined : unwrapEcPoint(point),
  };
}

/** Asked for alone: SoftHSM2 keeps the date of a private object unencrypted, and fails to decrypt it again. */
async function readEndDate(cryptoki: Cryptoki, session: Session, handle: number): Promise<Date | undefined> {
  try {
    const found = await readAttributes(cryptoki, session, handle, ['CKA_END_DATE']);
    return parseCkDate(found.get('CKA_END_DATE'));
  } catch (error) {
    if (error instanceof Pkcs11Error && error.code === 'token-failed') return undefined;
    throw error;
  }
}
