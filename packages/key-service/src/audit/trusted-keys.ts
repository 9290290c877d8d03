/** Public keys a verification trusts: those beside the log, or the one that was pinned. */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { KeyServiceError } from '../errors.js';
import { filesUnder } from './log-files.js';
import { fingerprintOf } from './signing-key.js';

/** By fingerprint. */
export type TrustedKeys = ReadonlyMap<string, KeyObject>;

/**
 * @param pinnedPem trusts this key alone
 * @param reportBad called with each file in `digest-keys` that is not the key its name says
 * @throws KeyServiceError invalid-option when the pinned key is none
 */
export async function readTrustedKeys(
  folder: string,
  pinnedPem: string | undefined,
  reportBad: (path: string) => void,
): Promise<TrustedKeys> {
  if (pinnedPem !== undefined) {
    const key = parsePublicKey(pinnedPem);
    if (key === undefined) {
      throw new KeyServiceError(
        'invalid-option',
        'The public key is not an RSA public key in PEM. Take it from digest-keys in the audit folder.',
      );
    }
    return new Map([[fingerprintOf(key), key]]);
  }
  const keys = new Map<string, KeyObject>();
  for (const path of await filesUnder(folder, 'digest-keys')) {
    const pem = await readFile(join(folder, path), 'utf8');
    const key = parsePublicKey(pem);
    const exact = key?.export({ type: 'spki', format: 'pem' }) === pem;
    if (key !== undefined && exact && path === `digest-keys/${fingerprintOf(key)}.pem`) {
      keys.set(fingerprintOf(key), key);
    } else reportBad(path);
  }
  return keys;
}

function parsePublicKey(pem: string): KeyObject | undefined {
  try {
    const key = createPublicKey(pem);
    return key.asymmetricKeyType === 'rsa' ? key : undefined;
  } catch {
    return undefined;
  }
}
