/**
 * Whether opened bytes can be an object of the API at all. What is not was never written by an API server; sealed, nobody would see that any more.
 *
 * Source of the rule: what an API server's decoder recognises (k8s.io/apimachinery `runtime/serializer`): the magic of Kubernetes protobuf, or JSON.
 * Whether the object is whole is what `waxseal verify --decode` asks.
 */

const PROTOBUF_MAGIC = Buffer.from('k8s\0');

/** Total. */
export function holdsObject(data: Buffer): boolean {
  if (data.length > PROTOBUF_MAGIC.length && data.compare(PROTOBUF_MAGIC, 0, 4, 0, 4) === 0) return true;
  try {
    const value: unknown = JSON.parse(data.toString());
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}
