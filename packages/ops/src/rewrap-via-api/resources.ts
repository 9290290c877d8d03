/** Which resources an API server has, and under which paths: its discovery documents, as far as rewrapping needs them. */
import {
  formatGroupResource,
  parseGroupResource,
  rulesFor,
  type GroupResource,
} from '@waxseal/encryption-config';
import { OpsError } from '../errors.js';
import { type ApiClient, messageOf } from './api-client.js';

export interface ServedResource extends GroupResource {
  /** `v1`, `apps/v1`. */
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespaced: boolean;
  /** `/api/v1`, `/apis/apps/v1`. */
  readonly root: string;
}

/**
 * The resources that the rules of an EncryptionConfiguration cover, in the server's preferred versions.
 *
 * @throws OpsError invalid-option when a resource named by itself is not served; source-unreadable
 */
export async function servedResources(
  client: ApiClient,
  rules: readonly string[],
): Promise<readonly ServedResource[]> {
  const names = new Set(rules.map((rule) => formatGroupResource(parseGroupResource(rule))));
  const groups = new Set([...names].map((name) => parseGroupResource(name).group));
  const everyGroup = groups.has('*');
  const found: ServedResource[] = [];
  if (groups.has('') || everyGroup) found.push(...(await resourcesAt(client, '/api/v1', 'v1', '')));
  if ([...groups].some((group) => group !== '')) {
    for (const { name, groupVersion } of await preferredVersions(client)) {
      if (everyGroup || groups.has(name)) {
        found.push(...(await resourcesAt(client, `/apis/${groupVersion}`, groupVersion, name)));
      }
    }
  }
  const covered = found.filter((resource) => rulesFor(resource).some((rule) => names.has(rule)));
  for (const name of names) {
    if (name.startsWith('*') || covered.some((resource) => formatGroupResource(resource) === name)) continue;
    throw new OpsError(
      'invalid-option',
      `the API server has no ${name} that can be listed and patched: leave it out with --resources.`,
    );
  }
  return covered;
}

async function preferredVersions(
  client: ApiClient,
): Promise<readonly { readonly name: string; readonly groupVersion: string }[]> {
  return list((await document(client, '/apis'))['groups']).flatMap((group) => {
    const preferred = group['preferredVersion'] as { readonly groupVersion?: unknown } | undefined;
    const { name } = group;
    return typeof name === 'string' && typeof preferred?.groupVersion === 'string'
      ? [{ name, groupVersion: preferred.groupVersion }]
      : [];
  });
}

async function resourcesAt(
  client: ApiClient,
  root: string,
  apiVersion: string,
  group: string,
): Promise<readonly ServedResource[]> {
  return list((await document(client, root))['resources']).flatMap((entry) => {
    const { name, kind, namespaced, verbs } = entry;
    const usable = Array.isArray(verbs) && verbs.includes('list') && verbs.includes('patch');
    if (!usable || typeof name !== 'string' || typeof kind !== 'string' || name.includes('/')) return [];
    return [{ group, resource: name, apiVersion, kind, namespaced: namespaced === true, root }];
  });
}

async function document(client: ApiClient, path: string): Promise<Readonly<Record<string, unknown>>> {
  const answer = await client.send({ path });
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
