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

/** `CN=jane\nO=dev\nO=ops` as attribute-value pairs; multi-valued RDNs are joined by `+`, backslash escapes. */
function subjectAttributes(subject: string): readonly (readonly [string, string])[] {
  const pairs: [string, string][] = [];
  for (const line of subject.split(/\n|(?<!\\)\+/)) {
    const equals = line.indexOf('=');
    if (equals <= 0) continue;
    const value = line.slice(equals + 1).replaceAll(/\\(.)/g, '$1');
    pairs.push([line.slice(0, equals).trim(), value]);
  }
  return pairs;
}

export function userOfCertificate(certificate: X509Certificate): UserInfo | undefined {
  // An array in spite of its type: OIDs, undefined when the extension is absent.
  const usages: readonly string[] | undefined = certificate.keyUsage as readonly string[] | undefined;
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
