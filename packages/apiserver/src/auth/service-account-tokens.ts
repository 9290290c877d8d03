/**
 * Tokens of service accounts: signed JWTs, issued by the `token` subresource and accepted as bearer tokens.
 *
 * Source of the rule: KEP-1205 (bound service account tokens) and kube-apiserver's claims; RFC 7519. A token is good
 * only while the service account it names exists with the same uid (and the Secret it is bound to, if any).
 */
import { createHash, createPrivateKey, createPublicKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import type * as Jose from 'jose';
import type { JWK, JWTPayload } from 'jose';
import { ApiServerError } from '../errors.js';
import type { UserInfo } from '../rest/contract.js';
import { CREDENTIAL_ID_EXTRA, serviceAccountGroups, serviceAccountUserName } from './users.js';

/** PEM: PKCS#8 or PKCS#1/SEC1 private key, RSA of at least 2048 bits or P-256. */
export interface ServiceAccountKeys {
  readonly privateKey: string;
  /** Further public keys (PEM) whose tokens are still accepted, for key rotation. */
  readonly verifyKeys?: readonly string[];
}

/** An object a token dies with. */
interface BoundObject {
  readonly kind: 'Secret' | 'Pod' | 'Node';
  readonly name: string;
  readonly uid: string;
}

interface TokenSpec {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** Empty: the server's own audience. */
  readonly audiences: readonly string[];
  readonly expirationSeconds: number;
  readonly boundObject?: BoundObject | undefined;
}

interface IssuedToken {
  readonly token: string;
  readonly expires: Date;
}

export interface VerifiedToken {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly user: UserInfo;
  /** Those of the wanted audiences the token names. */
  readonly audiences: readonly string[];
  readonly expires: Date;
  readonly boundObject: BoundObject | undefined;
}

export interface ServiceAccountTokens {
  readonly issuer: string;
  /** Audiences of this API server, the default of both `sign` and `verify`. */
  readonly audiences: readonly string[];
  sign(spec: TokenSpec): Promise<IssuedToken>;
  /**
   * Signature, issuer, audience and times. Whether the account still exists is for the caller to ask.
   *
   * @throws ApiServerError
   */
  verify(token: string, audiences?: readonly string[]): Promise<VerifiedToken>;
  /** True when the token claims to be ours, so that a failure to verify it is final. Reads nothing it trusts. */
  claims(token: string): boolean;
  /** Public keys as a JSON Web Key Set (RFC 7517). */
  jwks(): Promise<{ readonly keys: readonly JWK[] }>;
}

interface VerifyKey {
  readonly keyId: string;
  readonly key: KeyObject;
  readonly algorithm: 'RS256' | 'ES256';
}

/** Longest token that is looked at, in characters; ours have under 2,000. */
const MAX_TOKEN_CHARACTERS = 16 * 1024;
const CLAIM = 'kubernetes.io';

// kube-apiserver names keys by the hash of their SubjectPublicKeyInfo, so tokens of either server verify on the other.
function verifyKey(key: KeyObject): VerifyKey {
  const keyId = createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest('base64url');
  if (key.asymmetricKeyType === 'rsa' && (key.asymmetricKeyDetails?.modulusLength ?? 0) >= 2048) {
    return { keyId, key, algorithm: 'RS256' };
  }
  if (key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1') {
    return { keyId, key, algorithm: 'ES256' };
  }
  throw new ApiServerError(
    'bad-service-account-key',
    'service account keys must be RSA of at least 2048 bits or EC P-256; make one with `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`',
  );
}

/** On the first token: a start without one does not pay for it. */
function loadJose(): Promise<typeof Jose> {
  return import('jose');
}

function parseKey<T>(what: string, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    // The cause is dropped: OpenSSL's errors may quote the file.
    void cause;
    throw new ApiServerError('bad-service-account-key', `the service account ${what} is not a PEM key`);
  }
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function named(value: unknown): { readonly name: string; readonly uid: string } | undefined {
  const { name, uid } = record(value);
  return typeof name === 'string' && typeof uid === 'string' && name !== '' ? { name, uid } : undefined;
}

function boundObjectOf(claim: Readonly<Record<string, unknown>>): BoundObject | undefined {
  for (const kind of ['Secret', 'Pod', 'Node'] as const) {
    const bound = named(claim[kind.toLowerCase()]);
    if (bound !== undefined) return { kind, ...bound };
  }
  return undefined;
}

function extraOf(bound: BoundObject | undefined, tokenId: unknown): Record<string, string[]> {
  const extra: Record<string, string[]> = {};
  if (typeof tokenId === 'string') extra[CREDENTIAL_ID_EXTRA] = [`JTI=${tokenId}`];
  if (bound?.kind === 'Pod' || bound?.kind === 'Node') {
    const kind = bound.kind.toLowerCase();
    extra[`authentication.kubernetes.io/${kind}-name`] = [bound.name];
    extra[`authentication.kubernetes.io/${kind}-uid`] = [bound.uid];
  }
  return extra;
}

function verified(payload: JWTPayload, wanted: readonly string[]): VerifiedToken {
  const claim = record(payload[CLAIM]);
  const { namespace } = claim;
  const account = named(claim['serviceaccount']);
  if (
    typeof namespace !== 'string' ||
    namespace === '' ||
    account === undefined ||
    payload.exp === undefined
  ) {
    throw new ApiServerError('service-account-token-invalid', 'the token names no service account');
  }
  const { name, uid } = account;
  const userName = serviceAccountUserName(namespace, name);
  if (payload.sub !== userName) {
    throw new ApiServerError(
      'service-account-token-invalid',
      'the subject of the token is not its service account',
    );
  }
  const boundObject = boundObjectOf(claim);
  const audiences = typeof payload.aud === 'string' ? [payload.aud] : (payload.aud ?? []);
  return {
    namespace,
    name,
    uid,
    user: {
      name: userName,
      uid,
      groups: serviceAccountGroups(namespace),
      extra: extraOf(boundObject, payload.jti),
    },
    audiences: wanted.filter((audience) => audiences.includes(audience)),
    expires: new Date(payload.exp * 1000),
    boundObject,
  };
}

function uuid(randomBytes: (size: number) => Buffer): string {
  const bytes = randomBytes(16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/**
 * @param issuer the `iss` claim, an https URL
 * @param audiences of this API server; the issuer when empty
 * @throws ApiServerError `bad-service-account-key`
 */
export function createServiceAccountTokens(options: {
  readonly keys: ServiceAccountKeys;
  readonly issuer: string;
  readonly audiences?: readonly string[];
  readonly now: () => Date;
  readonly randomBytes: (size: number) => Buffer;
}): ServiceAccountTokens {
  const { issuer, now, randomBytes } = options;
  const audiences =
    options.audiences === undefined || options.audiences.length === 0 ? [issuer] : options.audiences;
  const privateKey = parseKey('signing key', () => createPrivateKey(options.keys.privateKey));
  const signer = verifyKey(createPublicKey(privateKey));
  const verifyKeys = [
    signer,
    ...(options.keys.verifyKeys ?? []).map((pem) =>
      verifyKey(parseKey('verification key', () => createPublicKey(pem))),
    ),
  ];

  return {
    issuer,
    audiences,

    async sign(spec) {
      const issuedAtSeconds = Math.floor(now().getTime() / 1000);
      const expiresSeconds = issuedAtSeconds + spec.expirationSeconds;
      const { boundObject: bound } = spec;
      const claim = {
        namespace: spec.namespace,
        ...(bound === undefined ? {} : { [bound.kind.toLowerCase()]: { name: bound.name, uid: bound.uid } }),
        serviceaccount: { name: spec.name, uid: spec.uid },
      };
      const { SignJWT } = await loadJose();
      const token = await new SignJWT({ [CLAIM]: claim })
        .setProtectedHeader({ alg: signer.algorithm, kid: signer.keyId })
        .setIssuer(issuer)
        .setSubject(serviceAccountUserName(spec.namespace, spec.name))
        .setAudience(spec.audiences.length === 0 ? [...audiences] : [...spec.audiences])
        .setIssuedAt(issuedAtSeconds)
        .setNotBefore(issuedAtSeconds)
        .setExpirationTime(expiresSeconds)
        .setJti(uuid(randomBytes))
        .sign(privateKey);
      return { token, expires: new Date(expiresSeconds * 1000) };
    },

    async verify(token, wanted = audiences) {
      if (token.length > MAX_TOKEN_CHARACTERS) {
        throw new ApiServerError('service-account-token-invalid', 'the token is too long');
      }
      const { errors, jwtVerify } = await loadJose();
      try {
        const { payload } = await jwtVerify(
          token,
          (header) => {
            const candidates = verifyKeys.filter(
              ({ keyId, algorithm }) =>
                algorithm === header.alg && (header.kid === undefined || header.kid === keyId),
            );
            const [found] = candidates;
            if (found === undefined) {
              throw new ApiServerError(
                'service-account-token-invalid',
                'the token is signed with an unknown key',
              );
            }
            return found.key;
          },
          {
            issuer,
            audience: [...wanted],
            algorithms: ['RS256', 'ES256'],
            currentDate: now(),
            requiredClaims: ['exp', 'sub', 'aud'],
          },
        );
        return verified(payload, wanted);
      } catch (cause) {
        if (cause instanceof ApiServerError) throw cause;
        if (cause instanceof errors.JWTExpired) {
          throw new ApiServerError('service-account-token-expired', 'the service account token has expired', {
            cause,
          });
        }
        throw new ApiServerError('service-account-token-invalid', 'the service account token is invalid', {
          cause,
        });
      }
    },

    claims(token) {
      const [, payload, signature] = token.split('.', 4);
      if (payload === undefined || signature === undefined || token.length > MAX_TOKEN_CHARACTERS)
        return false;
      try {
        return record(JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')))['iss'] === issuer;
      } catch {
        return false;
      }
    },

    async jwks() {
      const { exportJWK } = await loadJose();
      return {
        keys: await Promise.all(
          verifyKeys.map(async ({ keyId, key, algorithm }) => ({
            ...(await exportJWK(key)),
            kid: keyId,
            alg: algorithm,
            use: 'sig',
          })),
        ),
      };
    },
  };
}
