/**
 * What a request says about its signature: the Authorization header, or the query of a presigned URL.
 *
 * Source of the rule: AWS General Reference, "Signature Version 4"; the sentences are those AWS answers with.
 */
import { createHash } from 'node:crypto';
import { AwsError } from '../aws-error.js';
import { type HttpRequest, splitTarget } from '../http/message.js';

export const ALGORITHM = 'AWS4-HMAC-SHA256';

/** `Credential=<access key id>/<day>/<region>/<service>/aws4_request`. */
interface CredentialScope {
  readonly accessKeyId: string;
  /** YYYYMMDD. */
  readonly day: string;
  readonly region: string;
  readonly service: string;
}

export interface Authorization {
  readonly form: 'header' | 'presigned';
  readonly scope: CredentialScope;
  /** Lowercase names in the order the request gives them. */
  readonly signedHeaders: readonly string[];
  /** 64 lowercase hexadecimal digits, not yet believed. */
  readonly signature: string;
  /** YYYYMMDDTHHMMSSZ. */
  readonly timestamp: string;
  /** Presigned only: seconds the URL stays valid. */
  readonly expiresSeconds?: number | undefined;
  readonly securityToken: string | undefined;
  /** The query the signature covers: `X-Amz-Signature` taken out. */
  readonly signedQuery: string;
}

/** A week, the longest a presigned URL may live. */
const MAX_EXPIRES_SECONDS = 604_800;
const TIMESTAMP = /^\d{8}T\d{6}Z$/;
const MAX_SIGNED_HEADERS = 100;

/** What an Authorization header says besides its signature: the same in every request a client signs on one day. */
type Claim = Pick<Authorization, 'scope' | 'signedHeaders'>;

/** Claims kept before all are forgotten, and the longest text one is kept for: anyone may send headers. */
const MAX_CLAIMS = 1000;
const MAX_CLAIM_LENGTH = 512;
/** The end of a header as SDKs write it: what is before it is the claim. */
const SIGNATURE_LENGTH = 64;
const SIGNATURE = /^[0-9a-f]{64}$/;
const BEFORE_SIGNATURE = /[ ,]Signature=$/;

/** @returns a function that throws AwsError MissingAuthenticationTokenException, IncompleteSignatureException */
export function createAuthorizationParser(): (request: HttpRequest) => Authorization {
  const claims = new Map<string, Claim>();

  function parseHeader(request: HttpRequest, header: string, query: string): Authorization {
    const signatureAt = header.length - SIGNATURE_LENGTH;
    const text = header.slice(0, signatureAt);
    const signature = header.slice(signatureAt);
    // Another end could hold a claim of its own, or spaces: it is read in full.
    const known = SIGNATURE.test(signature) ? claims.get(text) : undefined;
    const timestamp = request.headers.get('x-amz-date');
    if (known !== undefined && timestamp !== undefined) {
      checkTimestamp(timestamp);
      return headerAuthorization(request, known, signature, timestamp, query);
    }
    const parsed = parseUnknownHeader(request, header, query);
    // Nothing but the signature came after the text, so the text alone makes the claim.
    const complete = parsed.signature === signature && BEFORE_SIGNATURE.test(text);
    if (complete && text.length <= MAX_CLAIM_LENGTH) {
      if (claims.size >= MAX_CLAIMS) claims.clear();
      claims.set(text, { scope: parsed.scope, signedHeaders: parsed.signedHeaders });
    }
    return parsed;
  }

  return (request) => {
    const header = request.headers.get('authorization');
    const { query } = splitTarget(request.target);
    if (header !== undefined) return parseHeader(request, header, query);
    if (query.includes('X-Amz-Algorithm=')) return parsePresigned(query);
    throw new AwsError('MissingAuthenticationTokenException', 'Missing Authentication Token');
  };
}

function parseUnknownHeader(request: HttpRequest, header: string, query: string): Authorization {
  const space = header.indexOf(' ');
  const algorithm = space < 0 ? header : header.slice(0, space);
  if (algorithm !== ALGORITHM) {
    if (!algorithm.startsWith('AWS4-')) {
      throw new AwsError('MissingAuthenticationTokenException', 'Missing Authentication Token');
    }
    throw incomplete(`Unsupported AWS 'algorithm': '${algorithm.slice(0, 64)}'.`);
  }
  const fields = new Map<string, string>();
  for (const part of header.slice(space + 1).split(',')) {
    const field = part.trim();
    const equals = field.indexOf('=');
    if (equals < 0) {
      throw incomplete(
        `Invalid key=value pair (missing equal-sign) in Authorization header (hashed with SHA-256 and encoded with Base64): '${digest(header)}'.`,
      );
    }
    fields.set(field.slice(0, equals), field.slice(equals + 1));
  }
  const timestamp = request.headers.get('x-amz-date') ?? isoFromHttpDate(request.headers.get('date'));
  const credential = fields.get('Credential');
  const signature = fields.get('Signature');
  const signedHeaders = fields.get('SignedHeaders');
  if (!credential || !signature || !signedHeaders || timestamp === undefined) {
    const missing = [
      ...(credential ? [] : ["Authorization header requires 'Credential' parameter."]),
      ...(signature ? [] : ["Authorization header requires 'Signature' parameter."]),
      ...(signedHeaders ? [] : ["Authorization header requires 'SignedHeaders' parameter."]),
      ...(timestamp === undefined
        ? ["Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."]
        : []),
    ];
    throw incomplete(
      `${missing.join(' ')} (Hashed with SHA-256 and encoded with Base64) Authorization=${digest(header)}`,
    );
  }
  checkTimestamp(timestamp);
  const claim = { scope: parseCredential(credential), signedHeaders: splitSignedHeaders(signedHeaders) };
  return headerAuthorization(request, claim, signature, timestamp, query);
}

