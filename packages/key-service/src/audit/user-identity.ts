/** CloudTrail's userIdentity (CloudTrail User Guide, "CloudTrail userIdentity element"): who called, as far as it was proved. */
import type { AccessKey, Principal } from '../access/principals.js';

type Identity = Readonly<Record<string, unknown>>;

const USER_TYPES = { root: 'Root', user: 'IAMUser', 'assumed-role': 'AssumedRole' } as const;

/**
 * @param accessKey undefined when the signature did not prove who called
 * @param invokedBy in place of the access key, for what follows from a call and for calls of the process itself
 */
export function userIdentity(accessKey: AccessKey | undefined, invokedBy?: string): Identity {
  if (accessKey === undefined) return { type: 'Unknown' };
  const { kind, principalId, arn, accountId, userName, roleArn, issuedAtMs } = accessKey.principal;
  return {
    type: USER_TYPES[kind],
    principalId,
    arn,
    accountId,
    ...(accessKey.id === '' ? {} : { accessKeyId: accessKey.id }),
    ...(userName === undefined ? {} : { userName }),
    ...(issuedAtMs === undefined
      ? {}
      : { sessionContext: sessionContext(accessKey.principal, roleArn, issuedAtMs) }),
    ...(invokedBy === undefined ? {} : { invokedBy }),
  };
}

/** How the owner of a key sees callers of other accounts: no more than their account and id. */
export function foreignIdentity({ principal }: AccessKey): Identity {
  return { type: 'AWSAccount', principalId: principal.principalId, accountId: principal.accountId };
}

function sessionContext(
  { accountId, principalId }: Principal,
  roleArn: string | undefined,
  issuedAtMs: number,
): Identity {
  const creationDate = `${new Date(issuedAtMs).toISOString().slice(0, 19)}Z`;
  return {
    ...(roleArn === undefined
      ? {}
      : {
          sessionIssuer: {
            type: 'Role',
            principalId: principalId.split(':')[0],
            arn: roleArn,
            accountId,
            userName: roleArn.slice(roleArn.lastIndexOf('/') + 1),
          },
        }),
    attributes: { creationDate, mfaAuthenticated: 'false' },
  };
}
