/** The objects of one resource, page by page, their metadata alone. */
import { OpsError } from '../errors.js';
import { type ApiClient, messageOf } from './api-client.js';
import type { ListedObject } from './empty-patch.js';
import type { ServedResource } from './resources.js';

export interface ListedPage {
  readonly objects: readonly ListedObject[];
  /** Behind this page, as the server says it. */
  readonly remaining: number;
}

const PAGE_OBJECTS = 500;
const METADATA_ONLY = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json';

/** @throws OpsError source-unreadable */
export async function* pagesOf(client: ApiClient, resource: ServedResource): AsyncGenerator<ListedPage> {
  const needs = { verb: 'list', resource: resource.resource } as const;
  let token = '';
  do {
    const query = `limit=${PAGE_OBJECTS}${token === '' ? '' : `&continue=${encodeURIComponent(token)}`}`;
    const path = `${resource.root}/${resource.resource}?${query}`;
    const answer = await client.send({ needs, path, accept: METADATA_ONLY });
    const { metadata, items } = answer.body as {
      readonly metadata?: { readonly continue?: unknown; readonly remainingItemCount?: unknown };
      readonly items?: unknown;
    };
    token = typeof metadata?.continue === 'string' ? metadata.continue : '';
    // The list's revision is compacted: the answer carries a token that goes on behind the last name, at the present one.
    if (answer.status === 410 && token !== '') continue;
    if (answer.status !== 200 || !Array.isArray(items))
      throw notListed(resource, answer.status, messageOf(answer));
    const { remainingItemCount: remaining } = metadata ?? {};
    yield { objects: items.map(listedObject), remaining: typeof remaining === 'number' ? remaining : 0 };
  } while (token !== '');
}

function notListed({ resource }: ServedResource, status: number, message: string): OpsError {
  const unreadable = message.includes('unable to transform key');
  const advice = unreadable
    ? ' One value that does not open keeps all from being listed: waxseal verify says which ones there are; waxseal rewrap --etcd goes on beside them.'
    : '';
  return new OpsError('source-unreadable', `listing ${resource} answers ${status} ${message}.${advice}`);
}

function listedObject(item: unknown): ListedObject {
  const { metadata = {} } = (item ?? {}) as { readonly metadata?: Readonly<Record<string, unknown>> };
  const text = (name: string): string => (typeof metadata[name] === 'string' ? metadata[name] : '');
  const object = {
    name: text('name'),
    namespace: text('namespace'),
    uid: text('uid'),
    resourceVersion: text('resourceVersion'),
  };
  if (object.name === '' || object.uid === '') {
    throw new OpsError('source-unreadable', 'the API server listed an object without name or uid');
  }
  return object;
}
