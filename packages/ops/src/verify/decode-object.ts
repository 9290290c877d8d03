/** Whether an opened object can be decoded completely: protobuf of the built-in kinds, JSON of any. */
import {
  DecodeError,
  decodeJsonObject,
  decodeKubeProtobuf,
  findType,
  isJsonObject,
  isKubeProtobuf,
  parseJson,
} from '@waxseal/api-types';

/**
 * Custom resources are any JSON object. A field that this release does not know is no fault: a newer API server may have written it.
 *
 * @throws DecodeError where it does not decode; messages name fields and types, never values
 */
export function decodeStoredObject(data: Buffer): void {
  if (isKubeProtobuf(data)) {
    decodeKubeProtobuf(data);
    return;
  }
  const { value } = parseJson(data);
  if (!isJsonObject(value)) throw new DecodeError('malformed-json', 'the value is no JSON object');
  const { apiVersion, kind } = value;
  if (typeof apiVersion !== 'string' || typeof kind !== 'string') {
    throw new DecodeError('malformed-json', 'the object has no apiVersion and kind');
  }
  const slash = apiVersion.indexOf('/');
  const type = findType(apiVersion.slice(0, Math.max(slash, 0)), apiVersion.slice(slash + 1), kind);
  if (type === undefined) return;
  const [problem] = decodeJsonObject(type, value).invalid;
  if (problem !== undefined) throw new DecodeError('wrong-type', `${problem.field}: ${problem.message}`);
}
