/** Does a key of this spec and usage know the algorithm a request names? */
import { AwsError } from '../aws-error.js';
import type { KeyRecord } from '../keys/key-record.js';
import { type KeyUsage, offersAlgorithm } from '../keys/key-specs.js';

/**
 * Narrows the API's algorithm to those of the key's spec and usage.
 *
 * @throws AwsError InvalidKeyUsageException
 */
export function checkAlgorithm(key: KeyRecord, usage: KeyUsage, algorithm: string): void {
  if (!offersAlgorithm(key.keySpec, usage, algorithm)) {
    throw new AwsError(
      'InvalidKeyUsageException',
      `Algorithm ${algorithm} is incompatible with key spec ${key.keySpec}.`,
    );
  }
}
