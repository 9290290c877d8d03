/**
 * Which keys of the storage belong to the resources that an EncryptionConfiguration covers, and which resource's rule each of them is
 * under.
 *
 * Source of the rule: the layout in `object-path.ts`. Three records of kube-apiserver are no resource of its API; it stores them with the
 * transformer of the resource their storage configuration is made for (k8s.io/kubernetes `pkg/registry/core/rest` and
 * `pkg/controlplane`): the allocated addresses and ports with that of services, the addresses of API servers with that of
 * apiServerIPInfo and apiServerPeerIPInfo.
 */
import {
  formatGroupResource,
  parseGroupResource,
  rulesFor,
  type GroupResource,
} from '@waxseal/encryption-config';
import { OpsError } from '../errors.js';
import { parseObjectPath } from '../object-path.js';

export interface Keyspace {
  /** Every key that begins with it. */
  readonly prefix: Buffer;
  /** Undefined: no rule covers the key. */
  readonly resourceOf: (key: Buffer) => GroupResource | undefined;
}

/** Paths whose last word is not the plural name of their resource. */
const OTHER_PATHS = ['controllers', 'minions', 'services/endpoints', 'services/specs', 'ingress'];

const STORED_AS: ReadonlyMap<string, GroupResource> = new Map([
  ['ranges', { group: '', resource: 'services' }],
  ['masterleases', { group: '', resource: 'apiServerIPInfo' }],
  ['peerserverleases', { group: '', resource: 'apiServerPeerIPInfo' }],
]);

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
  const root = prefix.endsWith('/') ? prefix : `${prefix}/`;
  const names = new Set(rules.map((rule) => formatGroupResource(parseGroupResource(rule))));
  if ([...names].some((name) => name.startsWith('*'))) return [wholeKeyspace(root, names)];
  const keyspaces = [...names].flatMap((name) => {
    const resource = parseGroupResource(name);
    return pathsOf(resource).map((path) => ({
      prefix: Buffer.from(`${root}${path}/`),
      resourceOf: () => resource,
    }));
  });
  return keyspaces.toSorted((a, b) => Buffer.compare(a.prefix, b.prefix));
}

function wholeKeyspace(root: string, names: ReadonlySet<string>): Keyspace {
  const known = new Map<string, GroupResource | undefined>();
  return {
    prefix: Buffer.from(root),
    resourceOf(key) {
      const text = key.toString();
      const parsed = storedAs(text, root);
      if (parsed === undefined) return undefined;
      const name = formatGroupResource(parsed);
      if (!known.has(name)) {
        const covered = rulesFor(parsed).some((rule) => names.has(rule));
        known.set(name, covered ? { group: parsed.group, resource: parsed.resource } : undefined);
      }
      return known.get(name);
    },
  };
}

function storedAs(key: string, root: string): GroupResource | undefined {
  const first = key.slice(root.length, key.indexOf('/', root.length));
  return STORED_AS.get(first) ?? parseObjectPath(key, root);
}

/** Where a resource's objects lie, without prefix. */
function pathsOf(resource: GroupResource): readonly string[] {
  const isIts = (path: string): boolean => {
    const found = storedAs(`/${path}/namespace/name`, '/');
    return found?.group === resource.group && found.resource === resource.resource;
  };
  const other = OTHER_PATHS.filter(isIts);
  const own = [resource.resource, `${resource.group}/${resource.resource}`].filter(isIts);
  return [...(other.length > 0 ? other : own), ...[...STORED_AS.keys()].filter(isIts)];
}
