/** Paths of Vault's API from mounts and names that an operator gave. */
import { KmsPluginError } from '../errors.js';

/**
 * @param parts each may hold slashes, as mounts do; a leading or trailing one does not count
 * @throws KmsPluginError `invalid_options` when a part could lead elsewhere
 */
export function pathOf(...parts: readonly string[]): string {
  return parts
    .flatMap((part) => part.replace(/^\/|\/$/g, '').split('/'))
    .map((segment) => {
      if (/^(?!\.{1,2}$)[\w\-. ~@+]{1,256}$/.test(segment)) return encodeURIComponent(segment);
      throw new KmsPluginError(
        'invalid_options',
        `"${parts.join('/')}" is not a path in Vault; check mount and name.`,
      );
    })
    .join('/');
}
