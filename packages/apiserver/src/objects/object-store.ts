/**
 * Objects over a Store: each value sealed under its storage key, each write conditional.
 *
 * Reads give opened bytes and the revision of the write; what the bytes mean is left to the caller, so that serving
 * one object needs no parsing. Source of the rule: k8s.io/apiserver `storage/etcd3`.
 */
import type { EncryptionAtRest } from '@waxseal/encryption-config';
import type { MaybePromise, Opened } from '@waxseal/envelope';
import { prefixRangeEnd, type Compare, type KeyValue, type Op, type Store } from '@waxseal/storage';
import { fromStore, internalError, unreadable } from '../rest/status-errors.js';
import type { LeasePool } from './lease-pool.js';
import { objectKey, objectKeyPrefix, type ObjectRef, type StoredResource } from './storage-key.js';

export interface StoredObject {
  readonly key: Buffer;
  /** The opened value: JSON or Kubernetes protobuf. */
  readonly bytes: Buffer;
  /** Of the write: the object's resourceVersion. */
  readonly revision: number;
  /** True when an update must write even if nothing changed. */
  readonly stale: boolean;
}

/** A key that must still be at a revision for the write to happen. */
export interface Guard {
  readonly key: Buffer;
  readonly revision: number;
}

type WriteOutcome =
  | { readonly kind: 'written'; readonly revision: number }
  /** The object is not in the state that was asked for. */
  | { readonly kind: 'changed' }
  /** The guard's key is at another revision. */
  | { readonly kind: 'guard-failed' };

export interface ObjectPage {
  /** The revision the list is consistent at. */
  readonly revision: number;
  readonly objects: readonly StoredObject[];
  /** Last key of the page, whether it could be opened or not. */
  readonly lastKey: Buffer | undefined;
  readonly more: boolean;
  /** Keys from the start of this page to the end of the range. */
  readonly count: number;
}

export interface PageRequest {
  readonly resource: StoredResource;
  readonly namespace: string;
  /** First key to read; absent: from the beginning of the prefix. */
  readonly startKey?: Buffer | undefined;
  /** 0: now. */
  readonly revision: number;
  /** 0: all. */
  readonly limit: number;
  /** Read `startKey` alone. */
  readonly single?: boolean | undefined;
  /** Leave out what cannot be opened instead of failing. */
  readonly skipUnreadable?: boolean | undefined;
}

export interface ObjectStore {
  readonly store: Store;
  /** @throws ApiError when the value cannot be opened */
  get(ref: ObjectRef): Promise<{ readonly revision: number; readonly object: StoredObject | undefined }>;
  /** @throws ApiError naming every key of the page that cannot be opened */
  page(request: PageRequest): Promise<ObjectPage>;
  /** Opens a key-value that came from a watch or a range. @throws ApiError */
  open(resource: StoredResource, kv: KeyValue): MaybePromise<StoredObject>;
  /** Puts an object that must not exist. */
  create(ref: ObjectRef, bytes: Buffer, ttlSeconds: number, guard?: Guard): Promise<WriteOutcome>;
  /** Puts an object that must be at `revision`. */
  replace(ref: ObjectRef, bytes: Buffer, revision: number, ttlSeconds: number): Promise<WriteOutcome>;
  /** Deletes an object that must be at `revision`; the outcome's revision is the deletion's. */
  remove(ref: ObjectRef, revision: number): Promise<WriteOutcome>;
}

/** At most this many unreadable keys are named in one error. */
const MAX_NAMED_FAILURES = 100;

