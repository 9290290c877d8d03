/**
 * The registry of Kubernetes types: what a Secret is, field by field, as read-only data.
 *
 * One table serves protobuf, strict field checks, strategic patches and OpenAPI. Tables are parsed package by package
 * on first use, so starting costs nothing.
 */
import { packageTexts, type PackageText } from './data/packages.js';
import { parseTypeTable, type BuiltinType, type TypeRow } from './type-table.js';

export interface FieldType {
  /** JSON name; for an inline field the protobuf name, which JSON never shows. */
  readonly name: string;
  /** Protobuf field number. */
  readonly number: number;
  readonly shape: 'single' | 'list' | 'map';
  /** A Go pointer: absent and zero differ. */
  readonly pointer: boolean;
  readonly value: BuiltinType | 'object';
  /** The type of the value, element or map value; undefined unless `value` is `object`. */
  readonly type: ObjectType | undefined;
  readonly omitEmpty: boolean;
  readonly omitZero: boolean;
  /** As OpenAPI publishes it: neither `omitempty` nor `+optional`. */
  readonly required: boolean;
  /** Its fields belong to the enclosing JSON object. */
  readonly inline: boolean;
  /** Of `patchStrategy`: `merge`, `replace`, `retainKeys`. */
  readonly patchStrategies: readonly string[];
  readonly patchMergeKey: string | undefined;
  readonly listType: string | undefined;
  readonly listMapKeys: readonly string[];
  readonly mapType: string | undefined;
  readonly structType: string | undefined;
  /** The literal of a `+default` marker, as JSON text. */
  readonly defaultJson: string | undefined;
}

export interface ObjectType {
  readonly group: string;
  readonly version: string;
  readonly name: string;
  /** The OpenAPI definition name, e.g. `io.k8s.api.core.v1.Secret`. */
  readonly definition: string;
  /** Carries apiVersion and kind. */
  readonly isKind: boolean;
  readonly structType: string | undefined;
  /** In the order of the JSON. */
  readonly fields: readonly FieldType[];
  /** In descending order of protobuf numbers: the codec writes backwards. */
  readonly fieldsDescending: readonly FieldType[];
  readonly fieldsByNumber: ReadonlyMap<number, FieldType>;
  /** Every field JSON shows, those of inline types included. */
  readonly fieldsByName: ReadonlyMap<string, FieldType>;
}

interface LoadedPackage {
  readonly source: PackageText;
  readonly rows: ReadonlyMap<string, TypeRow>;
  readonly types: Map<string, ObjectType>;
}

class TypeRegistry {
  readonly #loaded = new Map<string, LoadedPackage>();
  readonly #sources: ReadonlyMap<string, PackageText>;
  readonly #idsByGroupVersion: ReadonlyMap<string, string>;

  constructor(sources: readonly PackageText[]) {
    this.#sources = new Map(sources.map((source) => [source.id, source]));
    this.#idsByGroupVersion = new Map(
      sources.map((source) => [`${source.group}/${source.version}`, source.id]),
    );
  }

  packageId(group: string, version: string): string | undefined {
    return this.#idsByGroupVersion.get(`${group}/${version}`);
  }

  type(packageId: string, name: string): ObjectType | undefined {
    const loaded = this.#load(packageId);
    const known = loaded?.types.get(name);
    if (loaded === undefined || known !== undefined) return known;
    const own = loaded.rows.get(name);
    const row = own?.sameAs === undefined ? own : this.#load(own.sameAs)?.rows.get(name);
    if (row === undefined) return undefined;
    const type = new LazyObjectType(this, loaded.source, row);
    loaded.types.set(name, type);
    return type;
  }

  #load(packageId: string): LoadedPackage | undefined {
    const known = this.#loaded.get(packageId);
    const source = this.#sources.get(packageId);
    if (known !== undefined || source === undefined) return known;
    const loaded = { source, rows: parseTypeTable(source.text), types: new Map<string, ObjectType>() };
    this.#loaded.set(packageId, loaded);
    return loaded;
  }
}

/** Types refer to each other, some in circles: fields resolve on first use. */
class LazyObjectType implements ObjectType {
  readonly #registry: TypeRegistry;
  readonly #source: PackageText;
  readonly #row: TypeRow;
  #fields: readonly FieldType[] | undefined;
  #descending: readonly FieldType[] | undefined;
  #byNumber: ReadonlyMap<number, FieldType> | undefined;
  #byName: ReadonlyMap<string, FieldType> | undefined;

