/**
 * What Cloud KMS, Google's token services and the way to them answer, as data: name → class, code for the API server, advice.
 *
 * Names are, from the most to the least exact: `ErrorInfo.reason` (google.api.ErrorReason), the OAuth error of a token service (RFC 6749
 * §5.2, RFC 8693 §2.2.2), the canonical status (google.rpc.Code), a network or TLS code of Node, the HTTP status.
 * Sources: AIP-193, the Cloud KMS reference, googleapis `error_reason.proto`.
 */
import { bareCause } from '../bare-cause.js';
import { givenUp, KmsPluginError, ProviderError, timedOut, unexpected, type Failure } from '../errors.js';
import {
  denied,
  networkRows,
  throttling,
  unauthenticated,
  unavailable,
  userInduced,
} from './failure-rows.js';

const throttled = throttling(
  'Cloud KMS limits the rate of calls; ask for a higher quota of the project, or call less often.',
);
const notReachable = unavailable(
  'Cloud KMS cannot be reached; check the network, the endpoint and Private Google Access.',
);
const notTrusted = unavailable(
  'The certificate of the endpoint is not trusted; name its CA with NODE_EXTRA_CA_CERTS or check the endpoint.',
);
const busy = unavailable('Cloud KMS has trouble; the call can be tried again.');
const wrongCredentials = unauthenticated(
  'Google does not accept the credentials; check the service account and its key, and the clock of this machine.',
);
const wrongFederation = unauthenticated(
  'Google does not accept the federated identity; check the workload identity pool, its provider and the subject token.',
);
const noPermission = denied(
  'Grant the service account roles/cloudkms.cryptoKeyEncrypterDecrypter on the key.',
);
const apiOff = userInduced('The Cloud KMS API is off in the project; enable cloudkms.googleapis.com.');
const noBilling = userInduced(
  'The project has no billing account, or it is suspended; Cloud KMS needs one that works.',
);
const invalidRequest: Failure = {
  class: 'user-induced',
  code: 'invalid_argument',
  advice: 'Cloud KMS refuses the request; check the name of the key, its purpose and its location.',
};

const garbled: Failure = {
  class: 'internal',
  code: 'internal',
  advice: 'The endpoint does not answer as Cloud KMS; check the endpoint.',
};

