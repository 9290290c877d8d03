/**
 * Reads the type tables of schema/data: one line per type, one word per field.
 *
 *   Secret@ metadata#1:meta/v1.ObjectMeta,e data#2:{}bytes,e immutable#5:*bool,e
 *   Role@ = rbac/v1
 *
 * The format is specified in docs/formats/kubernetes-protobuf.md, "Type tables".
 */

/** Scalars, and the types Go marshals in a way of its own. */
const builtinTypes = [
  'string',
  'bool',
  'int32',
  'int64',
  'double',
  'bytes',
  'time',
  'microTime',
  'duration',
  'quantity',
  'intOrString',
  'rawExtension',
  'fieldsV1',
  'strings',
] as const;

export type BuiltinType = (typeof builtinTypes)[number];

interface FieldRow {
  readonly name: string;
  readonly number: number;
  readonly shape: 'single' | 'list' | 'map';
  readonly pointer: boolean;
  readonly value: BuiltinType | 'object';
  /** `Name` in the same package or `folder/version.Name`; empty unless `value` is `object`. */
  readonly reference: string;
  readonly omitEmpty: boolean;
  readonly omitZero: boolean;
  readonly required: boolean;
  readonly inline: boolean;
  readonly attributes: ReadonlyMap<string, string>;
}

export interface TypeRow {
  readonly name: string;
  /** The package whose type of this name has the same fields; `fields` is empty then. */
  readonly sameAs: string | undefined;
  /** Has apiVersion and kind of its own. */
  readonly isKind: boolean;
  readonly structType: string | undefined;
  /** In the order of the Go struct, which is the order of the JSON. */
  readonly fields: readonly FieldRow[];
}

const builtins: ReadonlySet<string> = new Set(builtinTypes);

function isBuiltin(text: string): text is BuiltinType {
  return builtins.has(text);
}

function parseField(word: string): FieldRow {
  const [head = '', ...options] = word.split(',');
  const hash = head.indexOf('#');
  const colon = head.indexOf(':', hash);
  const typeText = head.slice(colon + 1);
  const shape = typeText.startsWith('[]') ? 'list' : typeText.startsWith('{}') ? 'map' : 'single';
  const pointer = typeText.startsWith('*');
  const valueText = typeText.slice(shape !== 'single' ? 2 : pointer ? 1 : 0);
  const attributes = new Map<string, string>();
  for (const option of options) {
    const equals = option.indexOf('=');
    attributes.set(equals < 0 ? option : option.slice(0, equals), equals < 0 ? '' : option.slice(equals + 1));
  }
  return {
    name: head.slice(0, hash),
    number: Number(head.slice(hash + 1, colon)),
    shape,
    pointer,
    value: isBuiltin(valueText) ? valueText : 'object',
    reference: isBuiltin(valueText) ? '' : valueText,
    omitEmpty: attributes.has('e'),
    omitZero: attributes.has('z'),
    required: attributes.has('r'),
    inline: attributes.has('i'),
    attributes,
  };
}

/** The rows of one package, by type name. */
export function parseTypeTable(text: string): ReadonlyMap<string, TypeRow> {
  const rows = new Map<string, TypeRow>();
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const [head = '', ...words] = line.split(' ');
    const [title = '', struct] = head.split(',struct=');
    const isKind = title.endsWith('@');
    const name = isKind ? title.slice(0, -1) : title;
    const sameAs = words[0] === '=' ? words[1] : undefined;
    const fields = sameAs === undefined ? words.map(parseField) : [];
    rows.set(name, { name, sameAs, isKind, structType: struct, fields });
  }
  return rows;
}
