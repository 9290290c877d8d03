/**
 * The bytes of an object as they are sealed, and as they are served.
 *
 * Stored JSON opens with `{"kind":…,"apiVersion":…,"metadata":{` and carries no `resourceVersion`: that is the store's
 * revision of the write. Serving an object is therefore one splice behind `"metadata":{`, without parsing. Values a
 * kube-apiserver wrote as Kubernetes protobuf (`k8s\0` ‖ runtime.Unknown) are read as well.
 * Source of the rule: k8s.io/apiserver `storage/api_object_versioner` (PrepareObjectForStorage), docs/formats/registry-layout.md.
 */
import { decodeKubeProtobuf, isKubeProtobuf, type KubeObject } from '@waxseal/api-types';
import type { ResourceDefinition } from '../registry/resource.js';

/** `v1` or `group/version`. */
export function apiVersionOf(resource: { readonly group: string; readonly version: string }): string {
  return resource.group === '' ? resource.version : `${resource.group}/${resource.version}`;
}

const heads = new WeakMap<ResourceDefinition, Buffer>();

/** What our own JSON, and kube-apiserver's, begins with. */
function headOf(resource: ResourceDefinition): Buffer {
  let head = heads.get(resource);
  if (head === undefined) {
    head = Buffer.from(
      `{"kind":${JSON.stringify(resource.kind)},"apiVersion":${JSON.stringify(apiVersionOf(resource))},"metadata":{`,
    );
    heads.set(resource, head);
  }
  return head;
}

/** Serialises an object for storage; `metadata.resourceVersion` is left out. */
export function encodeStored(resource: ResourceDefinition, object: KubeObject): Buffer {
  const { kind: _kind, apiVersion: _apiVersion, metadata, ...rest } = object;
  const { resourceVersion: _resourceVersion, ...storedMetadata } = metadata;
  return Buffer.from(
    JSON.stringify({
      kind: resource.kind,
      apiVersion: apiVersionOf(resource),
      metadata: storedMetadata,
      ...rest,
    }),
  );
}

const RESOURCE_VERSION_FIELD = Buffer.from('"resourceVersion":');
const BRACE_CLOSE = 0x7d;
const NEWLINE = 0x0a;

/** True when the bytes can be served by a splice: our head, and no field named resourceVersion anywhere. */
function canSplice(head: Buffer, stored: Buffer): boolean {
  return (
    stored.length > head.length &&
    stored.subarray(0, head.length).equals(head) &&
    stored.indexOf(RESOURCE_VERSION_FIELD, head.length) === -1
  );
}

/**
 * The JSON a client gets: the stored object with its resourceVersion.
 *
 * @param stored opened bytes, JSON or Kubernetes protobuf
 * @param revision the store's revision of the write
 */
export function serveStored(resource: ResourceDefinition, stored: Buffer, revision: number): Buffer {
  const head = headOf(resource);
  if (!canSplice(head, stored) || resource.storedDefaults?.present(stored) === false) {
    const object = decodeStored(resource, stored);
    return encodeServed(resource, object, revision);
  }
  // Go's encoder ends a document with a newline.
  const end = stored[stored.length - 1] === NEWLINE ? stored.length - 1 : stored.length;
  const comma = stored[head.length] === BRACE_CLOSE ? '' : ',';
  const inserted = `"resourceVersion":"${revision}"${comma}`;
  const served = Buffer.allocUnsafe(end + inserted.length);
  stored.copy(served, 0, 0, head.length);
  served.write(inserted, head.length, 'latin1');
  stored.copy(served, head.length + inserted.length, head.length, end);
  return served;
}

/** The same JSON for an object in hand; revision 0 leaves the resourceVersion out (dry run). */
export function encodeServed(resource: ResourceDefinition, object: KubeObject, revision: number): Buffer {
  const stored = encodeStored(resource, object);
  if (revision === 0) return stored;
  const head = headOf(resource);
  const comma = stored[head.length] === BRACE_CLOSE ? '' : ',';
  const inserted = Buffer.from(`"resourceVersion":"${revision}"${comma}`);
  return Buffer.concat([stored.subarray(0, head.length), inserted, stored.subarray(head.length)]);
}

/**
 * Parses opened bytes and fills in what their writer left out. Total: every malformed value is an Error whose message holds none of the value.
 *
 * @throws Error
 */
export function decodeStored(resource: ResourceDefinition, stored: Buffer): KubeObject {
  const object = isKubeProtobuf(stored) ? decodeKubeProtobuf(stored) : parseStoredJson(stored);
  const expected = apiVersionOf(resource);
  if (object.kind !== resource.kind || object.apiVersion !== expected) {
    throw new Error(
      `the stored object is a ${safeName(object.apiVersion)} ${safeName(object.kind)}, expected a ${expected} ${resource.kind}`,
    );
  }
  resource.storedDefaults?.fill(object);
  return object;
}

/** Decodes with the resourceVersion filled in. */
export function decodeVersioned(resource: ResourceDefinition, stored: Buffer, revision: number): KubeObject {
  const object = decodeStored(resource, stored);
  object.metadata.resourceVersion = String(revision);
  return object;
}

function parseStoredJson(stored: Buffer): KubeObject {
  let value: unknown;
  try {
    value = JSON.parse(stored.toString());
  } catch {
    // The parser's message would quote the value.
    throw new Error('the stored value is neither JSON nor Kubernetes protobuf');
  }
  if (!isRecord(value) || typeof value['kind'] !== 'string' || typeof value['apiVersion'] !== 'string') {
    throw new Error('the stored value is JSON, but no Kubernetes object');
  }
  if (value['metadata'] === undefined) value['metadata'] = {};
  if (!isRecord(value['metadata'])) throw new Error('the stored object has no usable metadata');
  return value as KubeObject;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function safeName(text: string): string {
  return /^[\w./-]{1,100}$/.test(text) ? text : '(unnamed)';
}
