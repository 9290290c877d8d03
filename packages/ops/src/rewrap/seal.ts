/** Sealing as this run needs it: when it fails, it fails for every object. */
import { EnvelopeError, type Transformer } from '@waxseal/envelope';
import { OpsError } from '../errors.js';

/** @throws OpsError source-unreadable */
export async function seal(transformer: Transformer, data: Buffer, key: Buffer): Promise<Buffer> {
  try {
    return await transformer.transformToStorage(data, key);
  } catch (error) {
    if (!(error instanceof EnvelopeError)) throw error;
    throw new OpsError(
      'source-unreadable',
      `nothing can be written under the first provider: ${error.message}. Mend that and start again.`,
      error,
    );
  }
}
