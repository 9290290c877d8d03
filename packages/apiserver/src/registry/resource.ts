/**
 * What a resource is: data, not a class. The router, discovery, OpenAPI, RBAC, tables and storage all read this.
 */
import type { KubeObject } from '@waxseal/api-types';

export type Verb = 'create' | 'get' | 'list' | 'watch' | 'update' | 'patch' | 'delete' | 'deletecollection';

/** A column of `kubectl get`. */
export interface TableColumn {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'date' | 'boolean';
  readonly format?: string;
  readonly description: string;
  /** 0 is always shown, more only with `-o wide`. */
  readonly priority: number;
}

export interface SubresourceDefinition {
  /** Last path element, e.g. `status`, `finalize`, `token`. */
  readonly name: string;
  /** Kind of the body; may live in another group than the resource. */
  readonly kind: string;
  readonly group?: string;
  readonly version?: string;
  readonly verbs: readonly Verb[];
}

/** What a stored object may lack because its writer filled in no defaults; reading fills it in, as Go's decoder does. */
interface StoredDefaults {
  /** True when the bytes certainly lack nothing: asked for every object that is served, so it must cost nothing. */
  present(stored: Buffer): boolean;
  /** Changes the object. */
  fill(object: KubeObject): void;
}

export interface ResourceDefinition {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly listKind: string;
  /** Plural, as in paths and RBAC rules. */
  readonly resource: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly namespaced: boolean;
  readonly verbs: readonly Verb[];
  /** Storage prefix without a trailing slash, as kube-apiserver lays it out, e.g. `/registry/secrets`. Undefined: never stored (reviews). */
  readonly storagePrefix: string | undefined;
  readonly subresources: readonly SubresourceDefinition[];
  readonly storedDefaults?: StoredDefaults;
}
