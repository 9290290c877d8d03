/**
 * Well-known users and groups, and the names of service accounts.
 *
 * Source of the rule: k8s.io/apiserver `authentication/user` and `authentication/serviceaccount`.
 */
import type { UserInfo } from '../rest/contract.js';

export const SYSTEM_MASTERS = 'system:masters';
export const ALL_AUTHENTICATED = 'system:authenticated';
export const ALL_UNAUTHENTICATED = 'system:unauthenticated';
export const ALL_SERVICE_ACCOUNTS = 'system:serviceaccounts';
export const ANONYMOUS_USER = 'system:anonymous';
const APISERVER_USER = 'system:apiserver';
/** Key of a user's `extra` that names the credential, e.g. `JTI=…` or `X509SHA256=…`. */
export const CREDENTIAL_ID_EXTRA = 'authentication.kubernetes.io/credential-id';

const SERVICE_ACCOUNT_USER_PREFIX = 'system:serviceaccount:';
const SERVICE_ACCOUNT_GROUP_PREFIX = 'system:serviceaccounts:';

export const anonymous: UserInfo = {
  name: ANONYMOUS_USER,
  uid: '',
  groups: [ALL_UNAUTHENTICATED],
  extra: {},
};

/** Who the server is when it acts for itself. */
export const apiServerUser: UserInfo = {
  name: APISERVER_USER,
  uid: '',
  groups: [SYSTEM_MASTERS, ALL_AUTHENTICATED],
  extra: {},
};

/** `groups` and `system:authenticated`, once. */
export function authenticatedGroups(groups: readonly string[]): readonly string[] {
  return groups.includes(ALL_AUTHENTICATED) || groups.includes(ALL_UNAUTHENTICATED)
    ? groups
    : [...groups, ALL_AUTHENTICATED];
}

export function serviceAccountUserName(namespace: string, name: string): string {
  return `${SERVICE_ACCOUNT_USER_PREFIX}${namespace}:${name}`;
}

export function serviceAccountGroups(namespace: string): readonly string[] {
  return [ALL_SERVICE_ACCOUNTS, SERVICE_ACCOUNT_GROUP_PREFIX + namespace];
}

const DNS_1123_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const DNS_1123_SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

/** The namespace and name in `system:serviceaccount:<namespace>:<name>`; undefined for every other user name. */
export function parseServiceAccountUserName(
  userName: string,
): { readonly namespace: string; readonly name: string } | undefined {
  if (!userName.startsWith(SERVICE_ACCOUNT_USER_PREFIX)) return undefined;
  const parts = userName.slice(SERVICE_ACCOUNT_USER_PREFIX.length).split(':');
  const [namespace, name] = parts;
  if (parts.length !== 2 || namespace === undefined || name === undefined) return undefined;
  if (!DNS_1123_LABEL.test(namespace) || name.length > 253 || !DNS_1123_SUBDOMAIN.test(name))
    return undefined;
  return { namespace, name };
}
