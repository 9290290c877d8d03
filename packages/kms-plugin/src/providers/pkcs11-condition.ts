/** What a token says of the key that writes: its end date, and attributes that a key of this use should not have. */
import type { KeyAttributes, Token } from '@waxseal/pkcs11';
import type { KeyCondition } from '../key-condition.js';
import { isPkcs11Error } from './pkcs11-errors.js';
import { wrapMechanisms, type WrapKey } from './pkcs11-mechanisms.js';

const dayMs = 86_400_000;
const soundModulusBits = 2048;

/** @throws Pkcs11Error */
export async function describePkcs11Key(token: Token, key: WrapKey, nowMs: number): Promise<KeyCondition> {
  const read = await attributesOf(token, key);
  if (read === undefined) {
    return { state: 'gone', warnings: ['The key is not on the token any more.'] };
  }
  const [secret, publicHalf] = read;
  const warnings = [...flagWarnings(secret, key), ...dateWarnings(secret.endDate ?? publicHalf?.endDate)];
  const endDate = secret.endDate ?? publicHalf?.endDate;
  if (endDate === undefined) return { state: 'usable', warnings };
  // The last day counts.
  const unreadableFromMs = endDate.getTime() + dayMs;
  return { state: unreadableFromMs <= nowMs ? 'expired' : 'usable', unreadableFromMs, warnings };
}

/** Of the secret or private key, and of the public half where it is a key of its own. Undefined: it was destroyed. */
async function attributesOf(
  token: Token,
  { unwraps, wraps }: WrapKey,
): Promise<readonly [KeyAttributes, KeyAttributes | undefined] | undefined> {
  try {
    return [await token.attributes(unwraps), wraps === unwraps ? undefined : await token.attributes(wraps)];
  } catch (error) {
    if (isPkcs11Error(error) && error.code === 'key-not-found') return undefined;
    throw error;
  }
}

function flagWarnings(key: KeyAttributes, { mechanism }: WrapKey): readonly string[] {
  const warnings: string[] = [];
  if (key.extractable === true) {
    warnings.push('The key can be taken out of the token (CKA_EXTRACTABLE); change to one that cannot.');
  }
  if (key.sensitive === false) {
    warnings.push('The token shows the value of the key (not CKA_SENSITIVE); change to one that is hidden.');
  }
  if (key.private === false) {
    warnings.push('The key can be used without the PIN (not CKA_PRIVATE); change to one that needs it.');
  }
  if (key.token === false) {
    warnings.push('The key goes away with its session (not CKA_TOKEN); change to one that is kept.');
  }
  if (wrapMechanisms[mechanism].keyType === 'rsa' && key.modulus !== undefined) {
    const bits = BigInt(`0x0${key.modulus.toString('hex')}`).toString(2).length;
    if (bits < soundModulusBits) warnings.push(`The RSA key has ${bits} bits only; change to a longer one.`);
  }
  return warnings;
}

function dateWarnings(endDate: Date | undefined): readonly string[] {
  if (endDate === undefined) return [];
  return [
    `The key is meant to be used until ${endDate.toISOString().slice(0, 10)} (CKA_END_DATE); add a new one before.`,
  ];
}
