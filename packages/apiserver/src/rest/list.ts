/**
 * List: pages of one revision, chosen by namespace and selectors.
 *
 * Source of the rule: k8s.io/apiserver `storage/etcd3` GetList.
 */
import { StoreError } from '@waxseal/storage';
import type { ObjectPage, PageRequest, StoredObject } from '../objects/object-store.js';
import { objectKeyPrefix } from '../objects/storage-key.js';
import type { RestContext, StoredEntry } from './context.js';
import type { ListRequest, RestResponse } from './contract.js';
import { CURRENT_REVISION, formatContinueToken, keyAfter } from './continue-token.js';
import { decode, serve } from './get.js';
import { listPosition, requireMinimum, type ListPosition } from './resource-version.js';
import { parseSelection, type Selection } from './selection.js';
import { expired, ExpiredContinueError, fromStore, tooLargeResourceVersion } from './status-errors.js';

/** Keys read at once when no limit is asked for: between two pages other requests get their turn. */
const PAGE_LIMIT = 500;
const MAX_PAGE_LIMIT = 10_000;
/** Of a paged read: so many bytes a page, judged by the page before. */
const PAGE_BYTES = 4 * 1024 * 1024;
const FIRST_PAGE_LIMIT = 16;

export type ListQuery = Pick<
  ListRequest,
  | 'namespace'
  | 'labelSelector'
  | 'fieldSelector'
  | 'resourceVersion'
  | 'resourceVersionMatch'
  | 'limit'
  | 'continue'
> & { readonly signal?: AbortSignal };

export interface ObjectList {
  readonly revision: number;
  readonly objects: readonly StoredObject[];
  readonly continue: string;
  readonly remainingItemCount: number | undefined;
}

export async function list(
  context: RestContext,
  entry: StoredEntry,
  query: ListQuery,
): Promise<Extract<RestResponse, { kind: 'list' }>> {
  const found = await listObjects(context, entry, query);
  return {
    kind: 'list',
    resource: entry.definition,
    resourceVersion: String(found.revision),
    continue: found.continue,
    remainingItemCount: found.remainingItemCount,
    items: found.objects.map((object) => serve(entry, object)),
  };
}

/** @throws ApiError */
export async function listObjects(
  context: RestContext,
  entry: StoredEntry,
  query: ListQuery,
): Promise<ObjectList> {
  const { definition, strategy } = entry;
  const selection = parseSelection(query, definition, strategy, query.namespace);
  const prefix = objectKeyPrefix(definition, selection.namespace);
  const position = listPosition(query, prefix);
  if (namesOne(entry, selection)) {
    return listOne(context, entry, selection, selection.name, position);
  }
  return listMany(context, entry, selection, query, position, prefix);
}

/**
 * What `listObjects` gives without a limit, a page at a time: whoever takes them slowly keeps no more in memory. All
 * pages are of one revision; when it is compacted meanwhile, the next page is an error and the reader starts anew.
 *
 * @throws ApiError
 */
export async function* listPages(
  context: RestContext,
  entry: StoredEntry,
  query: Pick<ListRequest, 'namespace' | 'labelSelector' | 'fieldSelector' | 'signal'>,
): AsyncGenerator<Pick<ObjectList, 'revision' | 'objects'>> {
  const selection = parseSelection(query, entry.definition, entry.strategy, query.namespace);
  const { namespace } = selection;
  let position: ListPosition = { revision: 0, startKey: undefined, minimum: '' };
  if (namesOne(entry, selection)) {
    yield listOne(context, entry, selection, selection.name, position);
    return;
  }
  let limit = FIRST_PAGE_LIMIT;
  for (;;) {
    query.signal.throwIfAborted();
    const { revision, objects, more, lastKey } = await readPage(
      context,
      entry,
      namespace,
      position,
      limit,
      undefined,
    );
    yield { revision, objects: objects.filter((o) => matches(entry, selection, o)) };
    if (!more || lastKey === undefined) return;
    position = { ...position, revision, startKey: keyAfter(lastKey) };
    const bytes = objects.reduce((sum, object) => sum + object.bytes.length, 0);
    limit = Math.max(1, Math.min(PAGE_LIMIT, Math.floor((PAGE_BYTES * objects.length) / bytes)));
  }
}

