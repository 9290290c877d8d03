/**
 * Decides whether a request was signed by a known access key, now, for this service.
 *
 * Nothing else in the service believes a caller's name. The order of the checks and the sentences are AWS's. An
 * unknown access key is told from a wrong secret, as AWS tells it: access key ids are names, not secrets.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { AccessKey } from '../access/principals.js';
import { AwsError } from '../aws-error.js';
import type { HttpRequest } from '../http/message.js';
import {
  type Authorization,
  createAuthorizationParser,
  formatTimestamp,
  parseTimestamp,
} from './authorization.js';
import { canonicalRequest, stringToSign } from './canonical-request.js';

/** How far the caller's clock may be from ours, either way. */
const MAX_CLOCK_SKEW_MS = 15 * 60_000;

/** Signing keys change daily; this many are kept before the oldest goes. */
const MAX_SIGNING_KEYS = 10_000;

const REGION = /^[a-z]{2}(-[a-z]+){1,3}-\d{1,2}$/;
const INVALID_TOKEN = 'The security token included in the request is invalid.';
const MISMATCH =
  'The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.';

/** By which an AWS service says for which resource, and of which account, it calls. */
const SOURCE_HEADERS = ['x-amz-source-arn', 'x-amz-source-account'];

export interface VerifiedCaller {
  readonly accessKey: AccessKey;
  readonly region: string;
}

export interface CredentialSource {
  /** @param securityToken of temporary credentials, which say by it whose they are */
  findAccessKey(accessKeyId: string, securityToken: string | undefined): AccessKey | undefined;
}

export interface SignatureVerifier {
  /**
   * @param service what the credential scope must name: `kms`, `sts`
   * @throws AwsError one of the signature errors; the caller is then unknown
   */
  verify(request: HttpRequest, service: string): VerifiedCaller;
}

export function createSignatureVerifier(credentials: CredentialSource, now: () => number): SignatureVerifier {
  const signingKeys = new Map<string, { readonly secret: string; readonly signingKey: Buffer }>();
  const parseAuthorization = createAuthorizationParser();

  function signingKeyOf(accessKey: AccessKey, { scope }: Authorization): Buffer {
    const cacheKey = `${scope.day}/${scope.region}/${scope.service}/${scope.accessKeyId}`;
    const cached = signingKeys.get(cacheKey);
    // The secret of an access key may have been changed in the configuration file.
    if (cached?.secret === accessKey.secret) return cached.signingKey;
    const signingKey = deriveSigningKey(accessKey.secret, scope.day, scope.region, scope.service);
    if (signingKeys.size >= MAX_SIGNING_KEYS) {
      for (const oldest of signingKeys.keys()) {
        signingKeys.delete(oldest);
        break;
      }
    }
    signingKeys.set(cacheKey, { secret: accessKey.secret, signingKey });
    return signingKey;
  }

  return {
    verify(request, service) {
      const authorization = parseAuthorization(request);
      const { scope, signedHeaders, timestamp } = authorization;
      checkSignedHeaders(request, signedHeaders);

      const accessKey = credentials.findAccessKey(scope.accessKeyId, authorization.securityToken);
      if (accessKey === undefined) throw new AwsError('UnrecognizedClientException', INVALID_TOKEN);
      checkToken(accessKey, authorization.securityToken, now());
      if (accessKey.viaService !== undefined) checkSourceHeaders(request, signedHeaders);

      checkTime(authorization, service, now());
      if (!timestamp.startsWith(scope.day)) {
        throw invalid(
          `Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '${scope.day.slice(0, 16)}' != '${timestamp.slice(0, 8)}', from '${timestamp}'.`,
        );
      }
      if (!REGION.test(scope.region)) {
        throw invalid(`Credential should be scoped to a valid region, not '${scope.region.slice(0, 64)}'. `);
      }
      if (scope.service !== service)
        throw invalid(`Credential should be scoped to correct service: '${service}'. `);

      const canonical = canonicalRequest(request, authorization);
      if (canonical === undefined) throw invalid(MISMATCH);
      const expected = createHmac('sha256', signingKeyOf(accessKey, authorization))
        .update(stringToSign(authorization, canonical))
        .digest();
      if (!equalsHex(expected, authorization.signature)) throw invalid(MISMATCH);
      return { accessKey, region: scope.region };
    },
  };
}

