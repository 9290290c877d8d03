/**
 * How a resource differs from the others: what it fills in, what it refuses, what can be selected by field.
 *
 * Strategies are data and pure functions; verbs, storage and encryption are the same for all.
 * Source of the rule: k8s.io/apiserver `registry/rest` (RESTCreateStrategy, RESTUpdateStrategy).
 */
import type { KubeObject } from '@waxseal/api-types';
import type { ResourceDefinition } from './resource.js';
import type { FieldError } from './validation/field-error.js';
import type { NameRule } from './validation/names.js';

/** How one body is prepared and checked on an update; subresources have their own. */
export interface UpdateStrategy {
  /** Takes over what this body may not change. Returns the object to store, without touching its arguments. */
  prepareForUpdate(object: KubeObject, old: KubeObject): KubeObject;
  validateUpdate(object: KubeObject, old: KubeObject): FieldError[];
}

export interface Strategy extends UpdateStrategy {
  readonly nameRule: NameRule;
  /** Fills defaults and clears what a client may not set. Returns the object to store, without touching its argument. */
  prepareForCreate(object: KubeObject): KubeObject;
  validate(object: KubeObject): FieldError[];
  /** A PUT to a name that does not exist creates it. */
  readonly allowCreateOnUpdate: boolean;
  /** DELETE answers with the object instead of a Status. */
  readonly returnsDeletedObject: boolean;
  /** Seconds until an object vanishes by itself; 0: never. */
  readonly ttlSeconds: number;
  /** Field selector keys besides metadata.name and metadata.namespace. */
  readonly selectableFields: Readonly<Record<string, (object: KubeObject) => string>>;
  /** What a delete changes besides the metadata when the object has to wait for finalizers. */
  readonly markDeleting: (object: KubeObject) => KubeObject;
  /** True when this object may go once its metadata holds no finalizers. */
  readonly mayRemove: (object: KubeObject) => boolean;
  readonly subresources: Readonly<Record<string, UpdateStrategy>>;
}

/** A resource and its strategy; undefined for resources that are answered but never stored (reviews). */
export interface RegistryEntry {
  readonly definition: ResourceDefinition;
  readonly strategy: Strategy | undefined;
}

const same = (object: KubeObject): KubeObject => object;

/** A strategy out of what is special about it. */
export function strategy(special: Pick<Strategy, 'nameRule'> & Partial<Strategy>): Strategy {
  return {
    prepareForCreate: same,
    prepareForUpdate: same,
    validate: () => [],
    validateUpdate: (object) => special.validate?.(object) ?? [],
    allowCreateOnUpdate: false,
    returnsDeletedObject: false,
    ttlSeconds: 0,
    selectableFields: {},
    markDeleting: same,
    mayRemove: () => true,
    subresources: {},
    ...special,
  };
}