function namesOne(entry: StoredEntry, selection: Selection): selection is Selection & { name: string } {
  return selection.name !== undefined && (!entry.definition.namespaced || selection.namespace !== '');
}

/** A selector that names one object reads one key. */
async function listOne(
  context: RestContext,
  entry: StoredEntry,
  selection: Selection,
  name: string,
  position: ListPosition,
): Promise<ObjectList> {
  const startKey = Buffer.from(objectKeyPrefix(entry.definition, selection.namespace) + name);
  const at = { revision: position.revision, startKey, single: true };
  const page = await readPage(context, entry, selection.namespace, at, 1, undefined);
  requireMinimum(position.minimum, page.revision);
  const objects = page.objects.filter((o) => matches(entry, selection, o));
  return { revision: page.revision, objects, continue: '', remainingItemCount: undefined };
}

async function listMany(
  context: RestContext,
  entry: StoredEntry,
  selection: Selection,
  query: ListQuery,
  position: ListPosition,
  prefix: string,
): Promise<ObjectList> {
  const { limit } = query;
  const objects: StoredObject[] = [];
  let { revision, startKey } = position;
  let pageLimit = limit > 0 ? Math.min(limit, MAX_PAGE_LIMIT) : PAGE_LIMIT;
  for (;;) {
    query.signal?.throwIfAborted();
    const token = query.continue === '' ? undefined : prefix;
    const page = await readPage(
      context,
      entry,
      selection.namespace,
      { revision, startKey },
      pageLimit,
      token,
    );
    if (revision === 0) requireMinimum(position.minimum, page.revision);
    revision = page.revision;
    let lastKey: Buffer | undefined;
    let taken = 0;
    for (const object of page.objects) {
      if (limit > 0 && objects.length >= limit) break;
      lastKey = object.key;
      taken++;
      if (matches(entry, selection, object)) objects.push(object);
    }
    const more = page.more || taken < page.objects.length;
    if (!more || lastKey === undefined) {
      return { revision, objects, continue: '', remainingItemCount: undefined };
    }
    startKey = keyAfter(lastKey);
    if (limit > 0 && objects.length >= limit) {
      return {
        revision,
        objects,
        continue: formatContinueToken({ revision, startKey: startKey.toString() }, prefix),
        // The store counts keys; with a selector nobody knows how many of them match.
        remainingItemCount: selection.all ? page.count - taken : undefined,
      };
    }
    // The selector drops many: read more at once.
    if (limit > 0) pageLimit = Math.min(pageLimit * 2, MAX_PAGE_LIMIT);
  }
}

function matches(entry: StoredEntry, selection: Selection, object: StoredObject): boolean {
  return selection.all || selection.matches(decode(entry, object));
}

/** @param continuePrefix set when the client continues a list: an expired revision then yields a new token */
async function readPage(
  context: RestContext,
  entry: StoredEntry,
  namespace: string,
  position: Pick<PageRequest, 'revision' | 'startKey' | 'single'>,
  limit: number,
  continuePrefix: string | undefined,
): Promise<ObjectPage> {
  const { revision, startKey } = position;
  try {
    return await context.objects.page({ ...position, resource: entry.definition, namespace, limit });
  } catch (error) {
    if (error instanceof StoreError && error.code === 'compacted') {
      if (continuePrefix === undefined || startKey === undefined) {
        throw expired('The resourceVersion for the provided list is too old.');
      }
      throw new ExpiredContinueError(
        formatContinueToken({ revision: CURRENT_REVISION, startKey: startKey.toString() }, continuePrefix),
      );
    }
    if (error instanceof StoreError && error.code === 'future-revision') {
      const { revision: current } = await context.objects.store.status();
      throw tooLargeResourceVersion(String(revision), current);
    }
    throw fromStore(error, entry.definition, 'list');
  }
}
