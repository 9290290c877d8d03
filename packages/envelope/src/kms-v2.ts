/**
 * KMS v2: one wrapped seed for many values, found in memory or unwrapped once.
 *
 * Source of the rule: k8s.io/apiserver `storage/value/encrypt/envelope/kmsv2`. Reads never wait for the KMS unless
 * the DEK source is new to this process; then one call serves every read that waits for it. Writes never call it: the
 * state is kept ready by whoever watches the plugin.
 */
import { createHash } from 'node:crypto';
import { createDekReader, SEED_OVERHEAD_BYTES, type DekReader } from './dek.js';
import { createDerivedKeyCache, DEFAULT_MAX_DERIVED_KEYS } from './derived-keys.js';
import { EnvelopeError, errorMessage } from './errors.js';
import {
  decodeEncryptedObject,
  encodeDekSource,
  encryptedDataHeadBytes,
  locateEncryptedData,
  writeEncryptedDataHead,
  type Annotations,
  type DekSource,
} from './kms-v2-object.js';
import { assertWritable, type KmsV2WriteState } from './kms-v2-write-state.js';
import type { HeadroomTransformer, TransformationType } from './prefix.js';
import { createRandomFill, newRequestUid, type RandomBytes } from './randomness.js';
import type { MaybePromise, Opened } from './transformer.js';

/** How long an unwrapped DEK source is kept after its last use for writing or its unwrapping. */
export const DEK_SOURCE_TTL_MS = 24 * 60 * 60 * 1000;

/** The part of a KMS v2 client this package needs. */
export interface KmsV2Decrypter {
  /** Resolves with the DEK or seed in a buffer of its own, which the caller wipes. */
  decrypt(
    uid: string,
    request: { readonly ciphertext: Buffer; readonly keyId: string; readonly annotations: Annotations },
  ): Promise<Buffer>;
}

/** Sees what metrics need. Runs inside the read or write: keep it cheap. */
export interface KmsV2Observer {
  keyIdUsed(type: TransformationType, keyId: string): void;
  /** A read has to ask the KMS, or to wait for a call under way. */
  cacheMiss(): void;
  cacheSize(entries: number): void;
}

export interface KmsV2Options {
  readonly service: KmsV2Decrypter;
  /** The state to write with, or undefined as long as the KMS has never answered. */
  readonly getState: () => KmsV2WriteState | undefined;
  readonly randomBytes: RandomBytes;
  /** Milliseconds since the epoch. */
  readonly nowMs: () => number;
  readonly observer?: KmsV2Observer;
  /** Default 8192. */
  readonly maxDerivedKeys?: number;
}

interface CachedSource {
  readonly source: DekSource;
  readonly reader: DekReader;
  expiresAtMs: number;
}

const IGNORE: KmsV2Observer = {
  keyIdUsed: () => undefined,
  cacheMiss: () => undefined,
  cacheSize: () => undefined,
};

/** Longer encodings (those with large annotations) are remembered by their hash. */
const MAX_PLAIN_NAME_BYTES = 512;
/** Encodings remembered; the same source has several when its writer does not sort annotations. */
const MAX_ENCODINGS = 4096;
/** Unwrapped DEK sources kept, however young; a cluster has one per key id and server start. */
const MAX_SOURCES = 65_536;
/** How old the write state's cache entry may get before a write renews it. */
const RENEW_AFTER_MS = 60_000;

/**
 * Stored form: EncryptedObject (see `kms-v2-object.ts`), the data sealed as `dek.ts` says.
 *
 * `stale` is true when the key id or the source type differ from the present write state's. Without a write state
 * reads go on and nothing is stale: no write could make it better.
 */
