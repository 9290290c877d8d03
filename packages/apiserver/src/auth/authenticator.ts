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
  | { readonly kind: 'authenticated'; readonly user: UserInfo; readonly audiences: readonly string[] }
  /** It is one of ours and it is not good; `message` is safe to show. */
  | { readonly kind: 'refused'; readonly message: string }
  | { readonly kind: 'unknown' };

/** `audiences`: whom the token must be for; the API server itself when absent. */
export type AuthenticateToken = (token: string, audiences?: readonly string[]) => Promise<TokenOutcome>;

/** Rejects when the account, or what the token is bound to, is gone or is another by the same name. */
export type CheckServiceAccount = (token: VerifiedToken) => Promise<boolean>;

/** How long a verified token is believed without looking again; kube-apiserver's own figure. */
const TOKEN_CACHE_TTL_MS = 10_000;
const TOKEN_CACHE_MAX_ENTRIES = 4096;

interface CacheEntry {
  readonly outcome: TokenOutcome;
  readonly untilMs: number;
}

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
  const cache = new Map<string, CacheEntry>();

  async function verifyServiceAccountToken(
    token: string,
    audiences: readonly string[] | undefined,
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
    };
  }

  return async (token, audiences) => {
    const user = staticTokens(token);
    if (user !== undefined) {
      // A static token is for this server alone.
      const own = serviceAccountTokens?.audiences ?? [];
      const shared = audiences?.filter((audience) => own.includes(audience)) ?? [];
      if (audiences !== undefined && shared.length === 0) return { kind: 'unknown' };
      return { kind: 'authenticated', user: withAuthenticated(user), audiences: shared };
    }
    const key = createHash('sha256')
      .update(JSON.stringify([token, audiences ?? null]))
      .digest('base64');
    const nowMs = now().getTime();
    const cached = cache.get(key);
    if (cached !== undefined && cached.untilMs > nowMs) return cached.outcome;
    const outcome = await verifyServiceAccountToken(token, audiences);
    if (outcome.kind === 'authenticated') {
      cache.delete(key);
      const oldest = cache.keys().next();
      if (cache.size >= TOKEN_CACHE_MAX_ENTRIES && oldest.done !== true) cache.delete(oldest.value);
      cache.set(key, { outcome, untilMs: nowMs + TOKEN_CACHE_TTL_MS });
    }
    return outcome;
  };
}