export function createObjectStore(options: {
  readonly store: Store;
  readonly encryption: EncryptionAtRest;
  readonly leases: LeasePool;
}): ObjectStore {
  const { store, encryption, leases } = options;
  const transformers = new WeakMap<StoredResource, ReturnType<EncryptionAtRest['transformerFor']>>();

  const transformerOf = (resource: StoredResource): ReturnType<EncryptionAtRest['transformerFor']> => {
    let transformer = transformers.get(resource);
    if (transformer === undefined) {
      transformer = encryption.transformerFor({ group: resource.group, resource: resource.resource });
      transformers.set(resource, transformer);
    }
    return transformer;
  };

  const stored = (kv: KeyValue, opened: Opened): StoredObject => ({
    key: kv.key,
    bytes: opened.data,
    revision: kv.modRevision,
    stale: opened.stale,
  });

  const fail = (kv: KeyValue, cause: unknown): never => {
    throw unreadable([{ key: kv.key.toString(), cause: asError(cause) }]);
  };

  const open = (resource: StoredResource, kv: KeyValue): MaybePromise<StoredObject> => {
    let opened: MaybePromise<Opened>;
    try {
      opened = transformerOf(resource).transformFromStorage(kv.value, kv.key);
    } catch (cause) {
      return fail(kv, cause);
    }
    return opened instanceof Promise
      ? opened.then(
          (value) => stored(kv, value),
          (cause: unknown) => fail(kv, cause),
        )
      : stored(kv, opened);
  };

  const seal = async (ref: ObjectRef, key: Buffer, bytes: Buffer): Promise<Buffer> => {
    try {
      return await transformerOf(ref.resource).transformToStorage(bytes, key);
    } catch (cause) {
      throw internalError(asError(cause).message, cause);
    }
  };

  const write = async (
    ref: ObjectRef,
    operation: string,
    compare: readonly Compare[],
    op: Op,
    guard?: Guard,
  ): Promise<WriteOutcome> => {
    const guarded: Compare[] =
      guard === undefined
        ? []
        : [{ key: guard.key, target: 'modRevision', result: 'equal', number: guard.revision }];
    try {
      const { succeeded, revision, results } = await store.txn({
        compare: [...compare, ...guarded],
        success: [op],
        failure: guard === undefined ? [] : [{ kind: 'range', key: guard.key, keysOnly: true }],
      });
      if (succeeded) return { kind: 'written', revision };
      const found = results[0];
      const guardHolds =
        guard === undefined || (found?.kind === 'range' && found.kvs[0]?.modRevision === guard.revision);
      return { kind: guardHolds ? 'changed' : 'guard-failed' };
    } catch (error) {
      throw fromStore(error, ref.resource, operation);
    }
  };

  const put = async (key: Buffer, value: Buffer, ttlSeconds: number): Promise<Op> => ({
    kind: 'put',
    key,
    value,
    lease: ttlSeconds === 0 ? 0n : await leases.lease(ttlSeconds),
  });

  return {
    store,
    open,

    async get(ref) {
      let got: Awaited<ReturnType<Store['get']>>;
      try {
        got = await store.get(objectKey(ref));
      } catch (error) {
        throw fromStore(error, ref.resource, 'get');
      }
      if (got.kv === undefined) return { revision: got.revision, object: undefined };
      const object = open(ref.resource, got.kv);
      return { revision: got.revision, object: object instanceof Promise ? await object : object };
    },

    async page({ resource, namespace, startKey, revision, limit, single, skipUnreadable }) {
      const prefix = Buffer.from(objectKeyPrefix(resource, namespace));
      const range = await store.range({
        key: startKey ?? prefix,
        rangeEnd: single === true ? undefined : prefixRangeEnd(prefix),
        revision,
        limit,
      });
      const objects: StoredObject[] = [];
      const failures: { key: string; cause: Error }[] = [];
      for (const kv of range.kvs) {
        try {
          const opened = transformerOf(resource).transformFromStorage(kv.value, kv.key);
          objects.push(stored(kv, opened instanceof Promise ? await opened : opened));
        } catch (cause) {
          failures.push({ key: kv.key.toString(), cause: asError(cause) });
          if (failures.length === MAX_NAMED_FAILURES && skipUnreadable !== true) break;
        }
      }
      if (failures.length > 0 && skipUnreadable !== true) throw unreadable(failures);
      return {
        revision: revision > 0 ? revision : range.revision,
        objects,
        lastKey: range.kvs[range.kvs.length - 1]?.key,
        more: range.more,
        count: range.count,
      };
    },

    async create(ref, bytes, ttlSeconds, guard) {
      const key = objectKey(ref);
      const op = await put(key, await seal(ref, key, bytes), ttlSeconds);
      const absent: Compare = { key, target: 'createRevision', result: 'equal', number: 0 };
      return write(ref, 'create', [absent], op, guard);
    },

    async replace(ref, bytes, revision, ttlSeconds) {
      const key = objectKey(ref);
      const op = await put(key, await seal(ref, key, bytes), ttlSeconds);
      return write(ref, 'update', [{ key, target: 'modRevision', result: 'equal', number: revision }], op);
    },

    async remove(ref, revision) {
      const key = objectKey(ref);
      return write(ref, 'delete', [{ key, target: 'modRevision', result: 'equal', number: revision }], {
        kind: 'delete',
        key,
      });
    },
  };
}

function asError(cause: unknown): Error {
  return cause instanceof Error ? cause : new Error(String(cause));
}
