/**
 * Where others learn to verify service account tokens: OpenID Connect discovery and the public keys.
 *
 * Source of the rule: OpenID Connect Discovery 1.0 §4, RFC 7517, KEP-1393.
 */
import type { ServiceAccountTokens } from '../auth/service-account-tokens.js';
import type { PathEndpoint } from '../http/path-endpoint.js';
import { jsonAnswer } from '../http/path-endpoint.js';

const JWKS_PATH = '/openid/v1/jwks';

/** @param serverUrl e.g. `https://127.0.0.1:6443` */
export function createOpenIdEndpoint(tokens: ServiceAccountTokens, serverUrl: () => string): PathEndpoint {
  return async ({ path }) => {
    if (path === '/.well-known/openid-configuration') {
      return jsonAnswer({
        issuer: tokens.issuer,
        jwks_uri: serverUrl() + JWKS_PATH,
        response_types_supported: ['id_token'],
        subject_types_supported: ['public'],
        id_token_signing_alg_values_supported: ['RS256', 'ES256'],
      });
    }
    if (path === JWKS_PATH) {
      return { ...jsonAnswer(await tokens.jwks()), contentType: 'application/jwk-set+json' };
    }
    return undefined;
  };
}
