/** What the error tables of all providers are made of: failures by kind, and the codes of Node that mean the same for each backend. */
import type { Failure } from '../errors.js';

export const userInduced = (advice: string): Failure => ({
  class: 'user-induced',
  code: 'failed_precondition',
  advice,
});
export const denied = (advice: string): Failure => ({ class: 'denied', code: 'permission_denied', advice });
export const unauthenticated = (advice: string): Failure => ({
  class: 'denied',
  code: 'unauthenticated',
  advice,
});
export const unavailable = (advice: string): Failure => ({
  class: 'unavailable',
  code: 'unavailable',
  advice,
});
export const throttling = (advice: string): Failure => ({
  class: 'throttled',
  code: 'resource_exhausted',
  advice,
});
export const corrupt = (advice: string): Failure => ({ class: 'corrupt', code: 'invalid_argument', advice });

/** Codes of node:net, node:dns and node:tls that every backend behind a network can cause. */
export function networkRows(
  notReachable: Failure,
  notTrusted: Failure,
): readonly (readonly [string, Failure])[] {
  return [
    ['ECONNREFUSED', notReachable],
    ['ECONNRESET', notReachable],
    ['EPIPE', notReachable],
    ['ETIMEDOUT', notReachable],
    ['EHOSTUNREACH', notReachable],
    ['ENETUNREACH', notReachable],
    ['ENOTFOUND', notReachable],
    ['EAI_AGAIN', notReachable],
    ['DEPTH_ZERO_SELF_SIGNED_CERT', notTrusted],
    ['SELF_SIGNED_CERT_IN_CHAIN', notTrusted],
    ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', notTrusted],
    ['UNABLE_TO_GET_ISSUER_CERT', notTrusted],
    ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', notTrusted],
    ['ERR_TLS_CERT_ALTNAME_INVALID', notTrusted],
  ];
}