  constructor(registry: TypeRegistry, source: PackageText, row: TypeRow) {
    this.#registry = registry;
    this.#source = source;
    this.#row = row;
  }

  get group(): string {
    return this.#source.group;
  }

  get version(): string {
    return this.#source.version;
  }

  get name(): string {
    return this.#row.name;
  }

  get definition(): string {
    return `${this.#source.definitionPrefix}.${this.#row.name}`;
  }

  get isKind(): boolean {
    return this.#row.isKind;
  }

  get structType(): string | undefined {
    return this.#row.structType;
  }

  get fields(): readonly FieldType[] {
    return (this.#fields ??= this.#row.fields.map((row): FieldType => {
      const option = (key: string): string | undefined => row.attributes.get(key);
      const list = (key: string): readonly string[] => option(key)?.split('|') ?? [];
      const defaultText = option('default');
      return {
        name: row.name,
        number: row.number,
        shape: row.shape,
        pointer: row.pointer,
        value: row.value,
        type: row.value === 'object' ? this.#resolve(row.reference) : undefined,
        omitEmpty: row.omitEmpty,
        omitZero: row.omitZero,
        required: row.required,
        inline: row.inline,
        patchStrategies: list('patch'),
        patchMergeKey: option('key'),
        listType: option('list'),
        listMapKeys: list('listKeys'),
        mapType: option('map'),
        structType: option('struct'),
        defaultJson: defaultText === undefined ? undefined : decodeURIComponent(defaultText),
      };
    }));
  }

  get fieldsDescending(): readonly FieldType[] {
    return (this.#descending ??= this.fields.toSorted((a, b) => b.number - a.number));
  }

  get fieldsByNumber(): ReadonlyMap<number, FieldType> {
    return (this.#byNumber ??= new Map(this.fields.map((field) => [field.number, field])));
  }

  get fieldsByName(): ReadonlyMap<string, FieldType> {
    return (this.#byName ??= new Map(
      this.fields.flatMap((field) =>
        field.inline && field.type !== undefined
          ? [...field.type.fieldsByName]
          : [[field.name, field] as const],
      ),
    ));
  }

  #resolve(reference: string): ObjectType {
    const slash = reference.indexOf('/');
    const dot = slash < 0 ? -1 : reference.indexOf('.', slash);
    const packageId = dot < 0 ? this.#source.id : reference.slice(0, dot);
    const type = this.#registry.type(packageId, reference.slice(dot + 1));
    if (type === undefined) throw new Error(`type table ${this.#source.id}: ${reference} is not defined`);
    return type;
  }
}

const registry = new TypeRegistry(packageTexts);

/** Kinds of meta/v1 that every group version accepts (apimachinery `AddToGroupVersion`). */
const everywhere: ReadonlySet<string> = new Set([
  'CreateOptions',
  'DeleteOptions',
  'GetOptions',
  'ListOptions',
  'PatchOptions',
  'UpdateOptions',
  'WatchEvent',
]);

/** Kinds of meta/v1 that belong to the core group's version (`AddUnversionedTypes`), and the mixed `List`. */
const unversioned: ReadonlySet<string> = new Set([
  'Status',
  'APIVersions',
  'APIGroupList',
  'APIGroup',
  'APIResourceList',
  'List',
]);

/**
 * The type of a kind; `group` is empty for the core group. Undefined for kinds without a table: custom resources,
 * and groups that Kubernetes no longer has.
 */
export function findType(group: string, version: string, kind: string): ObjectType | undefined {
  const packageId = registry.packageId(group, version);
  const type = packageId === undefined ? undefined : registry.type(packageId, kind);
  if (type?.isKind === true) return type;
  if (everywhere.has(kind)) return registry.type('meta/v1', kind);
  return group === '' && version === 'v1' && unversioned.has(kind)
    ? registry.type('meta/v1', kind)
    : undefined;
}

/** `apps/v1` → `{ group: 'apps', version: 'v1' }`; `v1` → the core group. */
export function splitApiVersion(apiVersion: string): { group: string; version: string } {
  const slash = apiVersion.indexOf('/');
  return { group: slash < 0 ? '' : apiVersion.slice(0, slash), version: apiVersion.slice(slash + 1) };
}
