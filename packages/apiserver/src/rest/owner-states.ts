/** What has become of the owners an object names: what the collector decides by. */
import type { OwnerReference } from '@waxseal/api-types';
import { apiVersionOf } from '../objects/stored-object.js';
import { FOREGROUND_FINALIZER, ORPHAN_FINALIZER } from '../registry/validation/object-meta.js';
import type { RestContext } from './context.js';
import { decode } from './get.js';

/** What has become of an owner. `unknown`: of a kind that is not served here, so never touched. */
type OwnerState = 'there' | 'gone' | 'foreground' | 'orphaning' | 'unknown';

/** Looks each owner up once per pass. */
export class OwnerStates {
  readonly #context: RestContext;
  readonly #known = new Map<string, Promise<OwnerState>>();

  constructor(context: RestContext) {
    this.#context = context;
  }

  of(reference: OwnerReference, namespace: string): Promise<OwnerState> {
    const id = JSON.stringify([
      namespace,
      reference.apiVersion,
      reference.kind,
      reference.name,
      reference.uid,
    ]);
    let state = this.#known.get(id);
    if (state === undefined) {
      state = this.#look(reference, namespace);
      this.#known.set(id, state);
    }
    return state;
  }

  async #look(reference: OwnerReference, namespace: string): Promise<OwnerState> {
    const entry = this.#context.entries.find(
      ({ definition }) =>
        definition.kind === reference.kind && apiVersionOf(definition) === reference.apiVersion,
    );
    // A cluster-scoped dependent cannot have a namespaced owner: nothing can be said about it.
    if (entry === undefined || (entry.definition.namespaced && namespace === '')) return 'unknown';
    const { object } = await this.#context.objects.get({
      resource: entry.definition,
      namespace: entry.definition.namespaced ? namespace : '',
      name: reference.name,
    });
    if (object === undefined) return 'gone';
    const { metadata } = decode(entry, object);
    if (metadata.uid !== reference.uid) return 'gone';
    if (metadata.deletionTimestamp === undefined) return 'there';
    if (metadata.finalizers?.includes(FOREGROUND_FINALIZER) === true) return 'foreground';
    return metadata.finalizers?.includes(ORPHAN_FINALIZER) === true ? 'orphaning' : 'there';
  }
}