/** HMAC chain of "Calculate the signature", step 1. */
export function deriveSigningKey(secret: string, day: string, region: string, service: string): Buffer {
  const step = (key: string | Buffer, data: string): Buffer =>
    createHmac('sha256', key).update(data).digest();
  return step(step(step(step(`AWS4${secret}`, day), region), service), 'aws4_request');
}

/** Host and target decide what a request does, so a signature that leaves them out proves nothing. */
function checkSignedHeaders(request: HttpRequest, signedHeaders: readonly string[]): void {
  if (!signedHeaders.includes('host')) {
    throw invalid("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.");
  }
  if (request.headers.has('x-amz-target') && !signedHeaders.includes('x-amz-target')) {
    throw invalid("'X-Amz-Target' must be a 'SignedHeader' in the AWS Authorization.");
  }
}

/** Policies believe what a service says it calls for. */
function checkSourceHeaders(request: HttpRequest, signedHeaders: readonly string[]): void {
  for (const name of SOURCE_HEADERS) {
    if (request.headers.has(name) && !signedHeaders.includes(name)) {
      throw invalid(`'${name}' must be a 'SignedHeader' in the AWS Authorization.`);
    }
  }
}

function checkToken(accessKey: AccessKey, token: string | undefined, nowMs: number): void {
  if (accessKey.sessionToken === undefined) {
    if (token !== undefined) throw new AwsError('UnrecognizedClientException', INVALID_TOKEN);
    return;
  }
  if (token === undefined || !equalsSecret(token, accessKey.sessionToken)) {
    throw new AwsError('UnrecognizedClientException', INVALID_TOKEN);
  }
  if (accessKey.expiresAtMs !== undefined && accessKey.expiresAtMs <= nowMs) {
    throw new AwsError('ExpiredTokenException', 'The security token included in the request is expired');
  }
}

function checkTime({ timestamp, expiresSeconds, form }: Authorization, service: string, nowMs: number): void {
  const signedAtMs = parseTimestamp(timestamp);
  if (Number.isNaN(signedAtMs)) throw invalid(MISMATCH);
  if (signedAtMs > nowMs + MAX_CLOCK_SKEW_MS) {
    throw invalid(
      `Signature not yet current: ${timestamp} is still later than ${formatTimestamp(nowMs + MAX_CLOCK_SKEW_MS)} (${formatTimestamp(nowMs)} + 15 min.)`,
    );
  }
  const livesMs = lifetimeMs(form, expiresSeconds, service);
  if (signedAtMs < nowMs - livesMs) {
    throw invalid(
      `Signature expired: ${timestamp} is now earlier than ${formatTimestamp(nowMs - livesMs)} (${formatTimestamp(nowMs)} - ${livesMs / 60_000} min.)`,
    );
  }
}

/** STS takes presigned requests for 15 minutes whatever they ask for, which is what Kubernetes' AWS tokens live on. */
function lifetimeMs(
  form: Authorization['form'],
  expiresSeconds: number | undefined,
  service: string,
): number {
  if (form === 'header' || expiresSeconds === undefined) return MAX_CLOCK_SKEW_MS;
  const askedMs = expiresSeconds * 1000;
  return service === 'sts' ? Math.max(askedMs, MAX_CLOCK_SKEW_MS) : askedMs;
}

function equalsHex(expected: Buffer, hex: string): boolean {
  return /^[0-9a-f]{64}$/.test(hex) && timingSafeEqual(expected, Buffer.from(hex, 'hex'));
}

/** Compares digests, so that neither content nor length of the secret shows in the time taken. */
function equalsSecret(given: string, expected: string): boolean {
  const digest = (text: string): Buffer => createHmac('sha256', 'session-token').update(text).digest();
  return timingSafeEqual(digest(given), digest(expected));
}

function invalid(message: string): AwsError {
  return new AwsError('InvalidSignatureException', message);
}
