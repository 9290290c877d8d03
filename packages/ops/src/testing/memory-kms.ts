/** A KMS in memory that wraps as a real one does: bound to its key, keyID and annotations, refusing whatever it did not make. */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import type { KmsConnectors } from '@waxseal/encryption-config';

export interface MemoryKms {
  readonly connectors: KmsConnectors;
  keyId: string;
  /** Every Decrypt fails with it while set. */
  failure: Error | undefined;
  /** What it says to a wrapped DEK that it did not make. */
  refusal: Error;
  /** Stored beside what it wraps from now on (v2). */
  annotations: Readonly<Record<string, Buffer>>;
  decryptCalls: number;
}

/** As the clients of the KMS contract fail: a code that names the gRPC status. */
export function kmsApiError(code: string, message: string): Error {
  return Object.assign(new Error(message), { name: 'KmsApiError', code });
}

export function createMemoryKms(key: Buffer): MemoryKms {
  const wrap = (plaintext: Buffer, boundTo: string): Buffer => {
    const nonce = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(boundTo));
    return Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
  };
  const unwrap = (ciphertext: Buffer, boundTo: string): Buffer => {
    try {
      const decipher = createDecipheriv('aes-256-gcm', key, ciphertext.subarray(0, 12))
        .setAAD(Buffer.from(boundTo))
        .setAuthTag(ciphertext.subarray(-16));
      return Buffer.concat([decipher.update(ciphertext.subarray(12, -16)), decipher.final()]);
    } catch {
      throw kms.refusal;
    }
  };
  const bound = (keyId: string, annotations: MemoryKms['annotations']): string =>
    JSON.stringify([
      keyId,
      Object.entries(annotations).map(([name, value]) => [name, value.toString('hex')]),
    ]);
  const decrypt = (ciphertext: Buffer, boundTo: string): Promise<Buffer> => {
    kms.decryptCalls++;
    return Promise.resolve().then(() => {
      if (kms.failure !== undefined) throw kms.failure;
      return unwrap(ciphertext, boundTo);
    });
  };
  const kms: MemoryKms = {
    keyId: 'key-1',
    failure: undefined,
    refusal: kmsApiError('invalid_argument', 'the ciphertext is damaged or was made by another key'),
    annotations: {},
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
          Promise.resolve({
            ciphertext: wrap(plaintext, bound(kms.keyId, kms.annotations)),
            keyId: kms.keyId,
            annotations: kms.annotations,
          }),
        decrypt: (_uid, request) => decrypt(request.ciphertext, bound(request.keyId, request.annotations)),
      }),
    },
  };
  return kms;
}
