/**
 * Acting as somebody else (`kubectl --as`), when the verb `impersonate` on every part of that identity is granted.
 *
 * Source of the rule: kube-apiserver's impersonation filter.
 */
import { ApiError } from '../errors.js';
import type { UserInfo } from '../rest/contract.js';
import type { ResourceAttributes } from './attributes.js';
import { forbiddenByAuthorizer } from './attributes.js';
import type { Authorizer } from './rbac.js';
import {
  ALL_AUTHENTICATED,
  ALL_UNAUTHENTICATED,
  ANONYMOUS_USER,
  parseServiceAccountUserName,
  serviceAccountGroups,
} from './users.js';

/** Header names in lower case with every value given, as `IncomingMessage.headersDistinct`. */
export type HeaderValues = Readonly<Record<string, readonly string[] | undefined>>;

const USER = 'impersonate-user';
const GROUP = 'impersonate-group';
const UID = 'impersonate-uid';
const EXTRA_PREFIX = 'impersonate-extra-';

function extraKey(header: string): string {
  const encoded = header.slice(EXTRA_PREFIX.length);
  try {
    return decodeURIComponent(encoded);
  } catch {
    return encoded;
  }
}

/**
 * The user the request shall run as: the impersonated one, or the requestor when no header asks for another.
 *
 * @throws ApiError 400 for groups, extra or uid without a user, 403 when not granted
 */
export function impersonate(authorizer: Authorizer, requestor: UserInfo, headers: HeaderValues): UserInfo {
  const wantedUser = headers[USER]?.[0] ?? '';
  const wantedGroups = headers[GROUP] ?? [];
  const wantedUid = headers[UID]?.[0] ?? '';
  const wantedExtra = Object.entries(headers).flatMap(([header, values]) =>
    header.startsWith(EXTRA_PREFIX) ? (values ?? []).map((value) => [extraKey(header), value] as const) : [],
  );
  if (wantedUser === '') {
    if (wantedGroups.length > 0 || wantedUid !== '' || wantedExtra.length > 0) {
      throw new ApiError(
        400,
        'BadRequest',
        'requested impersonation without impersonating a user: send Impersonate-User',
      );
    }
    return requestor;
  }

  const ask = (
    question: Partial<ResourceAttributes> & Pick<ResourceAttributes, 'resource' | 'name'>,
  ): void => {
    const attributes: ResourceAttributes = {
      kind: 'resource',
      user: requestor,
      verb: 'impersonate',
      group: '',
      subresource: '',
      namespace: '',
      ...question,
    };
    const decision = authorizer.authorize(attributes);
    if (!decision.allowed) throw forbiddenByAuthorizer(attributes, decision.reason);
  };

  const account = parseServiceAccountUserName(wantedUser);
  if (account === undefined) ask({ resource: 'users', name: wantedUser });
  else ask({ resource: 'serviceaccounts', namespace: account.namespace, name: account.name });
  for (const name of wantedGroups) ask({ resource: 'groups', name });
  const extra: Record<string, string[]> = Object.create(null) as Record<string, string[]>;
  for (const [key, name] of wantedExtra) {
    ask({ group: 'authentication.k8s.io', resource: 'userextras', subresource: key, name });
    (extra[key] ??= []).push(name);
  }
  if (wantedUid !== '') ask({ group: 'authentication.k8s.io', resource: 'uids', name: wantedUid });

  const groups = [...wantedGroups];
  if (account !== undefined && wantedGroups.length === 0)
    groups.push(...serviceAccountGroups(account.namespace));
  if (wantedUser === ANONYMOUS_USER) {
    if (!groups.includes(ALL_UNAUTHENTICATED)) groups.push(ALL_UNAUTHENTICATED);
  } else if (!groups.includes(ALL_AUTHENTICATED) && !groups.includes(ALL_UNAUTHENTICATED)) {
    groups.push(ALL_AUTHENTICATED);
  }
  return { name: wantedUser, uid: wantedUid, groups, extra };
}
