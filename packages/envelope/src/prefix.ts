/**
 * Dispatch by prefix: which provider wrote a stored value, and whether a write now would make another one.
 *
 * Source of the rule: k8s.io/apiserver `storage/value` (prefixTransformers). The first provider writes. On read every
 * provider whose prefix matches is tried in order until one opens the value, because the same prefix may appear twice
 * while a key is rotated. The same dispatch chooses the provider and, inside a provider, the named key.
 */
import { aggregateErrors, EnvelopeError } from './errors.js';
import type { MaybePromise, Opened, Transformer } from './transformer.js';

export interface PrefixedTransformer {
  /** What the stored value begins with, e.g. `k8s:enc:aesgcm:v1:`; empty for identity. */
  readonly prefix: string;
  /** Sees the value without the prefix. */
  readonly transformer: Transformer;
}

/**
 * A transformer that can leave room for the prefix in front of what it writes, which saves a copy of every value. The
 * first `headroomBytes` of the result are the caller's to fill.
 */
export interface HeadroomTransformer extends Transformer {
  transformToStorageAfter(headroomBytes: number, data: Buffer, authenticatedData: Buffer): Buffer;
}

export type TransformationType = 'from_storage' | 'to_storage';

/** Sees every transformation, for metrics. Runs inside the read or write: keep it cheap. */
export interface TransformObserver {
  /** A mark of the time now, given back to `end`. */
  start(): number;
  /** `prefix` is empty when identity wrote, `identity` when it read, `unknown` when nothing matched. */
  end(type: TransformationType, prefix: string, startMark: number, error: unknown): void;
}

export interface PrefixTransformerOptions {
  /** In order of preference; the first one writes. At least one. */
  readonly transformers: readonly PrefixedTransformer[];
  /** What to say when no prefix matches. */
  readonly noMatchMessage?: string;
  readonly observer?: TransformObserver;
}

interface Candidate {
  readonly prefix: string;
  readonly prefixBytes: Buffer;
  readonly transformer: Transformer;
}

const IGNORE: TransformObserver = { start: () => 0, end: () => undefined };

/** @throws RangeError when `transformers` is empty: nothing could be written */
export function createPrefixTransformer(options: PrefixTransformerOptions): Transformer {
  const candidates = options.transformers.map(({ prefix, transformer }) => ({
    prefix,
    prefixBytes: Buffer.from(prefix),
    transformer,
  }));
  const first = candidates[0];
  if (first === undefined) throw new RangeError('a prefix transformer needs at least one transformer');
  const noMatchMessage = options.noMatchMessage ?? 'no matching prefix found';
  const observer = options.observer ?? IGNORE;

  const from = (
    index: number,
    failures: unknown[],
    stored: Buffer,
    authenticatedData: Buffer,
    startMark: number,
  ): MaybePromise<Opened> => {
    for (let i = index; i < candidates.length; i++) {
      const candidate = candidates[i] as Candidate;
      if (!startsWith(stored, candidate.prefixBytes)) continue;
      const opened = (result: Opened): Opened => {
        observer.end(
          'from_storage',
          candidate.prefix === '' ? 'identity' : candidate.prefix,
          startMark,
          undefined,
        );
        return i === 0 || result.stale ? result : { data: result.data, stale: true };
      };
      const failed = (error: unknown): void => {
        // identity that refuses means "not mine": the value is encrypted and a later provider may hold the key.
        if (candidate.prefix === '') return;
        observer.end('from_storage', candidate.prefix, startMark, error);
        failures.push(error);
      };
      try {
        const result = candidate.transformer.transformFromStorage(
          stored.subarray(candidate.prefixBytes.length),
          authenticatedData,
        );
        if (!(result instanceof Promise)) return opened(result);
        return result.then(opened, (error: unknown) => {
          failed(error);
          return from(i + 1, failures, stored, authenticatedData, startMark);
        });
      } catch (error) {
        failed(error);
      }
    }
    if (failures.length > 0) throw aggregateErrors(failures);
    const noMatch = new EnvelopeError('no-matching-prefix', noMatchMessage);
    observer.end('from_storage', 'unknown', startMark, noMatch);
    throw noMatch;
  };

  const seal = (data: Buffer, authenticatedData: Buffer): MaybePromise<Buffer> => {
    const { transformer, prefixBytes } = first;
    if (hasHeadroom(transformer)) {
      const stored = transformer.transformToStorageAfter(prefixBytes.length, data, authenticatedData);
      prefixBytes.copy(stored);
      return stored;
    }
    const body = transformer.transformToStorage(data, authenticatedData);
    return body instanceof Promise ? body.then(prefixed) : prefixed(body);
  };

  const prefixed = (body: Buffer): Buffer => {
    const prefixLength = first.prefixBytes.length;
    if (prefixLength === 0) return body;
    const stored = Buffer.allocUnsafe(prefixLength + body.length);
    first.prefixBytes.copy(stored);
    body.copy(stored, prefixLength);
    return stored;
  };

  return {
    transformFromStorage(stored: Buffer, authenticatedData: Buffer): MaybePromise<Opened> {
      return from(0, [], stored, authenticatedData, observer.start());
    },
    transformToStorage(data: Buffer, authenticatedData: Buffer): MaybePromise<Buffer> {
      const startMark = observer.start();
      const sealed = (stored: Buffer): Buffer => {
        observer.end('to_storage', first.prefix, startMark, undefined);
        return stored;
      };
      const failed = (error: unknown): never => {
        observer.end('to_storage', first.prefix, startMark, error);
        throw error;
      };
      let stored: MaybePromise<Buffer>;
      try {
        stored = seal(data, authenticatedData);
      } catch (error) {
        return failed(error);
      }
      return stored instanceof Promise ? stored.then(sealed, failed) : sealed(stored);
    },
  };
}

function hasHeadroom(transformer: Transformer): transformer is HeadroomTransformer {
  return 'transformToStorageAfter' in transformer;
}

/** A loop, because prefixes are short: a native comparison costs more than it saves. */
function startsWith(stored: Buffer, prefix: Buffer): boolean {
  if (stored.length < prefix.length) return false;
  for (let i = 0; i < prefix.length; i++) if (stored[i] !== prefix[i]) return false;
  return true;
}
