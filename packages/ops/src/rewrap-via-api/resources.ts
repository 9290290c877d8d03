/** Which resources an API server has, and under which paths: its discovery documents, as far as rewrapping needs them. */
import {
  formatGroupResource,
  parseGroupResource,
  rulesFor,
  type GroupResource,
} from '@waxseal/encryption-config';
import { OpsError } from '../errors.js';
import { type ApiAnswer, type ApiClient, messageOf } from './api-client.js';

export interface ServedResource extends GroupResource {
  /** `v1`, `apps/v1`. */
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespaced: boolean;
  /** `/api/v1`, `/apis/apps/v1`. */
  readonly root: string;
}

export interface ServedResources {
  readonly resources: readonly ServedResource[];
  /** Group versions whose extension API server does not answer; what it stores is its own. */
  readonly unavailable: readonly string[];
}

/** An extension API server that is away is no reason to wait long: the API server keeps nothing of it. */
const GROUP_ATTEMPTS = 3;

/**
 * The resources that the rules of an EncryptionConfiguration cover, in the server's preferred version, or the first one that has them.
 *
 * @throws OpsError invalid-option when a resource named by itself is not served; source-unreadable
 */
export async function servedResources(client: ApiClient, rules: readonly string[]): Promise<ServedResources> {
  const names = new Set(rules.map((rule) => formatGroupResource(parseGroupResource(rule))));
  const groups = new Set([...names].map((name) => parseGroupResource(name).group));
  const { resources, unavailable } = await discover(client, (group) => groups.has('*') || groups.has(group));
  const covered = resources.filter((resource) => rulesFor(resource).some((rule) => names.has(rule)));
  for (const name of names) {
    if (name.startsWith('*') || covered.some((resource) => formatGroupResource(resource) === name)) continue;
    throw await notServed(client, name);
  }
  return { resources: covered, unavailable };
}

async function discover(client: ApiClient, wants: (group: string) => boolean): Promise<ServedResources> {
  const found = new Map<string, ServedResource>();
  const unavailable: string[] = [];
  const groups = [{ name: '', versions: ['v1'] }, ...(await groupsOf(client))];
  for (const { name, versions } of groups.filter((group) => wants(group.name))) {
    for (const version of versions) {
      const root = name === '' ? `/api/${version}` : `/apis/${version}`;
      const answer = await client.send({ path: root, ...(name !== '' && { attempts: GROUP_ATTEMPTS }) });
      if (answer.status === 503) unavailable.push(version);
      else {
        for (const resource of resourcesOf(checked(answer, root), root, version, name)) {
          const id = formatGroupResource(resource);
          if (!found.has(id)) found.set(id, resource);
        }
      }
    }
  }
  return { resources: [...found.values()], unavailable };
}

/** Every group with its versions, the preferred one first: some resources are in another one only. */
async function groupsOf(
  client: ApiClient,
): Promise<readonly { readonly name: string; readonly versions: readonly string[] }[]> {
  const path = '/apis';
  return list(checked(await client.send({ path }), path)['groups']).flatMap((group) => {
    const { name, preferredVersion, versions } = group;
    const all = [preferredVersion, ...list(versions)].flatMap((version) => {
      const { groupVersion } = (version ?? {}) as { readonly groupVersion?: unknown };
      return typeof groupVersion === 'string' ? [groupVersion] : [];
    });
    return typeof name === 'string' ? [{ name, versions: [...new Set(all)] }] : [];
  });
}

/** Looks at every group for what may have been meant. */
async function notServed(client: ApiClient, name: string): Promise<OpsError> {
  const word = parseGroupResource(name).resource;
  const { resources } = await discover(client, () => true);
  const meant = resources
    .filter(({ resource, kind }) => resource === word || kind.toLowerCase() === word)
    .map(formatGroupResource);
  const advice =
    meant.length > 0
      ? `Is it ${meant.join(' or ')}?`
      : 'Names are plural, with their group, as secrets,deployments.apps; leave it out with --resources if it is none of this server.';
  return new OpsError(
    'invalid-option',
    `the API server has no ${name} that can be listed and patched. ${advice}`,
  );
}

function resourcesOf(
  document: ApiAnswer['body'],
  root: string,
  apiVersion: string,
  group: string,
): readonly ServedResource[] {
  return list(document['resources']).flatMap((entry) => {
    const { name, kind, namespaced, verbs } = entry;
    const usable = Array.isArray(verbs) && verbs.includes('list') && verbs.includes('patch');
    if (!usable || typeof name !== 'string' || typeof kind !== 'string' || name.includes('/')) return [];
    return [{ group, resource: name, apiVersion, kind, namespaced: namespaced === true, root }];
  });
}

function checked(answer: ApiAnswer, path: string): ApiAnswer['body'] {
  if (answer.status === 200) return answer.body;
  throw new OpsError(
    'source-unreadable',
    `${path} of the API server answers ${answer.status} ${messageOf(answer)}`,
  );
}

function list(value: unknown): readonly Readonly<Record<string, unknown>>[] {
  return Array.isArray(value)
    ? value.filter((item): item is Record<string, unknown> => typeof item === 'object' && item !== null)
    : [];
}
