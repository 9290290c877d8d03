/** `/api`, `/apis` and below: which groups, versions and resources there are. */
import type { PathAnswer, PathEndpoint } from '../http/path-endpoint.js';
import { jsonAnswer } from '../http/path-endpoint.js';
import type { ResourceDefinition } from '../registry/resource.js';
import type { AggregatedDocument } from './aggregated.js';
import { aggregatedDocument, aggregatedVersionOf } from './aggregated.js';
import { apiGroup, apiGroupList, apiResourceList, apiVersions } from './legacy.js';
import type { ResourceGroup } from './resource-groups.js';
import { groupResources } from './resource-groups.js';

interface Documents {
  readonly core: ResourceGroup | undefined;
  readonly named: readonly ResourceGroup[];
  readonly aggregatedCore: AggregatedDocument;
  readonly aggregatedNamed: AggregatedDocument;
}

function build(resources: readonly ResourceDefinition[]): Documents {
  const groups = groupResources(resources);
  const core = groups.find(({ name }) => name === '');
  const named = groups.filter(({ name }) => name !== '');
  return {
    core,
    named,
    aggregatedCore: aggregatedDocument(core === undefined ? [] : [core]),
    aggregatedNamed: aggregatedDocument(named),
  };
}

function versionAnswer(group: ResourceGroup | undefined, version: string): PathAnswer | undefined {
  const found = group?.versions.find((candidate) => candidate.version === version);
  return found === undefined ? undefined : jsonAnswer(apiResourceList(found));
}

/**
 * @param resources what is served now; a new array after a change
 * @param serverAddress `host:port`
 */
export function createDiscoveryEndpoint(
  resources: () => readonly ResourceDefinition[],
  serverAddress: () => string,
): PathEndpoint {
  let built: Documents | undefined;
  let builtFrom: readonly ResourceDefinition[] | undefined;

  function documents(): Documents {
    const current = resources();
    if (built === undefined || builtFrom !== current) {
      built = build(current);
      builtFrom = current;
    }
    return built;
  }

  return ({ path, accept, ifNoneMatch }) => {
    const [, root, first, second, more] = path.replace(/\/+$/, '').split('/');
    if (more !== undefined || (root !== 'api' && root !== 'apis')) return undefined;
    const { core, named, aggregatedCore, aggregatedNamed } = documents();
    if (first === undefined) {
      const version = aggregatedVersionOf(accept);
      if (version !== undefined) {
        return (root === 'api' ? aggregatedCore : aggregatedNamed).answer(version, ifNoneMatch);
      }
      return jsonAnswer(root === 'api' ? apiVersions(core, serverAddress()) : apiGroupList(named));
    }
    if (root === 'api') return second === undefined ? versionAnswer(core, first) : undefined;
    const group = named.find(({ name }) => name === first);
    if (group === undefined) return undefined;
    return second === undefined ? jsonAnswer(apiGroup(group)) : versionAnswer(group, second);
  };
}
