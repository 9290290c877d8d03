/**
 * The order in which manifests can be applied to an empty cluster: what others lie in, are of or refer to first, and what would stand in
 * the way of the rest last.
 *
 * Last are webhooks and admission policies, which would refuse objects while nothing serves them, and API services, behind which discovery
 * waits for servers that are not there yet.
 */
import type { GroupResource } from '@waxseal/encryption-config';
import { pathOf, keyRootOf } from '../object-path.js';

const CORE = '';
const ADMISSION = 'admissionregistration.k8s.io';

/** One step each; everything else comes between the two. */
const FIRST: readonly (readonly GroupResource[])[] = [
  [{ group: CORE, resource: 'namespaces' }],
  [{ group: 'apiextensions.k8s.io', resource: 'customresourcedefinitions' }],
  // Pods are refused without their service account, priority and runtime class.
  [
    { group: CORE, resource: 'serviceaccounts' },
    { group: 'node.k8s.io', resource: 'runtimeclasses' },
    { group: 'scheduling.k8s.io', resource: 'priorityclasses' },
  ],
];

const LAST: readonly (readonly GroupResource[])[] = [
  [
    { group: ADMISSION, resource: 'mutatingadmissionpolicies' },
    { group: ADMISSION, resource: 'mutatingadmissionpolicybindings' },
    { group: ADMISSION, resource: 'mutatingwebhookconfigurations' },
    { group: ADMISSION, resource: 'validatingadmissionpolicies' },
    { group: ADMISSION, resource: 'validatingadmissionpolicybindings' },
    { group: ADMISSION, resource: 'validatingwebhookconfigurations' },
    { group: 'apiregistration.k8s.io', resource: 'apiservices' },
  ],
];

/** One pass over a source. */
export interface ApplyStep {
  readonly prefixes: readonly Buffer[];
  /** Of the middle: what other steps hand out. */
  readonly isElsewhere: (key: Buffer) => boolean;
}

/**
 * @param prefix of the storage keys: `/registry`, or another
 * @param resources what is wanted; undefined: everything
 * @returns steps that together hand out every key under the prefix once
 */
export function applySteps(
  prefix: string,
  resources: readonly GroupResource[] | undefined,
): readonly ApplyStep[] {
  const root = keyRootOf(prefix);
  const folderOf = (resource: GroupResource): Buffer => Buffer.from(`${root}${pathOf(resource)}/`);
  const elsewhere = [...FIRST, ...LAST].flat().map(folderOf);
  const isWanted = ({ group, resource }: GroupResource): boolean =>
    resources === undefined || resources.some((each) => each.group === group && each.resource === resource);
  const stepOf = (step: readonly GroupResource[]): readonly ApplyStep[] => {
    const prefixes = step.filter(isWanted).map(folderOf);
    return prefixes.length === 0 ? [] : [{ prefixes, isElsewhere: () => false }];
  };
  const middle: ApplyStep = {
    prefixes: [Buffer.from(root)],
    isElsewhere: (key) => elsewhere.some((folder) => key.subarray(0, folder.length).equals(folder)),
  };
  return [...FIRST.flatMap(stepOf), middle, ...LAST.flatMap(stepOf)];
}
