/** What an etcd version can be relied on for. */

/**
 * True when an answered progress request means that every event up to its revision was sent before: etcd 3.4.31, 3.5.13
 * and everything from 3.6 on. Undefined: not known.
 */
export function progressIsExact(version: string | undefined): boolean {
  const parts = /^(\d+)\.(\d+)\.(\d+)/.exec(version ?? '');
  if (parts === null) return false;
  const [major, minor, patch] = parts.slice(1).map(Number) as [number, number, number];
  if (major !== 3) return major > 3;
  if (minor === 4) return patch >= 31;
  if (minor === 5) return patch >= 13;
  return minor > 5;
}
