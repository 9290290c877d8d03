/** ECDH (NIST SP 800-56A §5.7.1.2): the shared secret is the x coordinate, as long as the curve's field. */
import { createPublicKey, diffieHellman, type KeyObject } from 'node:crypto';
import { CURVES, type EcKey } from './private-key.js';

/**
 * @param peer SubjectPublicKeyInfo, DER, of a point on the key's own curve
 * @returns undefined when it is anything else
 */
export function deriveSharedSecret(key: EcKey, peer: Buffer): Buffer | undefined {
  let publicKey: KeyObject;
  try {
    publicKey = createPublicKey({ key: peer, type: 'spki', format: 'der' });
  } catch {
    return undefined;
  }
  if (publicKey.asymmetricKeyDetails?.namedCurve !== CURVES[key.spec]) return undefined;
  return diffieHellman({ privateKey: key.privateKey, publicKey });
}