export function createKmsV2Transformer(options: KmsV2Options): HeadroomTransformer {
  const observer = options.observer ?? IGNORE;
  const fillRandom = createRandomFill(options.randomBytes);
  const derivedKeys = createDerivedKeyCache(options.maxDerivedKeys ?? DEFAULT_MAX_DERIVED_KEYS);
  /** By the encoding with sorted annotations; in the order of expiry. */
  const sources = new Map<string, CachedSource>();
  /** By the bytes as they lie in storage, so that a repeated read parses nothing. */
  const encodings = new Map<string, CachedSource>();
  const unwrapping = new Map<string, Promise<CachedSource>>();

  const remember = (name: string, source: DekSource, reader: DekReader): CachedSource => {
    const nowMs = options.nowMs();
    const cached = { source, reader, expiresAtMs: nowMs + DEK_SOURCE_TTL_MS };
    sources.delete(name);
    sources.set(name, cached);
    for (const [oldName, old] of sources) {
      if (old.expiresAtMs > nowMs && sources.size <= MAX_SOURCES) break;
      sources.delete(oldName);
      // The encodings of what has expired are few and cost one parse each to find again.
      encodings.clear();
    }
    observer.cacheSize(sources.size);
    return cached;
  };

  const unwrap = async (name: string, source: DekSource): Promise<CachedSource> => {
    let dek: Buffer;
    try {
      dek = await options.service.decrypt(newRequestUid(options.randomBytes), {
        ciphertext: source.encryptedDekSource,
        keyId: source.keyId,
        annotations: source.annotations,
      });
    } catch (error) {
      throw new EnvelopeError('kms-failed', `failed to decrypt DEK, error: ${errorMessage(error)}`, {
        cause: error,
      });
    }
    return remember(name, source, createDekReader(source.encryptedDekSourceType, dek, derivedKeys));
  };

  /** One call for everybody who waits for the same source. */
  const unwrapOnce = (name: string, source: DekSource): Promise<CachedSource> => {
    observer.cacheMiss();
    const underWay = unwrapping.get(name);
    if (underWay !== undefined) return underWay;
    const call = unwrap(name, detached(source)).finally(() => unwrapping.delete(name));
    unwrapping.set(name, call);
    return call;
  };

  const open = (cached: CachedSource, sealed: Buffer, authenticatedData: Buffer): Opened => {
    observer.keyIdUsed('from_storage', cached.source.keyId);
    const data = cached.reader.open(sealed, authenticatedData);
    const state = options.getState();
    const stale =
      state !== undefined &&
      (cached.source.keyId !== state.keyId ||
        cached.source.encryptedDekSourceType !== state.encryptedDekSourceType);
    return { data, stale };
  };

  /** Most reads meet the source of the read before: comparing its bytes is cheaper than hashing them. */
  let last: { readonly encoding: Buffer; readonly cached: CachedSource } | undefined;
  const recall = (body: Buffer, start: number): CachedSource | undefined => {
    if (last !== undefined && body.compare(last.encoding, 0, last.encoding.length, start) === 0) {
      return last.cached;
    }
    const cached = encodings.get(nameOf(body, start));
    if (cached !== undefined) last = { encoding: Buffer.from(body.subarray(start)), cached };
    return cached;
  };

  let writeStateSource: { state: KmsV2WriteState['dek']; renewAtMs: number } | undefined;
  /** Reads of what this process writes must not ask the KMS. */
  const rememberWriteState = (state: KmsV2WriteState, nowMs: number): void => {
    if (writeStateSource?.state === state.dek && nowMs < writeStateSource.renewAtMs) return;
    writeStateSource = { state: state.dek, renewAtMs: nowMs + RENEW_AFTER_MS };
    const name = nameOf(state.encodedSource, 0);
    const cached = remember(name, state, state.dek);
    encodings.set(name, cached);
  };

  const seal = (headroomBytes: number, data: Buffer, authenticatedData: Buffer): Buffer => {
    const state = options.getState();
    if (state === undefined) {
      throw new EnvelopeError(
        'no-write-state',
        'the KMS plugin has not given a key to write with yet: check that it runs, that its socket is the configured endpoint, and /readyz',
      );
    }
    const nowMs = options.nowMs();
    assertWritable(state, nowMs);
    rememberWriteState(state, nowMs);
    const sealedBytes = data.length + SEED_OVERHEAD_BYTES;
    const dataStart = headroomBytes + encryptedDataHeadBytes(sealedBytes);
    const body = Buffer.allocUnsafe(dataStart + sealedBytes + state.encodedSource.length);
    writeEncryptedDataHead(body, headroomBytes, sealedBytes);
    state.dek.sealInto(data, authenticatedData, body, dataStart, fillRandom);
    state.encodedSource.copy(body, dataStart + sealedBytes);
    observer.keyIdUsed('to_storage', state.keyId);
    return body;
  };

  return {
    transformFromStorage(body: Buffer, authenticatedData: Buffer): MaybePromise<Opened> {
      const place = locateEncryptedData(body);
      if (place !== undefined) {
        const known = recall(body, place.end);
        if (known !== undefined) {
          return open(known, body.subarray(place.start, place.end), authenticatedData);
        }
      }
      const object = decodeEncryptedObject(body);
      const name = nameOf(encodeDekSource(object), 0);
      // Only a body whose one encrypted data comes first may be found again by what follows it.
      const encoding =
        place !== undefined && isAt(object.encryptedData, body, place.start, place.end)
          ? nameOf(body, place.end)
          : undefined;
      const opened = (cached: CachedSource): Opened => {
        if (encoding !== undefined) {
          if (encodings.size >= MAX_ENCODINGS) encodings.clear();
          encodings.set(encoding, cached);
        }
        return open(cached, object.encryptedData, authenticatedData);
      };
      const cached = sources.get(name);
      return cached === undefined ? unwrapOnce(name, object).then(opened) : opened(cached);
    },

    transformToStorage: (data, authenticatedData) => seal(0, data, authenticatedData),
    transformToStorageAfter: seal,
  };
}

/** The bytes from `start` on as a map key. */
function nameOf(bytes: Buffer, start: number): string {
  if (bytes.length - start <= MAX_PLAIN_NAME_BYTES) return bytes.toString('latin1', start);
  return `sha256:${createHash('sha256').update(bytes.subarray(start)).digest('base64')}`;
}

function isAt(part: Buffer, body: Buffer, start: number, end: number): boolean {
  return part.byteOffset === body.byteOffset + start && part.length === end - start;
}

/** A copy of the source alone: kept for a day, it must not keep the stored value it was read from. */
function detached(source: DekSource): DekSource {
  return {
    keyId: source.keyId,
    encryptedDekSource: Buffer.from(source.encryptedDekSource),
    annotations: Object.fromEntries(
      Object.entries(source.annotations).map(([key, value]) => [key, Buffer.from(value)]),
    ),
    encryptedDekSourceType: source.encryptedDekSourceType,
  };
}
