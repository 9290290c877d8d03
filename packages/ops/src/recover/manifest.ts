/**
 * Opened bytes as a manifest: the object with apiVersion and kind, as `kubectl get -o json` orders it.
 *
 * The bytes are Kubernetes protobuf (`k8s\0` ‖ runtime.Unknown) or JSON; JSON of kinds that are not built in passes through unchanged.
 */
import {
  DecodeError,
  decodeKubeProtobuf,
  isJsonObject,
  isKubeProtobuf,
  parseJson,
  type JsonObject,
} from '@waxseal/api-types';

export type Manifest =
  | {
      readonly kind: 'object';
      readonly object: JsonObject;
      /** What the bytes hold and the object does not; empty: nothing. */
      readonly lost: readonly string[];
    }
  | { readonly kind: 'undecodable'; readonly reason: string };

/** Total: whatever the bytes, there is an answer. Reasons never quote the bytes. */
export function readManifest(data: Buffer): Manifest {
  let value: unknown;
  let lost: readonly string[];
  try {
    if (isKubeProtobuf(data)) {
      const losses = new Set<string>();
      value = decodeKubeProtobuf(data, (loss) =>
        losses.add(
          loss.kind === 'rounded-integer'
            ? ROUNDED
            : `field ${loss.number} of ${loss.type}, which is of another release of Kubernetes`,
        ),
      );
      lost = [...losses];
    } else {
      value = parseJson(data).value;
      lost = inexactIntegers(data);
    }
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    return { kind: 'undecodable', reason: error.message };
  }
  if (!isJsonObject(value)) return undecodable('the value is JSON, but no object');
  const { apiVersion, kind, metadata, ...rest } = value;
  if (typeof apiVersion !== 'string' || apiVersion === '' || typeof kind !== 'string' || kind === '') {
    return undecodable('the value has no apiVersion and kind');
  }
  if (metadata !== undefined && !isJsonObject(metadata)) return undecodable('the metadata are no object');
  const object: JsonObject = { apiVersion, kind };
  if (metadata !== undefined) object['metadata'] = metadata;
  return { kind: 'object', object: { ...object, ...rest }, lost };
}

const ROUNDED = 'an integer beyond 53 bits, which was rounded';
const LONG_NUMBER = /[0-9]{16}/;
/** Strings, to step over them, and numbers. */
const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|-?[0-9][-+.0-9eE]*/g;
const INTEGER = /^-?[0-9]+$/;

/** Go reads 64-bit integers, this language doubles. @param data valid JSON */
function inexactIntegers(data: Buffer): readonly string[] {
  const text = data.toString('latin1');
  if (!LONG_NUMBER.test(text)) return [];
  for (const [token] of text.matchAll(TOKEN)) {
    if (INTEGER.test(token) && BigInt(token) !== BigInt(Number(token))) return [ROUNDED];
  }
  return [];
}

function undecodable(reason: string): Manifest {
  return { kind: 'undecodable', reason };
}