export const gcpFailures: ReadonlyMap<string, Failure> = new Map<string, Failure>([
  // ErrorInfo.reason
  ['SERVICE_DISABLED', apiOff],
  ['BILLING_DISABLED', noBilling],
  [
    'CONSUMER_INVALID',
    userInduced('The project does not exist or is being deleted; check it in the name of the key.'),
  ],
  ['CONSUMER_SUSPENDED', userInduced('The project is suspended; see its page in the Cloud console.')],
  ['USER_PROJECT_DENIED', denied('The quota project refuses the service account; check quota_project_id.')],
  ['IAM_PERMISSION_DENIED', noPermission],
  [
    'SECURITY_POLICY_VIOLATED',
    denied('A VPC Service Controls perimeter refuses the call; let the service account in.'),
  ],
  [
    'ORG_RESTRICTION_VIOLATION',
    denied('An organisation policy refuses the call; see the audit log of the project.'),
  ],
  [
    'ACCESS_TOKEN_SCOPE_INSUFFICIENT',
    denied('The token lacks a scope; give the machine cloud-platform or cloudkms.'),
  ],
  ['ACCESS_TOKEN_EXPIRED', unauthenticated('The access token has expired; renew the credentials.')],
  ['CREDENTIALS_MISSING', wrongCredentials],
  ['ACCESS_TOKEN_TYPE_UNSUPPORTED', wrongCredentials],
  ['ACCOUNT_STATE_INVALID', unauthenticated('The service account is disabled or deleted; enable it.')],
  ['RATE_LIMIT_EXCEEDED', throttled],
  ['RESOURCE_QUOTA_EXCEEDED', throttled],
  ['KEY_ROTATION_DISABLED', invalidRequest],

  // Token services
  ['invalid_grant', wrongCredentials],
  ['invalid_client', wrongCredentials],
  ['unauthorized_client', wrongCredentials],
  ['invalid_token', wrongCredentials],
  ['invalid_target', wrongFederation],
  ['invalid_request', wrongFederation],
  ['invalid_scope', wrongCredentials],

  // google.rpc.Code
  ['INVALID_ARGUMENT', invalidRequest],
  ['OUT_OF_RANGE', invalidRequest],
  ['NOT_FOUND', userInduced('The key or its version does not exist; check project, location, ring and key.')],
  ['ALREADY_EXISTS', unexpected],
  ['PERMISSION_DENIED', noPermission],
  ['UNAUTHENTICATED', wrongCredentials],
  [
    'FAILED_PRECONDITION',
    userInduced('The key version is disabled, destroyed or not made yet; enable or restore it in Cloud KMS.'),
  ],
  ['RESOURCE_EXHAUSTED', throttled],
  ['ABORTED', busy],
  ['UNAVAILABLE', busy],
  ['INTERNAL', busy],
  ['UNKNOWN', busy],
  ['DATA_LOSS', busy],
  ['DEADLINE_EXCEEDED', timedOut],
  ['CANCELLED', busy],
  [
    'UNIMPLEMENTED',
    {
      class: 'internal',
      code: 'internal',
      advice: 'The endpoint does not know this call; check that it is Cloud KMS.',
    },
  ],

  // The network
  ...networkRows(notReachable, notTrusted),
  ['ERR_STREAM_PREMATURE_CLOSE', notReachable],
  ['TimeoutError', timedOut],
  ['EPROTO', unavailable('The endpoint does not speak TLS as expected; check its scheme and port.')],
  ['CERT_HAS_EXPIRED', unavailable('The certificate of the endpoint has expired; renew it.')],
  ['AbortError', givenUp],
  ['no-redirect', garbled],

  // HTTP without a body that says more
  ['HTTP 400', invalidRequest],
  ['HTTP 401', wrongCredentials],
  ['HTTP 403', noPermission],
  ['HTTP 404', userInduced('Nobody answers to the name of the key at this endpoint; check both.')],
  ['HTTP 408', timedOut],
  ['HTTP 429', throttled],
]);

export type GcpOperation = 'authenticate' | 'encrypt' | 'decrypt' | 'describe';

const mayNotImpersonate = denied(
  'Grant roles/iam.serviceAccountTokenCreator on the impersonated service account to the identity of the credentials.',
);
const mayNotLook = denied(
  'Grant the service account roles/cloudkms.viewer on the key, so that the plugin can warn before it is destroyed.',
);

/** The same names where they mean something else in what one operation is answered. */
export const gcpOperationFailures: Readonly<Partial<Record<GcpOperation, ReadonlyMap<string, Failure>>>> = {
  authenticate: new Map<string, Failure>([
    ['PERMISSION_DENIED', mayNotImpersonate],
    ['IAM_PERMISSION_DENIED', mayNotImpersonate],
    ['HTTP 403', mayNotImpersonate],
    ['HTTP 400', wrongCredentials],
    ['HTTP 404', wrongCredentials],
  ]),
  decrypt: new Map<string, Failure>([
    [
      'INVALID_ARGUMENT',
      {
        class: 'corrupt',
        code: 'invalid_argument',
        advice: 'The ciphertext is damaged, of another key, or of other additional authenticated data.',
      },
    ],
  ]),
  describe: new Map<string, Failure>([
    ['PERMISSION_DENIED', mayNotLook],
    ['IAM_PERMISSION_DENIED', mayNotLook],
  ]),
};

const noCredentials = unauthenticated(
  'No credentials can be used; give a credentials file, set GOOGLE_APPLICATION_CREDENTIALS, or attach a service account.',
);

const changedOnTheWay = unavailable(
  'A checksum shows that a request or answer was changed on its way; the call can be tried again.',
);

