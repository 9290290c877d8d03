/**
 * Events (core v1): what `kubectl describe` lists; they vanish after an hour.
 *
 * Source of the rule: kube-apiserver's Event strategy and legacy validation; `--event-ttl` defaults to 1h.
 */
import type { KubeObject } from '@waxseal/api-types';
import { storedResource } from './definition.js';
import { strategy, type RegistryEntry } from './strategy.js';
import { invalidValue, type FieldError } from './validation/field-error.js';
import { nameIsPathSegment } from './validation/names.js';

type Fields = Readonly<Record<string, unknown>>;

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function involvedObject(event: KubeObject): Fields {
  return (event['involvedObject'] ?? {}) as Fields;
}

function source(event: KubeObject): string {
  const component = text(((event['source'] ?? {}) as Fields)['component']);
  return component === '' ? text(event['reportingComponent']) : component;
}

function validate(event: KubeObject): FieldError[] {
  const { namespace = '' } = event.metadata;
  const involved = text(involvedObject(event)['namespace']);
  // An event about something cluster-scoped lives in the default namespace.
  const matches = involved === '' ? namespace === 'default' : involved === namespace;
  return matches
    ? []
    : [invalidValue('involvedObject.namespace', involved, 'does not match event.namespace')];
}

const involvedFields = ['kind', 'namespace', 'name', 'uid', 'apiVersion', 'resourceVersion', 'fieldPath'];

export const events: RegistryEntry = {
  definition: storedResource({
    kind: 'Event',
    resource: 'events',
    singular: 'event',
    shortNames: ['ev'],
  }),
  strategy: strategy({
    nameRule: nameIsPathSegment,
    validate,
    allowCreateOnUpdate: true,
    ttlSeconds: 3600,
    selectableFields: {
      ...Object.fromEntries(
        involvedFields.map((field) => [
          `involvedObject.${field}`,
          (event: KubeObject) => text(involvedObject(event)[field]),
        ]),
      ),
      reason: (event) => text(event['reason']),
      reportingComponent: (event) => text(event['reportingComponent']),
      source,
      type: (event) => text(event['type']),
    },
  }),
};
