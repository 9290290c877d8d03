/** One change of one object, as watches see it. */
import type { KubeObject } from '@waxseal/api-types';
import type { MaybePromise } from '@waxseal/envelope';
import type { KeyValue, WatchEvent } from '@waxseal/storage';
import type { ObjectStore, StoredObject } from './object-store.js';
import { parseObjectKey, type StoredResource } from './storage-key.js';
import { decodeStored, serveStored } from './stored-object.js';

/** A value that is opened, decoded and rendered when first asked for, and then kept. */
export class LazyObject {
  readonly #objects: ObjectStore;
  readonly #resource: StoredResource;
  readonly #kv: KeyValue;
  #bytes: Buffer | undefined;
  #decoded: KubeObject | undefined;
  #served: Buffer | undefined;

  constructor(objects: ObjectStore, resource: StoredResource, kv: KeyValue) {
    this.#objects = objects;
    this.#resource = resource;
    this.#kv = kv;
  }

  /** Must have finished before the other methods are called. @throws ApiError */
  open(): MaybePromise<void> {
    if (this.#bytes !== undefined) return;
    const opened = this.#objects.open(this.#resource, this.#kv);
    if (!(opened instanceof Promise)) {
      this.#bytes = opened.bytes;
      return;
    }
    return this.#keep(opened);
  }

  async #keep(opened: Promise<StoredObject>): Promise<void> {
    this.#bytes = (await opened).bytes;
  }

  /** For selectors; do not change it. */
  decoded(): KubeObject {
    this.#decoded ??= decodeStored(this.#resource, this.#bytes as Buffer);
    return this.#decoded;
  }

  /** JSON with `revision` as its resourceVersion; always asked for with the same one. */
  served(revision: number): Buffer {
    this.#served ??= serveStored(this.#resource, this.#bytes as Buffer, revision);
    return this.#served;
  }
}

export interface Change {
  readonly revision: number;
  readonly namespace: string;
  readonly name: string;
  /** Undefined for a deletion. */
  readonly current: LazyObject | undefined;
  /** What was there before; undefined for a creation, or when that revision is compacted. */
  readonly previous: LazyObject | undefined;
  /** What it holds in memory at least. */
  readonly sizeBytes: number;
}

/** Undefined when the key is no object of the resource. */
export function toChange(
  objects: ObjectStore,
  resource: StoredResource,
  event: WatchEvent,
): Change | undefined {
  const id = parseObjectKey(resource, event.kv.key);
  if (id === undefined) return undefined;
  const { kv, prevKv } = event;
  return {
    ...id,
    revision: kv.modRevision,
    current: event.type === 'put' ? new LazyObject(objects, resource, kv) : undefined,
    previous: prevKv === undefined ? undefined : new LazyObject(objects, resource, prevKv),
    sizeBytes: kv.value.length + (prevKv?.value.length ?? 0),
  };
}
