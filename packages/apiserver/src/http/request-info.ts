/**
 * What a request is about, read from its method and path alone.
 *
 * Source of the rule: k8s.io/apiserver `endpoints/request` (RequestInfo). Authorisation decides on this, before it is
 * known whether the resource exists.
 */

export interface RequestInfo {
  /** False for discovery, health and everything else that is no object. */
  readonly isResource: boolean;
  /** Decoded, without the query. */
  readonly path: string;
  /** A Kubernetes verb for resources, the lower-case method for paths. */
  readonly verb: string;
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly namespace: string;
  readonly resource: string;
  readonly subresource: string;
  readonly name: string;
  /** Path elements beyond the subresource: nothing is served there. */
  readonly hasMore: boolean;
}

const NAMESPACE_SUBRESOURCES: ReadonlySet<string> = new Set(['status', 'finalize']);

function verbOf(method: string): string {
  switch (method) {
    case 'POST':
      return 'create';
    case 'GET':
    case 'HEAD':
      return 'get';
    case 'PUT':
      return 'update';
    case 'PATCH':
      return 'patch';
    case 'DELETE':
      return 'delete';
    default:
      return '';
  }
}

function pathInfo(method: string, path: string): RequestInfo {
  return {
    isResource: false,
    path,
    verb: method.toLowerCase(),
    group: '',
    version: '',
    namespace: '',
    resource: '',
    subresource: '',
    name: '',
    hasMore: false,
  };
}

/** `watch` in a query: present and neither `false` nor `0`. */
function wantsWatch(query: URLSearchParams | undefined): boolean {
  const watch = query?.get('watch')?.toLowerCase() ?? null;
  return watch !== null && watch !== 'false' && watch !== '0';
}

/** The name a field selector pins down by `metadata.name=x` alone. */
function selectedName(query: URLSearchParams | undefined): string {
  const selector = query?.get('fieldSelector') ?? '';
  const match = /^metadata\.name==?([^,=!\\]+)$/.exec(selector);
  const name = match?.[1] ?? '';
  return /^\.{1,2}$|[/%]/.test(name) ? '' : name;
}

/** @param path decoded; leading and trailing slashes do not matter */
export function parseRequestInfo(
  method: string,
  path: string,
  query: URLSearchParams | undefined,
): RequestInfo {
  let start = 0;
  let end = path.length;
  while (start < end && path.charCodeAt(start) === 0x2f) start += 1;
  while (end > start && path.charCodeAt(end - 1) === 0x2f) end -= 1;
  const parts = path.slice(start, end).split('/');

  let at: number;
  let group = '';
  if (parts[0] === 'api' && parts.length >= 3) at = 1;
  else if (parts[0] === 'apis' && parts.length >= 4) {
    group = parts[1] ?? '';
    at = 2;
  } else return pathInfo(method, path);

  const version = parts[at] ?? '';
  at += 1;
  let namespace = '';
  if (parts[at] === 'namespaces' && parts.length > at + 1) {
    namespace = parts[at + 1] ?? '';
    const third = parts[at + 2];
    if (third !== undefined && !NAMESPACE_SUBRESOURCES.has(third)) at += 2;
  }

  let verb = verbOf(method);
  let name = parts[at + 1] ?? '';
  if (name === '') {
    if (verb === 'get') {
      verb = wantsWatch(query) ? 'watch' : 'list';
      name = selectedName(query);
    } else if (verb === 'delete') verb = 'deletecollection';
  }
  return {
    isResource: true,
    path,
    verb,
    group,
    version,
    namespace,
    resource: parts[at] ?? '',
    subresource: parts[at + 2] ?? '',
    name,
    hasMore: parts.length > at + 3,
  };
}
