/** Which kind of object plaintext is, when its key is lost: the beginning of its JSON or of its Kubernetes protobuf says. */
import { messageFields } from './message-fields.js';

export interface ObjectKind {
  readonly kind: string;
  /** Empty for the core group. */
  readonly group: string;
}

/** kind and apiVersion stand at the beginning, whoever writes. */
const SEARCHED_BYTES = 4096;
const PROTOBUF = Buffer.from('k8s\0');
const TYPE_META_TAG = 0x0a;
const NAME = /^[A-Za-z0-9./-]{1,253}$/;

/** Total; undefined: it does not say. */
export function objectKindOf(value: Buffer): ObjectKind | undefined {
  const head = value.subarray(0, SEARCHED_BYTES);
  const [kind, apiVersion] = head.subarray(0, PROTOBUF.length).equals(PROTOBUF)
    ? fromProtobuf(head.subarray(PROTOBUF.length))
    : fromJson(head.toString('latin1'));
  if (kind === undefined || apiVersion === undefined || !NAME.test(kind) || !NAME.test(apiVersion))
    return undefined;
  const slash = apiVersion.indexOf('/');
  return { kind, group: slash === -1 ? '' : apiVersion.slice(0, slash) };
}

type Named = readonly [kind: string | undefined, apiVersion: string | undefined];

function fromJson(text: string): Named {
  return [/"kind":\s*"([^"]+)"/.exec(text)?.[1], /"apiVersion":\s*"([^"]+)"/.exec(text)?.[1]];
}

/** runtime.Unknown {1 typeMeta {1 apiVersion, 2 kind}}: less than 128 bytes. */
function fromProtobuf(bytes: Buffer): Named {
  const length = bytes[1] ?? 0;
  if (bytes[0] !== TYPE_META_TAG || length >= 0x80) return [undefined, undefined];
  const names = new Map<number, string>();
  for (const field of messageFields(bytes.subarray(2, 2 + length)) ?? []) {
    if (field.kind === 'bytes') names.set(field.number, field.bytes.toString('latin1'));
  }
  return [names.get(2), names.get(1)];
}
