/**
 * KMS plugins that are asked a little: what failed for one DEK source is not asked again, and a plugin that did not answer a few times in
 * a row is taken for gone. A hundred thousand values under a lost KMS then fail in seconds, not each after its timeout.
 */
import { createHash } from 'node:crypto';
import type { KmsConnectors } from '@waxseal/encryption-config';

/** Failures in a row, without one success, after which a plugin counts as gone. */
const GIVE_UP_AFTER = 3;

export function patientConnectors(connectors: KmsConnectors): KmsConnectors {
  return {
    connectKmsV1(options) {
      const client = connectors.connectKmsV1(options);
      const ask = createAsk();
      return {
        version: (signal) => client.version(signal),
        encrypt: (plaintext, signal) => client.encrypt(plaintext, signal),
        decrypt: (ciphertext, signal) =>
          ask(nameOf(ciphertext, ''), () => client.decrypt(ciphertext, signal)),
        close: () => client.close(),
      };
    },
    connectKmsV2(options) {
      const client = connectors.connectKmsV2(options);
      const ask = createAsk();
      return {
        status: (signal) => client.status(signal),
        encrypt: (uid, plaintext, signal) => client.encrypt(uid, plaintext, signal),
        decrypt: (uid, request, signal) =>
          ask(nameOf(request.ciphertext, request.keyId), () => client.decrypt(uid, request, signal)),
        close: () => client.close(),
      };
    },
  };
}

function createAsk(): (name: string, call: () => Promise<Buffer>) => Promise<Buffer> {
  const failed = new Map<string, unknown>();
  let unanswered = 0;
  let gone: { readonly error: unknown } | undefined;
  return async (name, call) => {
    if (gone !== undefined) throw gone.error;
    if (failed.has(name)) throw failed.get(name);
    try {
      const dek = await call();
      unanswered = 0;
      return dek;
    } catch (error) {
      failed.set(name, error);
      unanswered = isUnanswered(error) ? unanswered + 1 : 0;
      if (unanswered >= GIVE_UP_AFTER) gone = { error };
      throw error;
    }
  };
}

/** Codes of `KmsApiError`: nobody was there, or too late. */
function isUnanswered(error: unknown): boolean {
  return (
    error instanceof Error &&
    'code' in error &&
    (error.code === 'unavailable' || error.code === 'deadline_exceeded')
  );
}

function nameOf(ciphertext: Buffer, keyId: string): string {
  return createHash('sha256').update(`${keyId.length}:${keyId}`).update(ciphertext).digest('base64');
}
