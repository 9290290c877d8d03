/**
 * The canonical request and the string to sign.
 *
 * Source of the rule: AWS General Reference, "Create a signed AWS API request", steps 1 to 3.
 */
import { hash } from 'node:crypto';
import { type HttpRequest, splitTarget } from '../http/message.js';
import { ALGORITHM, type Authorization } from './authorization.js';

const LONE_SURROGATE = /[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/g;
const REPLACEMENT = '\uFFFD';

/** Undefined when a signed header is not in the request. */
export function canonicalRequest(request: HttpRequest, authorization: Authorization): string | undefined {
  let canonicalHeaders = '';
  for (const name of authorization.signedHeaders) {
    const value = request.headers.get(name);
    if (value === undefined) return undefined;
    canonicalHeaders += `${name}:${trimAll(value)}\n`;
  }
  const { path } = splitTarget(request.target);
  return `${request.method}\n${canonicalUri(path)}\n${canonicalQuery(authorization.signedQuery)}\n${canonicalHeaders}\n${authorization.signedHeaders.join(';')}\n${sha256Hex(request.body)}`;
}

export function stringToSign(authorization: Authorization, canonical: string): string {
  const { day, region, service } = authorization.scope;
  return `${ALGORITHM}\n${authorization.timestamp}\n${day}/${region}/${service}/aws4_request\n${sha256Hex(canonical)}`;
}

function sha256Hex(data: string | Buffer): string {
  return hash('sha256', data, 'hex');
}

/** Spaces at the ends go, runs of spaces become one. */
function trimAll(value: string): string {
  const trimmed = value.trim();
  return trimmed.includes('  ') ? trimmed.replace(/ {2,}/g, ' ') : trimmed;
}

/** Dot segments and empty segments removed, every segment encoded once more (all services but S3). */
export function canonicalUri(path: string): string {
  if (path === '/' || path === '') return '/';
  const segments: string[] = [];
  for (const segment of path.split('/')) {
    if (segment === '..') segments.pop();
    else if (segment !== '' && segment !== '.') segments.push(encode(segment));
  }
  const trailing = path.endsWith('/') && segments.length > 0 ? '/' : '';
  return `/${segments.join('/')}${trailing}`;
}

/** Names and values encoded alike, sorted by name, then by value. */
function canonicalQuery(query: string): string {
  if (query === '') return '';
  return query
    .split('&')
    .filter((pair) => pair !== '')
    .map((pair) => {
      const equals = pair.indexOf('=');
      const name = equals < 0 ? pair : pair.slice(0, equals);
      const value = equals < 0 ? '' : pair.slice(equals + 1);
      return [encode(decode(name)), encode(decode(value))] as const;
    })
    .toSorted(([nameA, valueA], [nameB, valueB]) => compare(nameA, nameB) || compare(valueA, valueB))
    .map(([name, value]) => `${name}=${value}`)
    .join('&');
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // Not percent-encoded UTF-8: no signer would have produced it, so the signature will not match.
    return text;
  }
}

/** RFC 3986 §2.3: everything but unreserved characters. */
function encode(text: string): string {
  // A lone surrogate cannot be encoded; as above, nothing that was signed holds one.
  return encodeURIComponent(text.replace(LONE_SURROGATE, REPLACEMENT)).replace(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