function headerAuthorization(
  request: HttpRequest,
  { scope, signedHeaders }: Claim,
  signature: string,
  timestamp: string,
  signedQuery: string,
): Authorization {
  return {
    form: 'header',
    scope,
    signedHeaders,
    signature,
    timestamp,
    securityToken: request.headers.get('x-amz-security-token'),
    signedQuery,
  };
}

function parsePresigned(query: string): Authorization {
  const parameters = new URLSearchParams(query);
  const algorithm = parameters.get('X-Amz-Algorithm');
  if (algorithm !== ALGORITHM) {
    throw incomplete(`Unsupported AWS 'algorithm': '${(algorithm ?? '').slice(0, 64)}'.`);
  }
  const required = (name: string): string => {
    const value = parameters.get(name);
    if (!value)
      throw incomplete(
        `AWS query-string parameters must include '${name}'. Re-examine the query-string parameters.`,
      );
    return value;
  };
  const timestamp = required('X-Amz-Date');
  checkTimestamp(timestamp);
  // Services other than S3 take a URL without X-Amz-Expires; it then lives as long as the clock skew allows.
  const expires = parameters.get('X-Amz-Expires');
  const expiresSeconds = expires === null ? undefined : Number(expires);
  if (
    expiresSeconds !== undefined &&
    (!Number.isInteger(expiresSeconds) || expiresSeconds < 0 || expiresSeconds > MAX_EXPIRES_SECONDS)
  ) {
    throw incomplete('X-Amz-Expires must be a number of seconds between 0 and 604800.');
  }
  const signature = required('X-Amz-Signature');
  return {
    form: 'presigned',
    scope: parseCredential(required('X-Amz-Credential')),
    signedHeaders: splitSignedHeaders(required('X-Amz-SignedHeaders')),
    signature,
    timestamp,
    ...(expiresSeconds === undefined ? {} : { expiresSeconds }),
    securityToken: parameters.get('X-Amz-Security-Token') ?? undefined,
    signedQuery: query
      .split('&')
      .filter((pair) => !pair.startsWith('X-Amz-Signature='))
      .join('&'),
  };
}

function parseCredential(credential: string): CredentialScope {
  const parts = credential.split('/');
  const [accessKeyId, day, region, service, term] = parts;
  if (parts.length !== 5 || !accessKeyId || !day || !region || !service) {
    throw incomplete(
      `Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '${credential.slice(0, 256)}'.`,
    );
  }
  if (term !== 'aws4_request') {
    throw new AwsError(
      'InvalidSignatureException',
      `Credential should be scoped with a valid terminator: 'aws4_request', not '${(term ?? '').slice(0, 64)}'.`,
    );
  }
  return { accessKeyId, day, region, service };
}

function splitSignedHeaders(text: string): string[] {
  const names = text.split(';');
  if (names.length > MAX_SIGNED_HEADERS) throw incomplete('Too many SignedHeaders.');
  return names;
}

function checkTimestamp(timestamp: string): void {
  if (!TIMESTAMP.test(timestamp)) {
    throw incomplete(
      `Date must be in ISO-8601 'basic format'. Got '${timestamp.slice(0, 64)}'. See http://en.wikipedia.org/wiki/ISO_8601`,
    );
  }
}

function isoFromHttpDate(date: string | undefined): string | undefined {
  if (date === undefined) return undefined;
  if (TIMESTAMP.test(date)) return date;
  const millis = Date.parse(date);
  return Number.isNaN(millis) ? undefined : formatTimestamp(millis);
}

/** YYYYMMDDTHHMMSSZ of a point in time. */
export function formatTimestamp(millis: number): string {
  return new Date(millis).toISOString().replace(/[-:]|\.\d{3}/g, '');
}

/** Milliseconds since the epoch of YYYYMMDDTHHMMSSZ; NaN when there is no such day. */
export function parseTimestamp(timestamp: string): number {
  const t = timestamp;
  return Date.parse(
    `${t.slice(0, 4)}-${t.slice(4, 6)}-${t.slice(6, 8)}T${t.slice(9, 11)}:${t.slice(11, 13)}:${t.slice(13, 15)}Z`,
  );
}

function incomplete(message: string): AwsError {
  return new AwsError('IncompleteSignatureException', message);
}

/** AWS names a bad header by its hash, so that the signature in it is not repeated. */
function digest(text: string): string {
  return createHash('sha256').update(text).digest('base64');
}
