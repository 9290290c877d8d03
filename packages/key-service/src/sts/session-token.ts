/**
 * Temporary credentials whose session token carries the whole session, sealed: nothing is stored, so they survive restarts and are
 * known to every replica of the service at once.
 *
 * Source of the rule: IAM User Guide, "Temporary security credentials in IAM". The token names its principal; what that
 * principal may do is looked up when it calls, so a role that is taken away ends its sessions.
 */
import { compilePolicy } from '../access/policy.js';
import { findManagedPolicy } from '../access/managed-policies.js';
import {
  type AccessKey,
  createAccessKey,
  type Principal,
  type PrincipalDirectory,
  roleSession,
} from '../access/principals.js';
import { isJsonObject } from '../http/json-body.js';
import type { MaterialVault } from '../keys/material-vault.js';

/** What a session is made of. Times are milliseconds since the epoch. */
interface SessionClaims {
  /** The user, root or role the session acts for. */
  readonly subjectArn: string;
  /** Sessions of roles only. */
  readonly sessionName?: string;
  readonly issuedAtMs: number;
  readonly expiresAtMs: number;
  /** JSON text of the inline session policy. */
  readonly policy?: string;
  /** Names or ARNs of managed session policies. */
  readonly policyArns?: readonly string[];
  readonly tags?: Readonly<Record<string, string>>;
  readonly transitiveTagKeys?: readonly string[];
}

interface SealedSession {
  readonly version: 1;
  readonly accessKeyId: string;
  readonly secret: string;
  readonly claims: SessionClaims;
}

const LABEL = 'session';
/** Opened tokens kept; the oldest goes first. */
const MAX_SESSIONS = 10_000;
const MAX_TOKEN_CHARS = 16_384;

export interface SessionIssuer {
  issue(claims: SessionClaims): AccessKey & { readonly sessionToken: string; readonly expiresAtMs: number };
  /** The access key a token belongs to; undefined when it was not made here or its principal is gone. */
  open(accessKeyId: string, token: string): AccessKey | undefined;
}

export function createSessionIssuer(
  vault: Pick<MaterialVault, 'sealToken' | 'openToken'>,
  principals: PrincipalDirectory,
  randomBytes: (size: number) => Buffer,
): SessionIssuer {
  const opened = new Map<string, AccessKey>();
  return {
    issue(claims) {
      const { id, secret } = createAccessKey(randomBytes, 'ASIA');
      const principal = principalOf(claims, principals);
      if (principal === undefined) throw new TypeError('A session needs a principal that exists.');
      const sealed: SealedSession = { version: 1, accessKeyId: id, secret, claims };
      const sessionToken = vault.sealToken(LABEL, Buffer.from(JSON.stringify(sealed))).toString('base64');
      return { id, secret, principal, sessionToken, expiresAtMs: claims.expiresAtMs };
    },

    open(accessKeyId, token) {
      const known = opened.get(token);
      if (known !== undefined) return known.id === accessKeyId ? known : undefined;
      const session = openToken(vault, token);
      if (session === undefined || session.accessKeyId !== accessKeyId) return undefined;
      const principal = principalOf(session.claims, principals);
      if (principal === undefined) return undefined;
      const { secret, claims } = session;
      const key: AccessKey = {
        id: accessKeyId,
        secret,
        principal,
        sessionToken: token,
        expiresAtMs: claims.expiresAtMs,
      };
      if (opened.size >= MAX_SESSIONS) {
        const [oldest] = opened.keys();
        if (oldest !== undefined) opened.delete(oldest);
      }
      opened.set(token, key);
      return key;
    },
  };
}

function openToken(vault: Pick<MaterialVault, 'openToken'>, token: string): SealedSession | undefined {
  if (token.length > MAX_TOKEN_CHARS) return undefined;
  const bytes = Buffer.from(token, 'base64');
  if (bytes.toString('base64') !== token) return undefined;
  const content = vault.openToken(LABEL, bytes);
  if (content === undefined) return undefined;
  // Sealed by this service: only a newer version could have written something else.
  const session: unknown = JSON.parse(content.toString());
  content.fill(0);
  return isJsonObject(session) && session['version'] === 1
    ? (session as unknown as SealedSession)
    : undefined;
}

function principalOf(claims: SessionClaims, principals: PrincipalDirectory): Principal | undefined {
  const { subjectArn, sessionName, issuedAtMs, transitiveTagKeys } = claims;
  if (sessionName === undefined) {
    const principal = principals.findPrincipal(subjectArn);
    return principal && { ...principal, issuedAtMs };
  }
  const role = principals.findRole(subjectArn);
  if (role === undefined) return undefined;
  const sessionPolicies = compileSessionPolicies(claims);
  return roleSession(role, sessionName, {
    issuedAtMs,
    tags: new Map(Object.entries(claims.tags ?? {})),
    ...(sessionPolicies === undefined ? {} : { sessionPolicies }),
    ...(transitiveTagKeys === undefined ? {} : { transitiveTagKeys }),
  });
}

/**
 * Undefined: the session is not limited.
 *
 * @throws PolicyError when the inline policy is none
 */
function compileSessionPolicies({
  policy,
  policyArns = [],
}: Pick<SessionClaims, 'policy' | 'policyArns'>): Principal['sessionPolicies'] {
  if (policy === undefined && policyArns.length === 0) return undefined;
  return [
    ...(policy === undefined ? [] : [compilePolicy(policy, 'identity', 'session policy')]),
    ...policyArns.flatMap((arn) => findManagedPolicy(arn) ?? []),
  ];
}
