/**
 * etcd's errors and ours, one table for both directions.
 *
 * etcd answers with a gRPC code and a fixed text, and clients compare the text (etcd API v3, `rpctypes`). The client
 * store reads the table from the text to a StoreErrorCode, the front from a StoreErrorCode to code and text.
 */
import { status, type ServiceError } from '@grpc/grpc-js';
import { StoreError, type StoreErrorCode } from '../store.js';
import { wordsOf } from './connect-failure.js';

/**
 * What a failed call may have done. `refused`: certainly nothing, another endpoint may be asked. `unknown`: a write may
 * or may not have been applied. `final`: nothing, and asking again gives the same answer.
 */
type Outcome = 'refused' | 'unknown' | 'final';

export interface EtcdError {
  readonly grpcCode: status;
  readonly text: string;
  readonly storeCode: StoreErrorCode;
  readonly outcome: Outcome;
}

function entry(
  grpcCode: status,
  text: string,
  storeCode: StoreErrorCode,
  outcome: Outcome = 'final',
): EtcdError {
  return { grpcCode, text: `etcdserver: ${text}`, storeCode, outcome };
}

/** By the name each error has in the front. */
export const etcdErrors = {
  compacted: entry(status.OUT_OF_RANGE, 'mvcc: required revision has been compacted', 'compacted'),
  futureRevision: entry(
    status.OUT_OF_RANGE,
    'mvcc: required revision is a future revision',
    'future-revision',
  ),
  leaseNotFound: entry(status.NOT_FOUND, 'requested lease not found', 'lease-not-found'),
  leaseExists: entry(status.FAILED_PRECONDITION, 'lease already exists', 'lease-exists'),
  keyNotFound: entry(status.INVALID_ARGUMENT, 'key not found', 'key-not-found'),
  duplicateKey: entry(status.INVALID_ARGUMENT, 'duplicate key given in txn request', 'duplicate-key'),
  requestTooLarge: entry(status.INVALID_ARGUMENT, 'request is too large', 'too-large'),
  noSpace: entry(status.RESOURCE_EXHAUSTED, 'mvcc: database space exceeded', 'no-space'),
  stopped: entry(status.UNAVAILABLE, 'server stopped', 'closed', 'unknown'),
  timeout: entry(status.UNAVAILABLE, 'request timed out', 'timeout', 'unknown'),
  unhealthy: entry(status.UNAVAILABLE, 'unhealthy cluster', 'unavailable', 'unknown'),
  corrupt: entry(status.DATA_LOSS, 'corrupt cluster', 'corrupt'),
  authFailed: entry(
    status.INVALID_ARGUMENT,
    'authentication failed, invalid user ID or password',
    'unauthenticated',
  ),
  invalidAuthToken: entry(status.UNAUTHENTICATED, 'invalid auth token', 'unauthenticated', 'refused'),
  authOldRevision: entry(
    status.INVALID_ARGUMENT,
    'revision of auth store is old',
    'unauthenticated',
    'refused',
  ),
  authNotEnabled: entry(status.FAILED_PRECONDITION, 'authentication is not enabled', 'invalid-argument'),
  permissionDenied: entry(status.PERMISSION_DENIED, 'permission denied', 'unauthenticated'),
  userEmpty: entry(status.INVALID_ARGUMENT, 'user name is empty', 'unauthenticated'),
  emptyKey: entry(status.INVALID_ARGUMENT, 'key is not provided', 'invalid-argument'),
  valueProvided: entry(status.INVALID_ARGUMENT, 'value is provided', 'invalid-argument'),
  leaseProvided: entry(status.INVALID_ARGUMENT, 'lease is provided', 'invalid-argument'),
  tooManyOps: entry(status.INVALID_ARGUMENT, 'too many operations in txn request', 'invalid-argument'),
  leaseTtlTooLarge: entry(status.OUT_OF_RANGE, 'too large lease TTL', 'invalid-argument'),
  noLeader: entry(status.UNAVAILABLE, 'no leader', 'unavailable', 'refused'),
  notCapable: entry(status.UNAVAILABLE, 'not capable', 'unavailable', 'refused'),
  learner: entry(status.UNAVAILABLE, 'rpc not supported for learner', 'unavailable', 'refused'),
  tooManyRequests: entry(status.RESOURCE_EXHAUSTED, 'too many requests', 'unavailable', 'refused'),
  notLeader: entry(status.FAILED_PRECONDITION, 'not leader', 'unavailable', 'unknown'),
  leaderChanged: entry(status.UNAVAILABLE, 'leader changed', 'unavailable', 'unknown'),
  leaderFailed: entry(
    status.UNAVAILABLE,
    'request timed out, possibly due to previous leader failure',
    'timeout',
    'unknown',
  ),
  connectionLost: entry(
    status.UNAVAILABLE,
    'request timed out, possibly due to connection lost',
    'timeout',
    'unknown',
  ),
  appliedIndexLate: entry(
    status.UNAVAILABLE,
    'request timed out, waiting for the applied index took too long',
    'timeout',
    'unknown',
  ),
} as const satisfies Readonly<Record<string, EtcdError>>;

const byText: ReadonlyMap<string, EtcdError> = new Map(Object.values(etcdErrors).map((e) => [e.text, e]));

