/**
 * Pagination: `Limit` and `Marker` in, `Truncated` and `NextMarker` out.
 *
 * A marker is the last name of the page before, under the operation's name, so that it works however the list has
 * changed since and is refused by every other operation.
 */
import { AwsError } from '../aws-error.js';

export interface PageRequest {
  readonly Limit: number | undefined;
  readonly Marker: string | undefined;
}

export interface PageLimits {
  readonly defaultSize: number;
  readonly maxSize: number;
}

/** @param after gives up to `count` names that sort after `name` */
export function page(
  operation: string,
  { Limit, Marker }: PageRequest,
  { defaultSize, maxSize }: PageLimits,
  after: (name: string | undefined, count: number) => readonly string[],
): { readonly names: readonly string[]; readonly tail: Readonly<Record<string, unknown>> } {
  const size = Math.min(Limit ?? defaultSize, maxSize);
  const names = after(Marker === undefined ? undefined : readMarker(operation, Marker), size + 1);
  const last = names[size - 1];
  if (names.length <= size || last === undefined) return { names, tail: { Truncated: false } };
  const nextMarker = Buffer.from(`${operation}\n${last}`).toString('base64url');
  return { names: names.slice(0, size), tail: { NextMarker: nextMarker, Truncated: true } };
}

/** For short lists that are in memory anyway, in their own order. */
export function pageOf<T>(
  operation: string,
  request: PageRequest,
  limits: PageLimits,
  items: readonly T[],
  nameOf: (item: T) => string,
): { readonly items: readonly T[]; readonly tail: Readonly<Record<string, unknown>> } {
  const byName = new Map(items.map((item) => [nameOf(item), item]));
  const allNames = [...byName.keys()];
  const { names, tail } = page(operation, request, limits, (name, count) => {
    const from = name === undefined ? 0 : allNames.indexOf(name) + 1;
    return allNames.slice(from, from + count);
  });
  return { items: names.map((name) => byName.get(name) as T), tail };
}

function readMarker(operation: string, marker: string): string {
  const text = Buffer.from(marker, 'base64url').toString();
  const prefix = `${operation}\n`;
  if (!text.startsWith(prefix) || Buffer.from(text).toString('base64url') !== marker) {
    throw new AwsError('InvalidMarkerException', 'The marker is not valid.');
  }
  return text.slice(prefix.length);
}
