/** A KMS plugin in memory that tests turn on, off and around, and that counts calls. */
import type { KmsConnectors } from '../connectors.js';

export interface FakeKms {
  /** What Status and Encrypt answer with. */
  keyId: string;
  /** Encrypt's key id, when it is to differ from Status's. */
  encryptKeyId: string | undefined;
  healthz: string;
  version: string;
  /** Every call fails with it while set. */
  failure: Error | undefined;
  readonly calls: { status: number; encrypt: number; decrypt: number };
  /** Connections open now. */
  open: number;
  readonly connectors: KmsConnectors;
}

export function createFakeKms(): FakeKms {
  const xor = (bytes: Buffer): Buffer => Buffer.from(bytes.map((byte) => byte ^ 0x5a));
  const answer = <T>(make: () => T): Promise<T> =>
    kms.failure === undefined ? Promise.resolve(make()) : Promise.reject(kms.failure);
  const close = (): void => {
    kms.open--;
  };
  const kms: FakeKms = {
    keyId: 'key-1',
    encryptKeyId: undefined,
    healthz: 'ok',
    version: 'v2',
    failure: undefined,
    calls: { status: 0, encrypt: 0, decrypt: 0 },
    open: 0,
    connectors: {
      connectKmsV2: () => {
        kms.open++;
        return {
          close,
          status() {
            kms.calls.status++;
            return answer(() => ({ version: kms.version, healthz: kms.healthz, keyId: kms.keyId }));
          },
          encrypt(_uid, plaintext) {
            kms.calls.encrypt++;
            const ciphertext = xor(plaintext);
            return answer(() => ({ ciphertext, keyId: kms.encryptKeyId ?? kms.keyId, annotations: {} }));
          },
          decrypt(_uid, request) {
            kms.calls.decrypt++;
            return answer(() => xor(request.ciphertext));
          },
        };
      },
      connectKmsV1: () => {
        kms.open++;
        return {
          close,
          version: () => answer(() => ({ version: 'v1beta1', runtimeName: 'fake', runtimeVersion: '1' })),
          encrypt(plaintext) {
            kms.calls.encrypt++;
            const ciphertext = xor(plaintext);
            return answer(() => ciphertext);
          },
          decrypt(ciphertext) {
            kms.calls.decrypt++;
            return answer(() => xor(ciphertext));
          },
        };
      },
    },
  };
  return kms;
}
