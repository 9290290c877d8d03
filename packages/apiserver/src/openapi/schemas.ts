/**
 * OpenAPI schemas of the API types, made from the type tables.
 *
 * Names, list types and patch extensions are those of k8s.io/kube-openapi: kubectl finds a kind by
 * `x-kubernetes-group-version-kind` and merges lists by the patch extensions. There are no descriptions: the tables hold
 * facts, not prose.
 */
import type { BuiltinType, FieldType, JsonObject, JsonValue, ObjectType } from '@waxseal/api-types';

/** What OpenAPI 2 and 3 say differently. */
export interface Dialect {
  /** Where definitions live: `#/definitions/` or `#/components/schemas/`. */
  readonly refPrefix: string;
  /** Version 3 allows nothing beside a `$ref`, so it is wrapped. */
  readonly wrapsRefs: boolean;
}

export const openApi2: Dialect = { refPrefix: '#/definitions/', wrapsRefs: false };
export const openApi3: Dialect = { refPrefix: '#/components/schemas/', wrapsRefs: true };

const metaV1 = 'io.k8s.apimachinery.pkg.apis.meta.v1';
const patchDefinition = `${metaV1}.Patch`;

/** Types that are messages in protobuf and one value in JSON: where they are defined. */
const builtinDefinitions: Partial<Record<BuiltinType, string>> = {
  time: `${metaV1}.Time`,
  microTime: `${metaV1}.MicroTime`,
  duration: `${metaV1}.Duration`,
  fieldsV1: `${metaV1}.FieldsV1`,
  quantity: 'io.k8s.apimachinery.pkg.api.resource.Quantity',
  intOrString: 'io.k8s.apimachinery.pkg.util.intstr.IntOrString',
  rawExtension: 'io.k8s.apimachinery.pkg.runtime.RawExtension',
};

function builtinSchema(builtin: BuiltinType, dialect: Dialect): JsonObject {
  switch (builtin) {
    case 'string':
      return { type: 'string' };
    case 'bool':
      return { type: 'boolean' };
    case 'int32':
    case 'int64':
      return { type: 'integer', format: builtin };
    case 'double':
      return { type: 'number', format: 'double' };
    case 'bytes':
      return { type: 'string', format: 'byte' };
    case 'strings':
      return { type: 'array', items: { type: 'string' } };
    case 'time':
    case 'microTime':
      return { type: 'string', format: 'date-time' };
    case 'duration':
      return { type: 'string' };
    case 'quantity':
      return dialect === openApi3 ? { oneOf: [{ type: 'string' }, { type: 'number' }] } : { type: 'string' };
    case 'intOrString':
      return dialect === openApi3
        ? { format: 'int-or-string', oneOf: [{ type: 'integer' }, { type: 'string' }] }
        : { type: 'string', format: 'int-or-string' };
    case 'rawExtension':
    case 'fieldsV1':
      return { type: 'object' };
    default: {
      const never: never = builtin;
      return never;
    }
  }
}

/** Collects the definitions that others refer to, each once. */
export class SchemaCollector {
  readonly #dialect: Dialect;
  readonly #definitions = new Map<string, JsonObject>();

  constructor(dialect: Dialect) {
    this.#dialect = dialect;
  }

  /** Sorted by name. */
  definitions(): JsonObject {
    const names = [...this.#definitions.keys()].toSorted();
    return Object.fromEntries(names.map((name) => [name, this.#definitions.get(name) ?? {}]));
  }

  /** A bare reference to the type, which is defined with all it refers to. */
  refTo(type: ObjectType): JsonObject {
    if (!this.#definitions.has(type.definition)) {
      // Types may refer to themselves: the name is taken before the fields are walked.
      this.#definitions.set(type.definition, {});
      this.#definitions.set(type.definition, this.#objectSchema(type));
    }
    return this.#ref(type.definition);
  }

  /** A kind without a table, e.g. a custom resource: any object with the usual envelope. */
  refToUntyped(definition: string, groupVersionKind: JsonObject): JsonObject {
    this.#definitions.set(definition, {
      type: 'object',
      'x-kubernetes-preserve-unknown-fields': true,
      'x-kubernetes-group-version-kind': [groupVersionKind],
    });
    return this.#ref(definition);
  }

  refToPatch(): JsonObject {
    this.#definitions.set(patchDefinition, { type: 'object' });
    return this.#ref(patchDefinition);
  }

  #ref(definition: string): JsonObject {
    return { $ref: `${this.#dialect.refPrefix}${definition}` };
  }

  #objectSchema(type: ObjectType): JsonObject {
    const properties: JsonObject = {};
    if (type.isKind) {
      properties['apiVersion'] = { type: 'string' };
      properties['kind'] = { type: 'string' };
    }
    const required: string[] = [];
    for (const field of type.fieldsByName.values()) {
      properties[field.name] = this.#fieldSchema(field);
      if (field.required) required.push(field.name);
    }
    const schema: JsonObject = { type: 'object', properties };
    if (required.length > 0) schema['required'] = required.toSorted();
    if (type.isKind) {
      schema['x-kubernetes-group-version-kind'] = [
        { group: groupOf(type), kind: type.name, version: type.version },
      ];
    }
    if (type.structType === 'atomic') schema['x-kubernetes-map-type'] = 'atomic';
    return schema;
  }

  #fieldSchema(field: FieldType): JsonObject {
    const extensions = extensionsOf(field);
    const hasSiblings = Object.keys(extensions).length > 0;
    const value = this.#valueSchema(field, hasSiblings || field.shape !== 'single');
    if (field.shape === 'list') return { type: 'array', items: value, ...extensions };
    if (field.shape === 'map') return { type: 'object', additionalProperties: value, ...extensions };
    return { ...value, ...extensions };
  }

  #valueSchema(field: FieldType, hasSiblings: boolean): JsonObject {
    let ref: JsonObject | undefined;
    if (field.type !== undefined) ref = this.refTo(field.type);
    else if (field.value !== 'object') ref = this.#builtinRef(field.value);
    if (ref !== undefined) return this.#dialect.wrapsRefs && hasSiblings ? { allOf: [ref] } : ref;
    return field.value === 'object' ? { type: 'object' } : builtinSchema(field.value, this.#dialect);
  }

  #builtinRef(builtin: BuiltinType): JsonObject | undefined {
    const definition = builtinDefinitions[builtin];
    if (definition === undefined) return undefined;
    this.#definitions.set(definition, builtinSchema(builtin, this.#dialect));
    return this.#ref(definition);
  }
}

/** Kinds of meta/v1 are published under the core group. */
function groupOf(type: ObjectType): string {
  return type.group === 'meta.k8s.io' ? '' : type.group;
}

function extensionsOf(field: FieldType): JsonObject {
  const extensions: JsonObject = {};
  const put = (key: string, value: JsonValue | undefined): void => {
    if (value !== undefined) extensions[key] = value;
  };
  put('x-kubernetes-list-map-keys', field.listMapKeys.length > 0 ? [...field.listMapKeys] : undefined);
  put('x-kubernetes-list-type', field.listType);
  put('x-kubernetes-map-type', field.mapType ?? field.structType);
  put('x-kubernetes-patch-merge-key', field.patchMergeKey);
  put(
    'x-kubernetes-patch-strategy',
    field.patchStrategies.length > 0 ? field.patchStrategies.join(',') : undefined,
  );
  if (field.defaultJson !== undefined) {
    const value: JsonValue = JSON.parse(field.defaultJson);
    extensions['default'] = value;
  }
  return extensions;
}
