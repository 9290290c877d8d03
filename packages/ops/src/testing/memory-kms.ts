/** A KMS in memory that wraps as a real one does: bound to its key and keyID, refusing whatever it did not make. */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import type { KmsConnectors } from '@waxseal/encryption-config';

export interface MemoryKms {
  readonly connectors: KmsConnectors;
  keyId: string;
  /** Every Decrypt fails with it while set. */
  failure: Error | undefined;
  decryptCalls: number;
}

/** As the clients of the KMS contract fail: a code that names the gRPC status. */
export function kmsApiError(code: string, message: string): Error {
  return Object.assign(new Error(message), { name: 'KmsApiError', code });
}

export function createMemoryKms(key: Buffer): MemoryKms {
  const wrap = (plaintext: Buffer, keyId: string): Buffer => {
    const nonce = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(keyId));
    return Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
  };
  const unwrap = (ciphertext: Buffer, keyId: string): Buffer => {
    try {
      const decipher = createDecipheriv('aes-256-gcm', key, ciphertext.subarray(0, 12))
        .setAAD(Buffer.from(keyId))
        .setAuthTag(ciphertext.subarray(-16));
      return Buffer.concat([decipher.update(ciphertext.subarray(12, -16)), decipher.final()]);
    } catch {
      throw kmsApiError('invalid_argument', 'the ciphertext is damaged or was made by another key');
    }
  };
  const decrypt = (ciphertext: Buffer, keyId: string): Promise<Buffer> => {
    kms.decryptCalls++;
    return Promise.resolve().then(() => {
      if (kms.failure !== undefined) throw kms.failure;
      return unwrap(ciphertext, keyId);
    });
  };
  const kms: MemoryKms = {
    keyId: 'key-1',
    failure: undefined,
    decryptCalls: 0,
    connectors: {
      connectKmsV1: () => ({
        close: () => undefined,
        version: () => Promise.resolve({ version: 'v1beta1', runtimeName: 'memory', runtimeVersion: '1' }),
        encrypt: (plaintext) => Promise.resolve(wrap(plaintext, '')),
        decrypt: (ciphertext) => decrypt(ciphertext, ''),
      }),
      connectKmsV2: () => ({
        close: () => undefined,
        status: () => Promise.resolve({ version: 'v2', healthz: 'ok', keyId: kms.keyId }),
        encrypt: (_uid, plaintext) =>
          Promise.resolve({ ciphertext: wrap(plaintext, kms.keyId), keyId: kms.keyId, annotations: {} }),
        decrypt: (_uid, request) => decrypt(request.ciphertext, request.keyId),
      }),
    },
  };
  return kms;
}
