/**
 * Which object a storage key names, and which resource's rule of an EncryptionConfiguration its value is under. The layout is the data of
 * `registry-table.ts`.
 */
import type { GroupResource } from '@waxseal/encryption-config';
import { createIdentityTransformer, type Transformer } from '@waxseal/envelope';
import { builtInResources, registryRecords } from './registry-table.js';
import { describeStoredValue } from './stored-value.js';

export interface ObjectPath extends GroupResource {
  /** Empty for what has no namespace. */
  readonly namespace: string;
  readonly name: string;
  /** Known for built-in resources only. */
  readonly kind?: string;
  /**
   * Only of kube-apiserver's own records (`ranges`, `masterleases`, …), which are no resources of its API and are stored in plaintext
   * whatever the configuration says: the resource by whose rule older releases sealed them.
   */
  readonly sealedAs?: GroupResource;
}

type Place = GroupResource & Pick<ObjectPath, 'kind' | 'sealedAs'>;

const byPath: ReadonlyMap<string, Place> = new Map<string, Place>([
  ...builtInResources.map(([path, group, resource, kind]) => [path, { group, resource, kind }] as const),
  ...registryRecords.map(
    ({ path, kind, sealedAs }) => [path, { group: '', resource: path, kind, sealedAs }] as const,
  ),
]);

/** What may stand between the prefix and the namespace of a built-in resource's keys. */
export const objectPaths: readonly string[] = [...byPath.keys()];

/** The API server's --etcd-prefix as keys begin with it: `/registry/`, so that `/registry2` is left out. */
export function keyRootOf(prefix: string): string {
  return prefix.endsWith('/') ? prefix : `${prefix}/`;
}

/**
 * @param key the whole storage key
 * @param prefix what the API server's --etcd-prefix is, `/registry` by default, with or without a final `/`
 * @returns undefined for a key that names no object: outside the prefix, or without a resource and a name
 */
export function parseObjectPath(key: string, prefix: string): ObjectPath | undefined {
  const root = keyRootOf(prefix);
  if (!key.startsWith(root)) return undefined;
  const segments = key.slice(root.length).split('/');
  const [first = '', second = ''] = segments;
  // An API server lists what lies under the path of a resource, however deep, and one value that does not open breaks the list.
  const twoWords = byPath.get(`${first}/${second}`);
  if (twoWords !== undefined) return withName(twoWords, shallow(segments.slice(2)));
  const oneWord = byPath.get(first);
  if (oneWord !== undefined) return withName(oneWord, shallow(segments.slice(1)));
  // Group and plural name; a group always has a dot, no plural name has.
  if (first.includes('.')) return withName({ group: first, resource: second }, segments.slice(2));
  return withName({ group: '', resource: first }, segments.slice(1));
}

function withName(place: Place, rest: readonly string[]): ObjectPath | undefined {
  const name = rest.at(-1) ?? '';
  if (name === '' || place.resource === '' || rest.length > 2) return undefined;
  return { ...place, namespace: rest.length === 2 ? (rest[0] ?? '') : '', name };
}

/** Namespace and name; what is deeper stays in the name. */
function shallow(rest: readonly string[]): readonly string[] {
  return rest.length > 2 && rest.at(-1) !== '' ? [rest[0] ?? '', rest.slice(1).join('/')] : rest;
}

/** Where the objects of a resource lie, without prefix: `['services/specs']`; custom resources too. */
export function pathOf({ group, resource }: GroupResource): string {
  const builtIn = builtInResources.find((row) => row[1] === group && row[2] === resource);
  if (builtIn !== undefined) return builtIn[0];
  return group === '' ? resource : `${group}/${resource}`;
}

/** The records that older releases sealed by the rule of a resource, as paths without prefix. */
export function recordPathsOf({ group, resource }: GroupResource): readonly string[] {
  return registryRecords
    .filter(({ sealedAs }) => sealedAs.group === group && sealedAs.resource === resource)
    .map(({ path }) => path);
}

/**
 * The resource by whose rule a value is read and written.
 *
 * @returns undefined for a plaintext record of kube-apiserver: it is plaintext under every configuration, and must stay so
 */
export function ruleOf(path: ObjectPath, value: Buffer): GroupResource | undefined {
  if (path.sealedAs === undefined) return path;
  return describeStoredValue(value).provider === 'identity' ? undefined : path.sealedAs;
}

const identity = createIdentityTransformer();

/** What reads the value, as the API server would. */
export function readerOf(
  path: ObjectPath,
  value: Buffer,
  transformerFor: (resource: GroupResource) => Transformer,
): Transformer {
  const rule = ruleOf(path, value);
  return rule === undefined ? identity : transformerFor(rule);
}
