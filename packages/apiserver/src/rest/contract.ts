/**
 * The seam between HTTP and the objects: the HTTP layer authenticates, authorises, parses and negotiates; the REST
 * layer knows verbs, storage and encryption. Bodies of answers are JSON bytes, so a stored object can be served
 * without parsing it.
 */
import type { JsonValue, KubeObject } from '@waxseal/api-types';
import type { Status } from '../errors.js';
import type { ResourceDefinition, SubresourceDefinition } from '../registry/resource.js';

export interface UserInfo {
  readonly name: string;
  readonly uid: string;
  readonly groups: readonly string[];
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

export type FieldValidation = 'Ignore' | 'Warn' | 'Strict';

export interface RestTarget {
  readonly resource: ResourceDefinition;
  readonly subresource?: SubresourceDefinition | undefined;
  /** Empty for cluster-scoped resources and for a list over all namespaces. */
  readonly namespace: string;
  readonly user: UserInfo;
  /** Ends when the client goes away or the request times out. */
  readonly signal: AbortSignal;
}

export interface WriteOptions {
  readonly dryRun: boolean;
  readonly fieldManager: string;
  readonly fieldValidation: FieldValidation;
}

export interface CreateRequest extends RestTarget {
  readonly verb: 'create';
  /** Set for subresources only. */
  readonly name?: string | undefined;
  readonly object: KubeObject;
  readonly options: WriteOptions;
}

interface GetRequest extends RestTarget {
  readonly verb: 'get';
  readonly name: string;
  readonly resourceVersion: string;
}

export type ResourceVersionMatch = '' | 'Exact' | 'NotOlderThan';

export interface Selection {
  /** As in the query, unparsed. */
  readonly labelSelector: string;
  readonly fieldSelector: string;
  readonly resourceVersion: string;
  readonly resourceVersionMatch: ResourceVersionMatch;
}

export interface ListRequest extends RestTarget, Selection {
  readonly verb: 'list';
  /** 0: no limit. */
  readonly limit: number;
  readonly continue: string;
}

export interface WatchRequest extends RestTarget, Selection {
  readonly verb: 'watch';
  readonly allowWatchBookmarks: boolean;
  readonly sendInitialEvents: boolean;
  readonly timeoutMs: number;
}

export interface UpdateRequest extends RestTarget {
  readonly verb: 'update';
  readonly name: string;
  readonly object: KubeObject;
  readonly options: WriteOptions;
}

export type PatchKind = 'json' | 'merge' | 'strategic';

export interface PatchRequest extends RestTarget {
  readonly verb: 'patch';
  readonly name: string;
  readonly patchKind: PatchKind;
  readonly patch: JsonValue;
  readonly options: WriteOptions;
}

export interface DeleteOptions {
  readonly dryRun: boolean;
  readonly gracePeriodSeconds?: number | undefined;
  readonly preconditions: {
    readonly uid?: string | undefined;
    readonly resourceVersion?: string | undefined;
  };
  readonly propagationPolicy: '' | 'Orphan' | 'Background' | 'Foreground';
  /** Delete only what cannot be read, past its finalizers. */
  readonly ignoreStoreReadErrorWithClusterBreakingPotential?: boolean | undefined;
}

export interface DeleteRequest extends RestTarget {
  readonly verb: 'delete';
  readonly name: string;
  readonly options: DeleteOptions;
}

export interface DeleteCollectionRequest extends RestTarget, Selection {
  readonly verb: 'deletecollection';
  readonly limit: number;
  readonly continue: string;
  readonly options: DeleteOptions;
}

export type RestRequest =
  | CreateRequest
  | GetRequest
  | ListRequest
  | WatchRequest
  | UpdateRequest
  | PatchRequest
  | DeleteRequest
  | DeleteCollectionRequest;

export interface RestWatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  /** JSON bytes of the object (of a Status for ERROR). */
  readonly object: Buffer;
}

export interface RestWatchSink {
  onEvent(event: RestWatchEvent): void;
  /** Nothing follows. An expired revision is reported as an ERROR event first. */
  onEnd(): void;
  /**
   * For bursts (initial events): undefined when more can be taken now, else a promise of when it can. A producer that
   * does not ask is not slowed, and a client that falls too far behind is disconnected.
   */
  drained?(): Promise<void> | undefined;
}

export type RestResponse =
  | {
      readonly kind: 'object';
      readonly code: 200 | 201 | 202;
      readonly object: Buffer;
      readonly warnings: readonly string[];
    }
  | {
      readonly kind: 'list';
      readonly resource: ResourceDefinition;
      readonly resourceVersion: string;
      /** Empty on the last page. */
      readonly continue: string;
      readonly remainingItemCount?: number | undefined;
      /** JSON bytes of each item. */
      readonly items: readonly Buffer[];
    }
  | { readonly kind: 'status'; readonly status: Status }
  /** The HTTP layer calls `start` once the headers are sent, and the returned function when the client leaves. */
  | { readonly kind: 'watch'; start(sink: RestWatchSink): () => void };

export interface RestHandler {
  /** Every resource served, in discovery order. */
  readonly resources: readonly ResourceDefinition[];
  /** @throws ApiError */
  handle(request: RestRequest): Promise<RestResponse>;
}