/** The answer the front gives for each code; `invalid-argument` carries the store's own words. */
const byStoreCode: Readonly<Record<StoreErrorCode, EtcdError>> = {
  compacted: etcdErrors.compacted,
  'future-revision': etcdErrors.futureRevision,
  'lease-not-found': etcdErrors.leaseNotFound,
  'lease-exists': etcdErrors.leaseExists,
  'key-not-found': etcdErrors.keyNotFound,
  'duplicate-key': etcdErrors.duplicateKey,
  'invalid-argument': etcdErrors.keyNotFound,
  'too-large': etcdErrors.requestTooLarge,
  'no-space': etcdErrors.noSpace,
  unavailable: etcdErrors.unhealthy,
  timeout: etcdErrors.timeout,
  unauthenticated: etcdErrors.permissionDenied,
  'in-use': etcdErrors.unhealthy,
  corrupt: etcdErrors.corrupt,
  closed: etcdErrors.stopped,
};

/** Errors gRPC itself makes, for texts that are not etcd's. */
const byGrpcCode: Readonly<Partial<Record<status, Omit<EtcdError, 'grpcCode' | 'text'>>>> = {
  [status.CANCELLED]: { storeCode: 'unavailable', outcome: 'unknown' },
  [status.DEADLINE_EXCEEDED]: { storeCode: 'timeout', outcome: 'unknown' },
  [status.UNAVAILABLE]: { storeCode: 'unavailable', outcome: 'unknown' },
  [status.ABORTED]: { storeCode: 'unavailable', outcome: 'unknown' },
  [status.INTERNAL]: { storeCode: 'unavailable', outcome: 'unknown' },
  [status.UNKNOWN]: { storeCode: 'unavailable', outcome: 'unknown' },
  // The only one gRPC makes itself: a message over the receiver's limit.
  [status.RESOURCE_EXHAUSTED]: { storeCode: 'too-large', outcome: 'final' },
  [status.OUT_OF_RANGE]: { storeCode: 'invalid-argument', outcome: 'final' },
  [status.UNAUTHENTICATED]: { storeCode: 'unauthenticated', outcome: 'final' },
  [status.PERMISSION_DENIED]: { storeCode: 'unauthenticated', outcome: 'final' },
  [status.DATA_LOSS]: { storeCode: 'corrupt', outcome: 'final' },
};

/** What etcd (or gRPC) means by an error it answered with. */
export function classify(
  error: Pick<ServiceError, 'code' | 'details'>,
): Omit<EtcdError, 'grpcCode' | 'text'> {
  return (
    byText.get(error.details) ?? byGrpcCode[error.code] ?? { storeCode: 'invalid-argument', outcome: 'final' }
  );
}

/** What etcd means by the reason it gave for cancelling a watch; undefined when the text is not one of its errors. */
export function classifyText(text: string): EtcdError | undefined {
  // A member that refuses a token puts gRPC's own words in front.
  const said = text.replace(/^rpc error: code = \w+ desc = /, '');
  return byText.get(said) ?? byText.get(`etcdserver: ${said}`);
}

/**
 * The StoreError of a failed call.
 * @param endpoint who answered
 * @param write true when the call may have changed something: an unknown outcome is then said to be one
 */
export function toStoreError(error: ServiceError, endpoint: string, write: boolean): StoreError {
  const { storeCode, outcome } = classify(error);
  const advice = adviceOn(error.details, write);
  const said = `etcd at ${endpoint}: ${wordsOf(error)}${advice === undefined ? '' : `. ${advice}`}`;
  const code = storeCode === 'closed' ? 'unavailable' : storeCode;
  if (write && outcome === 'unknown') {
    return new StoreError(
      code,
      `${said}. Whether the change was applied is unknown; read the keys again before repeating it.`,
      { cause: error },
    );
  }
  return new StoreError(code, said, { cause: error });
}

/** True: etcd knows the user, and its roles do not allow the request. */
export function isPermissionDenied(error: unknown): boolean {
  return error instanceof Error && error.message.includes(etcdErrors.permissionDenied.text);
}

/** What to do about errors that etcd names too briefly. */
function adviceOn(text: string, write: boolean): string | undefined {
  switch (text) {
    case etcdErrors.authFailed.text:
      return "Check the user's name and password";
    case etcdErrors.userEmpty.text:
      return 'This etcd wants a user and password, or a client certificate that names a user';
    case etcdErrors.permissionDenied.text:
      return write
        ? 'The user may not write this key: grant one of its roles readwrite on the prefix (etcdctl role grant-permission)'
        : 'The user may not read these keys: grant one of its roles read on the whole prefix (etcdctl role grant-permission)';
    case etcdErrors.noSpace.text:
      return 'Its database has reached its quota: compact (etcdctl compact), defragment every member (etcdctl defrag), then take the alarm away (etcdctl alarm disarm)';
    default:
      return undefined;
  }
}

/** What a gRPC handler of the front passes on. */
export interface GrpcFailure {
  readonly code: status;
  readonly details: string;
}

export function grpcFailure(error: EtcdError): GrpcFailure {
  return { code: error.grpcCode, details: error.text };
}

/** A request the front refuses before it reaches the store. */
export class RefusedRequest extends Error {
  override readonly name = 'RefusedRequest';
  readonly code = 'refused';
  readonly failure: GrpcFailure;
  constructor(failure: GrpcFailure) {
    super(failure.details);
    this.failure = failure;
  }
}

/** The gRPC answer to anything thrown while a request was served. */
export function toGrpcFailure(error: unknown): GrpcFailure {
  if (error instanceof RefusedRequest) return error.failure;
  if (!(error instanceof StoreError)) return { code: status.INTERNAL, details: 'etcdserver: internal error' };
  if (error.code === 'invalid-argument') {
    return { code: status.INVALID_ARGUMENT, details: `etcdserver: ${error.message}` };
  }
  return grpcFailure(byStoreCode[error.code]);
}
