/**
 * What AWS KMS and the way to it answer, as data: error name → class, code for the API server, advice.
 *
 * Sources: the AWS KMS API reference (errors of Encrypt, Decrypt and DescribeKey, and the common errors), node:net and
 * node:tls error codes.
 */
import { givenUp, KmsPluginError, ProviderError, unexpected, type Failure } from '../errors.js';
import {
  corrupt,
  denied,
  networkRows,
  throttling,
  unauthenticated,
  unavailable,
  userInduced,
} from './failure-rows.js';

const throttled = throttling(
  'The key service limits the rate of calls; ask for a higher quota or call less often.',
);

const notReachable = unavailable(
  'The key service cannot be reached; check the endpoint, the region and the network.',
);
const notTrusted = unavailable(
  'The certificate of the key service is not trusted; check the CA file and the endpoint name.',
);
const wrongCredentials = unauthenticated(
  'The key service does not know these credentials; check the access key and its secret.',
);
const oldCredentials = unauthenticated('The credentials have expired; renew them.');
const noRegion = userInduced('No region is configured; give one, or set AWS_REGION.');
const busy = unavailable('The key service has trouble; the call can be tried again.');
const keyStoreTrouble = unavailable(
  'The custom key store of the key does not work; check its connection in the key service.',
);

export const awsFailures: ReadonlyMap<string, Failure> = new Map<string, Failure>([
  [
    'AccessDeniedException',
    denied('Allow the plugin kms:Encrypt, kms:Decrypt and kms:DescribeKey on the key.'),
  ],
  [
    'NotFoundException',
    userInduced('The key does not exist in this region and account; check its id and the region.'),
  ],
  ['DisabledException', userInduced('The key is disabled; enable it.')],
  [
    'KMSInvalidStateException',
    userInduced('The state of the key forbids this; cancel its deletion, or import its material again.'),
  ],
  [
    'InvalidKeyUsageException',
    userInduced('The key is not one for ENCRYPT_DECRYPT; use a symmetric encryption key.'),
  ],
  ['InvalidArnException', userInduced('The id of the key is not an ARN, key id or alias of the right form.')],
  ['InvalidGrantTokenException', userInduced('The grant token is not valid; make the grant again.')],
  [
    'ValidationException',
    {
      class: 'user-induced',
      code: 'invalid_argument',
      advice: 'The key service refuses the request; check the key id and the encryption context.',
    },
  ],
  [
    'InvalidCiphertextException',
    corrupt('The ciphertext is damaged, of another key service, or of another encryption context.'),
  ],
  [
    'IncorrectKeyException',
    corrupt('The ciphertext was made with another key than it should be opened with.'),
  ],
  ['ThrottlingException', throttled],
  ['Throttling', throttled],
  ['ThrottledException', throttled],
  ['TooManyRequestsException', throttled],
  ['RequestLimitExceeded', throttled],
  ['RequestThrottled', throttled],
  ['RequestThrottledException', throttled],
  ['LimitExceededException', throttled],
  ['SlowDown', throttled],
  ['KeyUnavailableException', busy],
  ['DependencyTimeoutException', busy],
  ['KMSInternalException', busy],
  ['InternalFailure', busy],
  ['ServiceUnavailable', busy],
  ['ServiceUnavailableException', busy],
  ['CloudHsmClusterInvalidConfigurationException', keyStoreTrouble],
  ['CustomKeyStoreInvalidStateException', keyStoreTrouble],
  ['UnrecognizedClientException', wrongCredentials],
  ['InvalidClientTokenId', wrongCredentials],
  ['InvalidSignatureException', wrongCredentials],
  [
    'SignatureDoesNotMatch',
    unauthenticated(
      'The signature is refused; check the secret access key, the region and the clock of this machine.',
    ),
  ],
  ['IncompleteSignature', wrongCredentials],
  ['IncompleteSignatureException', wrongCredentials],
  ['MissingAuthenticationToken', wrongCredentials],
  ['MissingAuthenticationTokenException', wrongCredentials],
  ['NotAuthorized', wrongCredentials],
  ['OptInRequired', denied('The account is not signed up for the key service.')],
  ['ExpiredTokenException', oldCredentials],
  ['ExpiredToken', oldCredentials],
  [
    'RequestExpired',
    unauthenticated('The key service says the request is too old; set the clock of this machine.'),
  ],
  [
    'RequestTimeTooSkewed',
    unauthenticated('The clock of this machine differs from that of the key service; set it.'),
  ],
  [
    'CredentialsProviderError',
    unauthenticated(
      'No credentials were found; set them in the environment, a profile, or the role of the machine.',
    ),
  ],
  ['TokenProviderError', oldCredentials],
  ...networkRows(notReachable, notTrusted),
  ['TimeoutError', notReachable],
  ['EPROTO', unavailable('The endpoint does not speak TLS as expected; check its scheme and port.')],
  ['CERT_HAS_EXPIRED', unavailable('The certificate of the key service has expired; renew it.')],
  ['AbortError', givenUp],
]);

const xksFailure = unavailable(
  'The external key store proxy does not work; check its connection in the key service.',
);

const garbled: Failure = {
  class: 'internal',
  code: 'internal',
  advice: 'The endpoint does not answer as a key service; check the endpoint.',
};

/** An answer that a key service never gives. */
export function garbledAnswer(problem: string, cause?: unknown): ProviderError {
  return new ProviderError(problem, garbled, cause);
}

/**
 * Any failure of a call, classified by its name, its code, or the HTTP status.
 *
 * @param httpStatus of the answer, if there was one
 */
export function classifyAws(error: unknown, httpStatus?: number): ProviderError {
  if (error instanceof ProviderError) return error;
  if (error instanceof KmsPluginError)
    return new ProviderError(error.code, userInduced(error.message), error);
  if (!(error instanceof Error)) return new ProviderError('internal error', unexpected, error);
  // The SDK's own words; it gives this error no name.
  if (error.message === 'Region is missing') return new ProviderError('no region', noRegion, error);
  for (const name of ['code' in error ? error.code : undefined, error.name]) {
    if (typeof name !== 'string') continue;
    const failure = awsFailures.get(name);
    if (failure !== undefined) return new ProviderError(name, failure, error);
    if (name.startsWith('XksProxy')) return new ProviderError('XksProxy', xksFailure, error);
  }
  if (error instanceof SyntaxError) return garbledAnswer('answer is not JSON', error);
  if (httpStatus === 429) return new ProviderError('HTTP 429', throttled, error);
  if (httpStatus !== undefined && httpStatus >= 500)
    return new ProviderError(`HTTP ${httpStatus}`, busy, error);
  if (httpStatus !== undefined && httpStatus >= 300) return garbledAnswer(`HTTP ${httpStatus}`, error);
  return new ProviderError('internal error', unexpected, error);
}
