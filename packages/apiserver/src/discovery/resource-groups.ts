/** The served resources arranged as discovery shows them: groups, versions, resources. */
import type { ResourceDefinition } from '../registry/resource.js';

export interface VersionResources {
  /** `v1` in the core group, `group/version` elsewhere. */
  readonly groupVersion: string;
  readonly version: string;
  readonly resources: readonly ResourceDefinition[];
}

export interface ResourceGroup {
  /** Empty for the core group. */
  readonly name: string;
  /** Preferred first. */
  readonly versions: readonly VersionResources[];
}

/** In the order the resources come. */
export function groupResources(resources: readonly ResourceDefinition[]): readonly ResourceGroup[] {
  const groups = new Map<string, Map<string, ResourceDefinition[]>>();
  for (const resource of resources) {
    const versions = groups.get(resource.group) ?? new Map<string, ResourceDefinition[]>();
    groups.set(resource.group, versions);
    const list = versions.get(resource.version) ?? [];
    versions.set(resource.version, list);
    list.push(resource);
  }
  return [...groups].map(([name, versions]) => ({
    name,
    versions: [...versions].map(([version, list]) => ({
      groupVersion: name === '' ? version : `${name}/${version}`,
      version,
      resources: list,
    })),
  }));
}
