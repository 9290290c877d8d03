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
  | { readonly kind: 'object'; readonly object: JsonObject }
  | { readonly kind: 'undecodable'; readonly reason: string };

/** Total: whatever the bytes, there is an answer. Reasons never quote the bytes. */
export function readManifest(data: Buffer): Manifest {
  let value: unknown;
  try {
    value = isKubeProtobuf(data) ? decodeKubeProtobuf(data) : parseJson(data).value;
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
  return { kind: 'object', object: { ...object, ...rest } };
}

function undecodable(reason: string): Manifest {
  return { kind: 'undecodable', reason };
}
