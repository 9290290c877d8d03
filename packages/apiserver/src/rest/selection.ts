/** Which objects of a resource a list, watch or deletecollection is about. */
import type { KubeObject } from '@waxseal/api-types';
import type { Strategy } from '../registry/strategy.js';
import { dnsLabelErrors, pathSegmentErrors } from '../registry/validation/names.js';
import type { Selection as SelectionQuery } from './contract.js';
import { parseFieldSelector, type FieldSelector } from './field-selector.js';
import { parseLabelSelector, type LabelSelector } from './label-selector.js';
import type { StoredResource } from '../objects/storage-key.js';

export interface Selection {
  /** Narrowed by a `metadata.namespace` selector. */
  readonly namespace: string;
  /** The one name that can match. */
  readonly name: string | undefined;
  /** True when every object of the namespace matches. */
  readonly all: boolean;
  /** True when the key decides alone. */
  readonly byKey: boolean;
  matchesKey(namespace: string, name: string): boolean;
  matches(object: KubeObject): boolean;
}

/** @throws ApiError 400 */
export function parseSelection(
  query: Pick<SelectionQuery, 'labelSelector' | 'fieldSelector'>,
  resource: StoredResource,
  strategy: Strategy,
  requestNamespace: string,
): Selection {
  const labels: LabelSelector = parseLabelSelector(query.labelSelector);
  const fields: FieldSelector = parseFieldSelector(query.fieldSelector, strategy);
  const narrowed =
    requestNamespace === '' &&
    resource.namespaced &&
    fields.namespace !== undefined &&
    dnsLabelErrors(fields.namespace).length === 0
      ? fields.namespace
      : requestNamespace;
  const keyName = fields.name;
  const usableName = keyName !== undefined && keyName !== '' && pathSegmentErrors(keyName).length === 0;
  return {
    namespace: narrowed,
    name: usableName ? keyName : undefined,
    all: labels.empty && fields.empty,
    byKey: labels.empty && fields.byKey,
    matchesKey: (namespace, name) =>
      (requestNamespace === '' || namespace === requestNamespace) && fields.matchesKey(namespace, name),
    matches: (object) => labels.matches(object.metadata.labels) && fields.matches(object),
  };
}
