/**
 * Who is asking: bearer tokens (static, service account), client certificates, or nobody.
 *
 * Source of the rule: kube-apiserver's authentication. A bearer token that is presented must be good: a bad one is 401
 * and never falls through to anonymous. Every authenticated user is in `system:authenticated`.
 */
import { createHash } from 'node:crypto';
import type { UserInfo } from '../rest/contract.js';
import type { ServiceAccountTokens, VerifiedToken } from './service-account-tokens.js';
import type { StaticTokens } from './static-tokens.js';
import { authenticatedGroups } from './users.js';

type TokenOutcome =
  | {
      readonly kind: 'authenticated';
      readonly user: UserInfo;
      readonly audiences: readonly string[];
      /** Whoever remembers the outcome forgets it then: it must be asked for anew. */
      readonly untilMs: number;
    }
  /** It is one of ours and it is not good; `message` is safe to show. */
  | { readonly kind: 'refused'; readonly message: string }
  | { readonly kind: 'unknown' };

/** `audiences`: whom the token must be for; the API server itself when absent. */
export type AuthenticateToken = (token: string, audiences?: readonly string[]) => Promise<TokenOutcome>;

/** Rejects when the account, or what the token is bound to, is gone or is another by the same name. */
export type CheckServiceAccount = (token: VerifiedToken) => Promise<boolean>;

/** How long a token is believed without looking again, wherever it is remembered; kube-apiserver's own figure. */
const TOKEN_TTL_MS = 10_000;
const TOKEN_CACHE_MAX_ENTRIES = 4096;

function withAuthenticated(user: UserInfo): UserInfo {
  return { ...user, groups: authenticatedGroups(user.groups) };
}

export function createTokenAuthenticator(options: {
  readonly staticTokens: StaticTokens;
  readonly serviceAccountTokens: ServiceAccountTokens | undefined;
  readonly checkServiceAccount: CheckServiceAccount;
  readonly now: () => Date;
}): AuthenticateToken {
  const { staticTokens, serviceAccountTokens, checkServiceAccount, now } = options;
  const cache = new Map<string, Extract<TokenOutcome, { kind: 'authenticated' }>>();

  async function verifyServiceAccountToken(
    token: string,
    audiences: readonly string[] | undefined,
    nowMs: number,
  ): Promise<TokenOutcome> {
    if (serviceAccountTokens === undefined || !serviceAccountTokens.claims(token)) return { kind: 'unknown' };
    let verified: VerifiedToken;
    try {
      verified = await serviceAccountTokens.verify(token, audiences);
    } catch {
      return { kind: 'refused', message: 'the service account token is not valid here, or has expired' };
    }
    if (!(await checkServiceAccount(verified))) {
      return { kind: 'refused', message: 'the service account token was revoked' };
    }
    return {
      kind: 'authenticated',
      user: withAuthenticated(verified.user),
      audiences: verified.audiences,
      untilMs: Math.min(nowMs + TOKEN_TTL_MS, verified.expires.getTime()),
    };
  }

  return async (token, audiences) => {
    const nowMs = now().getTime();
    const user = staticTokens(token);
    if (user !== undefined) {
      // A static token is for this server alone.
      const own = serviceAccountTokens?.audiences ?? [];
      const shared = audiences?.filter((audience) => own.includes(audience)) ?? [];
      if (audiences !== undefined && shared.length === 0) return { kind: 'unknown' };
      const untilMs = nowMs + TOKEN_TTL_MS;
      return { kind: 'authenticated', user: withAuthenticated(user), audiences: shared, untilMs };
    }
    const key = createHash('sha256')
      .update(JSON.stringify([token, audiences ?? null]))
      .digest('base64');
    const cached = cache.get(key);
    if (cached !== undefined && cached.untilMs > nowMs) return cached;
    const outcome = await verifyServiceAccountToken(token, audiences, nowMs);
    if (outcome.kind === 'authenticated') {
      cache.delete(key);
      const oldest = cache.keys().next();
      if (cache.size >= TOKEN_CACHE_MAX_ENTRIES && oldest.done !== true) cache.delete(oldest.value);
      cache.set(key, outcome);
    }
    return outcome;
  };
}
