/** The reference implementation's vectors (test/vectors), and the KMS they were made with, for tests. */
import { readFileSync } from 'node:fs';
import { createAesCbcTransformer } from '../aes-cbc.js';
import { createAesGcmTransformer } from '../aes-gcm.js';
import type { Annotations } from '../kms-v2-object.js';
import { createPrefixTransformer } from '../prefix.js';
import type { RandomBytes } from '../randomness.js';
import { createSecretboxTransformer } from '../secretbox.js';
import type { Transformer } from '../transformer.js';

export interface StaticVector {
  readonly provider: 'aesgcm' | 'aescbc' | 'secretbox';
  readonly storageKey: string;
  readonly plaintextBase64: string;
  readonly storedBase64: string;
  readonly keyName: string;
  readonly keyBase64: string;
}

export interface KmsVector {
  readonly provider: 'kms-v1' | 'kms-v2';
  readonly storageKey: string;
  readonly plaintextBase64: string;
  readonly storedBase64: string;
  readonly keyName: string;
  readonly dekSourceBase64: string;
  readonly encryptedDekSourceBase64: string;
  readonly kmsKeyId?: string;
  readonly dekSourceType?: string;
  readonly annotationsBase64?: Readonly<Record<string, string>>;
}

export function readStaticVectors(): readonly StaticVector[] {
  return readVectors('static-providers.json') as readonly StaticVector[];
}

export function readKmsVectors(): readonly KmsVector[] {
  return readVectors('kms-providers.json') as readonly KmsVector[];
}

function readVectors(file: string): unknown {
  return JSON.parse(readFileSync(new URL(`../../../../test/vectors/${file}`, import.meta.url), 'utf8'));
}

export function fromBase64(text: string): Buffer {
  return Buffer.from(text, 'base64');
}

/** Reads and writes `k8s:enc:<provider>:v1:<keyName>:` with one key. */
export function createStaticProvider(
  provider: StaticVector['provider'],
  keyName: string,
  key: Buffer,
  randomBytes: RandomBytes,
): Transformer {
  const create = {
    aesgcm: createAesGcmTransformer,
    aescbc: createAesCbcTransformer,
    secretbox: createSecretboxTransformer,
  }[provider];
  return createPrefixTransformer({
    transformers: [
      { prefix: `k8s:enc:${provider}:v1:${keyName}:`, transformer: create({ key, randomBytes }) },
    ],
  });
}

/**
 * The KMS of the vectors: a wrapped DEK is its base64. It counts calls, and as a real one it opens only what was
 * asked under the key id and annotations that wrapped it.
 */
export function createBase64Kms(keyId: string, annotations: Annotations = {}) {
  const calls = { encrypt: 0, decrypt: 0 };
  const unwrap = (ciphertext: Buffer): Buffer => {
    const dek = Buffer.from(ciphertext.toString('latin1'), 'base64');
    // Node's decoder forgives what it does not know; a KMS must not.
    if (dek.toString('base64') !== ciphertext.toString('latin1')) throw new Error('ciphertext is corrupt');
    return dek;
  };
  return {
    calls,
    v1: {
      encrypt(plaintext: Buffer): Promise<Buffer> {
        calls.encrypt++;
        return Promise.resolve(Buffer.from(plaintext.toString('base64')));
      },
      async decrypt(ciphertext: Buffer): Promise<Buffer> {
        calls.decrypt++;
        return Promise.resolve(unwrap(ciphertext));
      },
    },
    v2: {
      async decrypt(
        _uid: string,
        request: { readonly ciphertext: Buffer; readonly keyId: string; readonly annotations: Annotations },
      ): Promise<Buffer> {
        calls.decrypt++;
        if (request.keyId !== keyId) throw new Error('unknown key');
        const asked = Object.entries(request.annotations).map(([k, v]) => `${k}=${v.toString('hex')}`);
        const known = Object.entries(annotations).map(([k, v]) => `${k}=${v.toString('hex')}`);
        if (asked.toSorted().join() !== known.toSorted().join()) throw new Error('wrong annotations');
        return Promise.resolve(unwrap(request.ciphertext));
      },
    },
  };
}

/** Bytes that differ from call to call and are the same in every run. */
export function createCountingRandom(): RandomBytes {
  let next = 1;
  return (sizeBytes) => {
    const bytes = Buffer.alloc(sizeBytes);
    for (let i = 0; i < sizeBytes; i++) {
      next = (Math.imul(next, 1103515245) + 12345) >>> 0;
      bytes[i] = next >>> 16;
    }
    return bytes;
  };
}
