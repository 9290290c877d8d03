/**
 * The user in a client certificate: common name = user name, organisations = groups.
 *
 * Source of the rule: kube-apiserver `--client-ca-file`. TLS has verified the chain before this reads the subject; a
 * certificate without a common name, or one that is not meant for client authentication, is nobody.
 */
import type { X509Certificate } from 'node:crypto';
import type { UserInfo } from '../rest/contract.js';
import { CREDENTIAL_ID_EXTRA, authenticatedGroups } from './users.js';

/** RFC 5280 §4.2.1.12: id-kp-clientAuth and anyExtendedKeyUsage. */
const CLIENT_USAGES = new Set(['1.3.6.1.5.5.7.3.2', '2.5.29.37.0']);

/**
 * `CN=jane`, `O=dev` … as attribute-value pairs. Node prints one RDN a line, joins multi-valued ones by ` + ` and
 * escapes the specials of RFC 2253 §2.4 with a backslash, control characters as two hexadecimal digits, so an
 * unescaped separator never comes out of a value.
 */
function subjectAttributes(subject: string): readonly (readonly [string, string])[] {
  const pairs: [string, string][] = [];
  for (const part of subject.split(/\n| \+ /)) {
    const equals = part.indexOf('=');
    if (equals <= 0) continue;
    const value = part
      .slice(equals + 1)
      .replaceAll(
        /\\(?:([0-9A-F]{2})|(.))/g,
        (_all, hex: string | undefined, character: string | undefined) =>
          hex === undefined ? (character ?? '') : String.fromCharCode(Number.parseInt(hex, 16)),
      );
    pairs.push([part.slice(0, equals), value]);
  }
  return pairs;
}

export function userOfCertificate(certificate: X509Certificate): UserInfo | undefined {
  // OIDs of the extended key usage; undefined when the extension is absent.
  const usages: readonly string[] | undefined = certificate.keyUsage;
  if (usages !== undefined && !usages.some((usage) => CLIENT_USAGES.has(usage))) return undefined;
  const attributes = subjectAttributes(certificate.subject);
  const name = attributes.find(([type]) => type === 'CN')?.[1];
  if (name === undefined || name === '') return undefined;
  const groups = attributes.filter(([type]) => type === 'O').map(([, value]) => value);
  const fingerprint = certificate.fingerprint256.replaceAll(':', '').toLowerCase();
  return {
    name,
    uid: '',
    groups: authenticatedGroups(groups),
    extra: { [CREDENTIAL_ID_EXTRA]: [`X509SHA256=${fingerprint}`] },
  };
}