/** An answer that Cloud KMS never gives. */
export function garbledAnswer(problem: string, cause?: unknown): ProviderError {
  return new ProviderError(problem, garbled, causeOf(cause));
}

/** Google's guideline: discard what came, and try a limited number of times. */
export function changedAnswer(field: string): ProviderError {
  return new ProviderError(`checksum of ${field}`, changedOnTheWay);
}

/** Any failure while credentials are found and read. */
export function classifyGcpCredentials(error: unknown): ProviderError {
  const failed = classifyGcp(error, 'authenticate');
  return failed.failure === unexpected || failed.failure === garbled
    ? new ProviderError('no credentials', noCredentials, causeOf(error))
    : failed;
}

/** Any failure of a call. What the client threw holds the request, plaintext and all: only its name and code are kept. */
export function classifyGcp(error: unknown, operation: GcpOperation): ProviderError {
  if (error instanceof ProviderError) return error;
  if (error instanceof KmsPluginError) {
    return new ProviderError(error.code, userInduced(error.message), error);
  }
  if (!(error instanceof Error)) return new ProviderError('internal error', unexpected);
  for (const name of namesOf(error)) {
    const failure = gcpOperationFailures[operation]?.get(name) ?? gcpFailures.get(name);
    if (failure !== undefined) return new ProviderError(name, failure, causeOf(error));
  }
  const status = httpStatusOf(error);
  if (status !== undefined && status >= 500) return new ProviderError(`HTTP ${status}`, busy, causeOf(error));
  if (status !== undefined) return garbledAnswer(`HTTP ${status}`, error);
  if (looksLikeParsing(error)) return garbledAnswer('answer is not of the form of Cloud KMS', error);
  return new ProviderError('internal error', unexpected, causeOf(error));
}

const causeOf = (error: unknown): Error | undefined => bareCause(error, 'the Cloud KMS client');

/** Every name an error goes by, the most exact first. */
function namesOf(error: Error): readonly string[] {
  const names: string[] = [];
  const add = (name: unknown): void => {
    if (typeof name === 'string' && name !== '' && name !== 'Error') names.push(name);
  };
  const status = httpStatusOf(error);
  for (const said of saidBy(error)) {
    add(said);
    for (const detail of arrayOf(fieldOf(said, 'details'))) add(fieldOf(detail, 'reason'));
    add(fieldOf(said, 'status'));
  }
  const ownCode = 'code' in error ? error.code : undefined;
  add(ownCode);
  const causeCode = error.cause instanceof Error && 'code' in error.cause ? error.cause.code : undefined;
  add(causeCode);
  if (error.cause instanceof Error) {
    add(error.cause.name);
    // What node-fetch says when the endpoint wants to send the call elsewhere.
    if ('type' in error.cause && error.cause.type === 'no-redirect') add(error.cause.type);
  }
  add(error.name);
  if (status !== undefined) add(`HTTP ${status}`);
  return names;
}

/** What an answer calls its error, Google's object or the word of a token service, wherever the client has put it. */
function* saidBy(error: Error): Iterable<unknown> {
  if (httpStatusOf(error) === undefined) return;
  yield fieldOf(parseJson(error.message), 'error');
  const response = 'response' in error ? error.response : undefined;
  yield fieldOf(fieldOf(response, 'data'), 'error');
  yield /^Error code ([a-z_]{1,50})/.exec(error.message)?.[1];
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && name in value
    ? (value as Readonly<Record<string, unknown>>)[name]
    : undefined;
}

function arrayOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function httpStatusOf(error: Error): number | undefined {
  return 'status' in error && typeof error.status === 'number' ? error.status : undefined;
}

/** The client's own errors for answers it cannot read. */
function looksLikeParsing(error: Error): boolean {
  return (
    error instanceof SyntaxError ||
    /^(?:Received null|fromProto3JSON|object type|invalid )/.test(error.message)
  );
}
