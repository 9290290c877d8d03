/**
 * Which keys of the storage belong to the resources that an EncryptionConfiguration covers, and which resource's rule each value is under.
 * The layout, and what of it no rule covers, is in `object-path.ts`.
 */
import {
  formatGroupResource,
  parseGroupResource,
  rulesFor,
  type GroupResource,
} from '@waxseal/encryption-config';
import { OpsError } from '../errors.js';
import { parseObjectPath, pathOf, recordPathsOf, keyRootOf, ruleOf } from '../object-path.js';

export interface Keyspace {
  /** Every key that begins with it. */
  readonly prefix: Buffer;
  /** Undefined: no rule covers the value. */
  readonly resourceOf: (key: Buffer, value: Buffer) => GroupResource | undefined;
}

/**
 * @param rules as in `resources` of an EncryptionConfiguration: `secrets`, `deployments.apps`, `*.`, `*.apps`, `*.*`
 * @param prefix the API server's --etcd-prefix, e.g. `/registry`
 * @returns without overlap, in ascending order of their keys
 * @throws OpsError invalid-option when there is no rule
 */
export function keyspacesOf(rules: readonly string[], prefix: string): readonly Keyspace[] {
  if (rules.length === 0) {
    throw new OpsError(
      'invalid-option',
      'No resource is named. Name at least one, as secrets or deployments.apps.',
    );
  }
  const root = keyRootOf(prefix);
  const names = new Set(rules.map((rule) => formatGroupResource(parseGroupResource(rule))));
  if ([...names].some((name) => name.startsWith('*'))) return [wholeKeyspace(root, names)];
  const keyspaces = [...names].map(parseGroupResource).flatMap((resource) => [
    { prefix: Buffer.from(`${root}${pathOf(resource)}/`), resourceOf: () => resource },
    ...recordPathsOf(resource).map((path) => ({
      prefix: Buffer.from(`${root}${path}/`),
      resourceOf: (key: Buffer, value: Buffer) => ruleOfKey(key, value, root),
    })),
  ]);
  return keyspaces.toSorted((a, b) => Buffer.compare(a.prefix, b.prefix));
}

function wholeKeyspace(root: string, names: ReadonlySet<string>): Keyspace {
  const known = new Map<string, GroupResource | undefined>();
  return {
    prefix: Buffer.from(root),
    resourceOf(key, value) {
      const resource = ruleOfKey(key, value, root);
      if (resource === undefined) return undefined;
      const name = formatGroupResource(resource);
      if (!known.has(name)) {
        const covered = rulesFor(resource).some((rule) => names.has(rule));
        known.set(name, covered ? { group: resource.group, resource: resource.resource } : undefined);
      }
      return known.get(name);
    },
  };
}

function ruleOfKey(key: Buffer, value: Buffer, root: string): GroupResource | undefined {
  const path = parseObjectPath(key.toString(), root);
  return path && ruleOf(path, value);
}
