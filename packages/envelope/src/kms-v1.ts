/**
 * KMS v1: a fresh DEK for every write, each wrapped by the KMS and stored beside its value.
 *
 * Stored form: uint16 big-endian length ‖ wrapped DEK ‖ AES-GCM value (see `aes-gcm.ts`). Source of the rule:
 * k8s.io/apiserver `storage/value/encrypt/envelope`. Clusters before 1.25 wrote AES-CBC, so a value that does not open
 * as AES-GCM is tried as AES-CBC and is then stale. That fallback authenticates nothing: where a value's length is a
 * multiple of 16, changed bytes can pass its padding check by chance, as in the reference.
 */
import { createAesCbcTransformer } from './aes-cbc.js';
import { createAesGcmTransformer } from './aes-gcm.js';
import { aggregateErrors, EnvelopeError, errorMessage } from './errors.js';
import type { TransformationType } from './prefix.js';
import type { RandomBytes } from './randomness.js';
import type { MaybePromise, Opened, Transformer } from './transformer.js';

const DEK_BYTES = 32;
const LENGTH_BYTES = 2;
const MAX_WRAPPED_DEK_BYTES = 0xffff;

/** The part of a KMS v1 client this package needs. */
export interface KmsV1Wrapper {
  encrypt(plaintext: Buffer): Promise<Buffer>;
  /** Resolves with the DEK in a buffer of its own, which the caller wipes. */
  decrypt(ciphertext: Buffer): Promise<Buffer>;
}

/** Sees what metrics need. Runs inside the read or write: keep it cheap. */
export interface KmsV1Observer {
  arrival(type: TransformationType): void;
  cacheMiss(): void;
  /** `fraction` of the cache's slots in use. */
  cacheFill(fraction: number): void;
}

export interface KmsV1Options {
  readonly service: KmsV1Wrapper;
  /** DEKs kept; 0 or less keeps none, and every read asks the KMS. */
  readonly cacheSize: number;
  readonly randomBytes: RandomBytes;
  readonly observer?: KmsV1Observer;
}

const IGNORE: KmsV1Observer = {
  arrival: () => undefined,
  cacheMiss: () => undefined,
  cacheFill: () => undefined,
};

export function createKmsV1Transformer(options: KmsV1Options): Transformer {
  const observer = options.observer ?? IGNORE;
  /** By wrapped DEK; least recently used first. */
  const cache = new Map<string, Transformer>();
  const unwrapping = new Map<string, Promise<Transformer>>();

  const remember = (name: string, transformer: Transformer): void => {
    if (options.cacheSize <= 0) return;
    cache.delete(name);
    cache.set(name, transformer);
    if (cache.size > options.cacheSize) {
      const oldest = cache.keys().next().value;
      if (oldest !== undefined) cache.delete(oldest);
    }
    observer.cacheFill(cache.size / options.cacheSize);
  };

  const recall = (name: string): Transformer | undefined => {
    const transformer = cache.get(name);
    if (transformer !== undefined) {
      cache.delete(name);
      cache.set(name, transformer);
    }
    return transformer;
  };

  const unwrap = async (name: string, wrappedDek: Buffer): Promise<Transformer> => {
    let dek: Buffer;
    try {
      dek = await options.service.decrypt(wrappedDek);
    } catch (error) {
      throw new EnvelopeError('kms-failed', errorMessage(error), { cause: error });
    }
    const transformer = createDekTransformer(dek, options.randomBytes);
    dek.fill(0);
    remember(name, transformer);
    return transformer;
  };

  /** One call for everybody who waits for the same DEK. */
  const unwrapOnce = (name: string, wrappedDek: Buffer): Promise<Transformer> => {
    if (options.cacheSize > 0) observer.cacheMiss();
    const underWay = unwrapping.get(name);
    if (underWay !== undefined) return underWay;
    const call = unwrap(name, Buffer.from(wrappedDek)).finally(() => unwrapping.delete(name));
    unwrapping.set(name, call);
    return call;
  };

  return {
    transformFromStorage(body: Buffer, authenticatedData: Buffer): MaybePromise<Opened> {
      observer.arrival('from_storage');
      const { wrappedDek, sealed } = split(body);
      const name = wrappedDek.toString('latin1');
      const known = recall(name);
      if (known !== undefined) return known.transformFromStorage(sealed, authenticatedData);
      return unwrapOnce(name, wrappedDek).then((transformer) =>
        transformer.transformFromStorage(sealed, authenticatedData),
      );
    },

    async transformToStorage(data: Buffer, authenticatedData: Buffer): Promise<Buffer> {
      observer.arrival('to_storage');
      const dek = Buffer.from(options.randomBytes(DEK_BYTES));
      // Before the call: the client may keep the buffer, and it is wiped after.
      const transformer = createDekTransformer(dek, options.randomBytes);
      let wrappedDek: Buffer;
      try {
        wrappedDek = await options.service.encrypt(dek);
      } catch (error) {
        throw new EnvelopeError('kms-failed', errorMessage(error), { cause: error });
      } finally {
        dek.fill(0);
      }
      if (wrappedDek.length > MAX_WRAPPED_DEK_BYTES) {
        throw new EnvelopeError(
          'limit-exceeded',
          `the KMS plugin returned a wrapped DEK of ${wrappedDek.length} bytes, at most ${MAX_WRAPPED_DEK_BYTES} fit`,
        );
      }
      remember(wrappedDek.toString('latin1'), transformer);
      const length = Buffer.alloc(LENGTH_BYTES);
      length.writeUInt16BE(wrappedDek.length);
      return Buffer.concat([
        length,
        wrappedDek,
        await transformer.transformToStorage(data, authenticatedData),
      ]);
    },
  };
}

function split(body: Buffer): { readonly wrappedDek: Buffer; readonly sealed: Buffer } {
  const end = body.length < LENGTH_BYTES ? Number.POSITIVE_INFINITY : LENGTH_BYTES + body.readUInt16BE(0);
  if (end > body.length) {
    throw new EnvelopeError(
      'malformed',
      'invalid data encountered by envelope transformer: failed to read uint16 length prefixed data',
    );
  }
  return { wrappedDek: body.subarray(LENGTH_BYTES, end), sealed: body.subarray(end) };
}

/** Writes AES-GCM, reads it or, failing that, AES-CBC. */
function createDekTransformer(dek: Buffer, randomBytes: RandomBytes): Transformer {
  const gcm = createAesGcmTransformer({ key: dek, randomBytes });
  const cbc = createAesCbcTransformer({ key: dek, randomBytes });
  return {
    transformFromStorage(sealed, authenticatedData) {
      try {
        return gcm.transformFromStorage(sealed, authenticatedData);
      } catch (gcmError) {
        try {
          const { data } = cbc.transformFromStorage(sealed, authenticatedData) as Opened;
          return { data, stale: true };
        } catch (cbcError) {
          throw aggregateErrors([gcmError, cbcError]);
        }
      }
    },
    transformToStorage: (data, authenticatedData) => gcm.transformToStorage(data, authenticatedData),
  };
}
