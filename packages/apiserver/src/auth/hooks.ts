/** What the REST layer asks of authentication and authorisation, as one value. */
import type { BindingGrant, RoleGrant } from './escalation.js';
import { checkBindingEscalation, checkRoleEscalation } from './escalation.js';
import type { Authorizer } from './rbac.js';
import { createRbacAuthorizer } from './rbac.js';
import type { RbacSource } from './rbac-source.js';
import type { Reviews } from './reviews.js';
import { createReviews } from './reviews.js';
import type { AuthenticateToken } from './authenticator.js';
import type { ServiceAccountTokens } from './service-account-tokens.js';

export interface AuthHooks {
  readonly authorizer: Authorizer;
  readonly reviews: Reviews;
  /** Undefined: this server issues no service account tokens. */
  readonly serviceAccountTokens: ServiceAccountTokens | undefined;
  /** @throws ApiError 403 */
  checkRoleEscalation(grant: RoleGrant): void;
  /** @throws ApiError 403 */
  checkBindingEscalation(grant: BindingGrant): void;
}

/** Binds the hooks to the RBAC objects, once the REST layer can supply them. */
export type AuthHooksFactory = (source: RbacSource) => AuthHooks;

export function createAuthHooks(options: {
  readonly source: RbacSource;
  readonly authenticateToken: AuthenticateToken;
  readonly serviceAccountTokens: ServiceAccountTokens | undefined;
}): AuthHooks {
  const { source, authenticateToken, serviceAccountTokens } = options;
  const authorizer = createRbacAuthorizer(source);
  return {
    authorizer,
    reviews: createReviews({ authorizer, authenticateToken }),
    serviceAccountTokens,
    checkRoleEscalation: (grant) => checkRoleEscalation(authorizer, grant),
    checkBindingEscalation: (grant) => checkBindingEscalation(authorizer, source, grant),
  };
}
