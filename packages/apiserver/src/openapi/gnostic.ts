/**
 * An OpenAPI 2 document in the protobuf of gnostic's `openapi.v2` (OpenAPIv2.proto): what kubectl asks for as
 * `application/com.github.proto-openapi.spec.v2.v1.0+protobuf`.
 *
 * Only what this server's documents hold is written. Values of any shape (defaults, extensions) travel as YAML, and
 * JSON is YAML.
 */
import { WireWriter, isJsonObject, wireVarint, type JsonObject, type JsonValue } from '@waxseal/api-types';

/** Writes one value, backwards, without its tag. */
type Write = (writer: WireWriter, value: JsonValue) => void;

interface Member {
  readonly number: number;
  readonly write: Write;
  /** One element an item, or one named element a key. */
  readonly repeated?: 'list' | 'map';
  readonly isBool?: true;
}

type Message = Readonly<Record<string, Member>>;

function closed(writer: WireWriter, number: number, write: () => void): void {
  const mark = writer.mark;
  write();
  writer.close(number, mark);
}

const string: Write = (writer, value) => writer.string(typeof value === 'string' ? value : '');

/** `Any {2 yaml}`. */
const any: Write = (writer, value) => closed(writer, 2, () => writer.string(JSON.stringify(value)));

function text(number: number): Member {
  return { number, write: string };
}

function texts(number: number): Member {
  return { number, write: string, repeated: 'list' };
}

function bool(number: number): Member {
  return { number, write: string, isBool: true };
}

function nested(number: number, write: Write, repeated?: 'list' | 'map'): Member {
  return { number, write, ...(repeated === undefined ? {} : { repeated }) };
}

/** @param extensions field number of the repeated NamedAny for keys that begin with `x-` */
function message(members: () => Message, extensions: number): Write {
  return (writer, value) => {
    if (!isJsonObject(value)) return;
    const known = members();
    for (const key of Object.keys(value).toReversed()) {
      const item = value[key];
      if (item === undefined || item === null) continue;
      if (key.startsWith('x-')) writeNamed(writer, extensions, key, item, any);
      else if (Object.hasOwn(known, key)) writeMember(writer, known[key], item);
    }
  };
}

function writeMember(writer: WireWriter, member: Member | undefined, value: JsonValue): void {
  if (member === undefined) return;
  if (member.isBool === true) {
    writer.uint32(value === true ? 1 : 0);
    writer.tag(member.number, wireVarint);
  } else if (member.repeated === 'list' && Array.isArray(value)) {
    for (const item of value.toReversed()) closed(writer, member.number, () => member.write(writer, item));
  } else if (member.repeated === 'map' && isJsonObject(value)) {
    closed(writer, member.number, () => writeMap(writer, 1, value, member.write));
  } else closed(writer, member.number, () => member.write(writer, value));
}

function writeMap(writer: WireWriter, number: number, map: JsonObject, write: Write): void {
  for (const key of Object.keys(map).toReversed()) writeNamed(writer, number, key, map[key] ?? {}, write);
}

/** `Named… {1 name, 2 value}`. */
function writeNamed(writer: WireWriter, number: number, name: string, value: JsonValue, write: Write): void {
  closed(writer, number, () => {
    closed(writer, 2, () => write(writer, value));
    closed(writer, 1, () => writer.string(name));
  });
}

/** A oneof is the chosen member alone. */
function choice(number: number, write: Write): Write {
  return (writer, value) => closed(writer, number, () => write(writer, value));
}

const schema: Write = message(
  () => ({
    $ref: text(1),
    format: text(2),
    default: nested(5, any),
    required: texts(19),
    additionalProperties: nested(21, choice(1, schema)),
    type: nested(22, choice(1, string)),
    items: nested(23, choice(1, schema)),
    properties: nested(25, schema, 'map'),
  }),
  31,
);

const bodyParameter: Write = message(
  () => ({ name: text(2), in: text(3), required: bool(4), schema: nested(5, schema) }),
  6,
);
const queryParameter: Write = message(
  () => ({
    required: bool(1),
    in: text(2),
    name: text(4),
    type: text(6),
    format: text(7),
    uniqueItems: bool(20),
  }),
  23,
);
const pathParameter: Write = message(
  () => ({
    required: bool(1),
    in: text(2),
    name: text(4),
    type: text(5),
    format: text(6),
    uniqueItems: bool(19),
  }),
  22,
);

/** ParametersItem → Parameter → body, or NonBodyParameter → query or path. */
const parameter: Write = (writer, value) => {
  if (!isJsonObject(value)) return;
  if (value['in'] === 'body') return choice(1, choice(1, bodyParameter))(writer, value);
  const inner = value['in'] === 'query' ? choice(3, queryParameter) : choice(4, pathParameter);
  choice(1, choice(2, inner))(writer, value);
};

/** ResponseValue → Response; its schema is a SchemaItem. */
const response: Write = choice(
  1,
  message(() => ({ description: text(1), schema: nested(2, choice(1, schema)) }), 5),
);

const operation: Write = message(
  () => ({
    tags: texts(1),
    operationId: text(5),
    produces: texts(6),
    consumes: texts(7),
    parameters: nested(8, parameter, 'list'),
    responses: nested(9, response, 'map'),
  }),
  13,
);

const pathItem: Write = message(
  () => ({
    get: nested(2, operation),
    put: nested(3, operation),
    post: nested(4, operation),
    delete: nested(5, operation),
    patch: nested(8, operation),
  }),
  10,
);

const info: Write = message(() => ({ title: text(1), version: text(2) }), 7);

const paths: Write = (writer, value) => {
  if (isJsonObject(value)) writeMap(writer, 2, value, pathItem);
};

const document: Write = message(
  () => ({
    swagger: text(1),
    info: nested(2, info),
    paths: nested(8, paths),
    definitions: nested(9, schema, 'map'),
  }),
  16,
);

/** @param openApi an OpenAPI 2 document */
export function encodeGnosticDocument(openApi: JsonObject): Buffer {
  const writer = new WireWriter(1 << 20);
  document(writer, openApi);
  return writer.finish();
}
