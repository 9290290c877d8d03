/**
 * What Azure Key Vault, Microsoft Entra ID and the way to them answer, as data: error name → class, code for the API
 * server, advice.
 *
 * Sources: Azure Key Vault REST API error codes and throttling guidance, the reference of Encrypt, Decrypt and Get Key;
 * the errors of @azure/identity; node:net and node:tls error codes.
 */
import { bareCause } from '../bare-cause.js';
import { givenUp, KmsPluginError, ProviderError, unexpected, unopenable, type Failure } from '../errors.js';
import {
  denied,
  networkRows,
  throttling,
  unauthenticated,
  unavailable,
  userInduced,
} from './failure-rows.js';

const throttled = throttling(
  'The vault limits the rate of calls; spread them over vaults, or use a managed HSM.',
);
const notPermitted = denied(
  'Allow the identity encrypt, decrypt and get on keys: an access policy, or the role Key Vault Crypto User.',
);
const firewalled = denied(
  'The firewall of the vault refuses this address; add it, or use a private endpoint.',
);
const notReachable = unavailable('The vault cannot be reached; check its name, the cloud and the network.');
const notTrusted = unavailable(
  'The certificate of the vault is not trusted; check the CA file and the name of the vault.',
);
const busy = unavailable('The vault has trouble; the call can be tried again.');
const noCredentials = unauthenticated(
  'No credentials were found; give the machine an identity, or name a client id with its secret or certificate.',
);
const wrongCredentials = unauthenticated(
  'The directory refuses the credentials; check tenant, client id, and that the secret or certificate is valid.',
);
const wrongToken = unauthenticated(
  'The vault refuses the token; check the tenant and the cloud of the vault.',
);
const directoryBusy = unavailable('The directory has trouble; the call can be tried again.');
const deletedKey = userInduced('The key is deleted; recover it before its purge date.');
const missingKey = userInduced(
  'The key or its version does not exist in this vault, or is deleted; check name and version, or recover it.',
);
export const keyDisabled = userInduced('The version of the key is disabled; enable it.');
const badRequest = userInduced(
  'The vault refuses the request; check that the algorithm fits the type of the key.',
);

/** Names of the vault's inner error count before those of the outer one. */
export const azureFailures: ReadonlyMap<string, Failure> = new Map<string, Failure>([
  ['AccessDenied', notPermitted],
  ['Forbidden', notPermitted],
  ['ForbiddenByPolicy', notPermitted],
  ['ForbiddenByRbac', notPermitted],
  ['ForbiddenByFirewall', firewalled],
  ['ForbiddenByConnection', firewalled],
  ['KeyDisabled', keyDisabled],
  ['KeyExpired', userInduced('The version of the key has expired; make a new one, or move its expiry date.')],
  [
    'KeyNotYetValid',
    userInduced('The version of the key is not valid yet; wait, or move its activation date.'),
  ],
  [
    'KeyOperationNotPermitted',
    userInduced('The key does not permit the operation; allow encrypt and decrypt among its key operations.'),
  ],
  ['KeyNotFound', missingKey],
  ['ObjectIsDeletedButRecoverable', deletedKey],
  ['ObjectIsBeingDeleted', deletedKey],
  ['ObjectIsBeingRecovered', unavailable('The key is being recovered; the call can be tried again.')],
  ['VaultNotFound', userInduced('The vault does not exist; check its name and the cloud.')],
  ['Conflict', unavailable('The vault is busy with this key; the call can be tried again.')],
  ['BadParameter', badRequest],
  ['Unauthorized', wrongToken],
  ['Throttled', throttled],
  ['TooManyRequests', throttled],
  ['InternalServerError', busy],
  ['ServiceUnavailable', busy],
  ['CredentialUnavailableError', noCredentials],
  ['AggregateAuthenticationError', noCredentials],
  ['AuthenticationError', wrongCredentials],
  ['AuthenticationRequiredError', wrongCredentials],
  [
    'invalid_client',
    unauthenticated('The directory refuses the client secret or certificate; it is wrong or has expired.'),
  ],
  [
    'unauthorized_client',
    unauthenticated('The directory does not know the client id in this tenant; check both.'),
  ],
  ['invalid_request', wrongCredentials],
  ...networkRows(notReachable, notTrusted),
  ['ESOCKETTIMEDOUT', notReachable],
  ['ENOENT', notReachable],
  ['REQUEST_SEND_ERROR', notReachable],
  ['network_error', unavailable('The directory cannot be reached; check the network and the cloud.')],
  [
    'endpoints_resolution_error',
    unavailable('The directory cannot be reached; check the network, the tenant and the cloud.'),
  ],
  ['EPROTO', unavailable('The endpoint does not speak TLS as expected; check the name of the vault.')],
  ['CERT_SIGNATURE_FAILURE', notTrusted],
  ['CERT_UNTRUSTED', notTrusted],
  [
    'CERT_HAS_EXPIRED',
    unavailable('The certificate of the vault has expired; check the clock and the vault.'),
  ],
  [
    'CERT_NOT_YET_VALID',
    unavailable('The certificate of the vault is not valid yet; set the clock of this machine.'),
  ],
  ['AbortError', givenUp],
]);

const garbled: Failure = {
  class: 'internal',
  code: 'internal',
  advice: 'The endpoint does not answer as a key vault; check the URL of the key.',
};

const foreignChallenge = userInduced(
  'The endpoint asks for a token of another service; check the URL of the key and the cloud.',
);

const source = "Azure's client";

/** An answer that a key vault never gives. */
export function garbledAnswer(problem: string, cause?: unknown): ProviderError {
  return new ProviderError(problem, garbled, bareCause(cause, source));
}

/** What is being done: a ciphertext that the vault calls a bad parameter is damaged, a plaintext is not. */
export type AzureOperation = 'encrypt' | 'decrypt' | 'describe';

/** Any failure of a call, classified by the names in it, then by the HTTP status. */
export function classifyAzure(error: unknown, operation: AzureOperation): ProviderError {
  if (error instanceof ProviderError) return error;
  if (error instanceof KmsPluginError) {
    return new ProviderError(error.code, userInduced(error.message), error);
  }
  if (!(error instanceof Error)) return new ProviderError('internal error', unexpected);
  const status = statusOf(error);
  const cause = bareCause(error, source);
  for (const name of namesOf(error)) {
    if (operation === 'decrypt' && name === 'BadParameter') return new ProviderError(name, unopenable, cause);
    const failure = azureFailures.get(name);
    if (failure?.class === 'denied' && status !== undefined && status >= 500) {
      return new ProviderError(name, directoryBusy, cause);
    }
    if (failure !== undefined) return new ProviderError(name, failure, cause);
    if (name === 'PARSE_ERROR') return garbledAnswer('answer cannot be read', error);
  }
  // The SDK's own words; it gives these errors no name.
  if (error.message.startsWith('The challenge ')) {
    return new ProviderError('foreign challenge', foreignChallenge, cause);
  }
  const failure = status === undefined ? undefined : failureOfStatus(status, operation);
  if (failure !== undefined) return new ProviderError(`HTTP ${String(status)}`, failure, cause);
  if (error instanceof SyntaxError || error instanceof TypeError) {
    return garbledAnswer('answer has another form', error);
  }
  return status === undefined
    ? new ProviderError('internal error', unexpected, cause)
    : garbledAnswer(`HTTP ${status}`, error);
}

function failureOfStatus(status: number, operation: AzureOperation): Failure | undefined {
  if (status === 400) return operation === 'decrypt' ? unopenable : badRequest;
  if (status === 401) return wrongToken;
  if (status === 403) return notPermitted;
  if (status === 404) return missingKey;
  if (status === 429) return throttled;
  if (status === 408 || status >= 500) return busy;
  return undefined;
}

function statusOf(error: Error): number | undefined {
  return 'statusCode' in error && typeof error.statusCode === 'number' ? error.statusCode : undefined;
}

const causesMax = 5;

/** Every name in an error, the most telling first: what lies beneath it, then its details, then its own. */
function namesOf(error: Error): readonly string[] {
  const names: string[] = [];
  const chain: Error[] = [];
  for (
    let one: unknown = error;
    one instanceof Error && chain.length < causesMax;
    one = 'cause' in one ? one.cause : undefined
  ) {
    chain.push(one);
  }
  for (const one of chain.toReversed()) {
    names.push(...innerNames('details' in one ? one.details : undefined));
    names.push(...stringsOf('errorResponse' in one ? one.errorResponse : undefined, ['error']));
    // The library of the directory hides the name of what failed at the start of its message.
    const hidden = /^([a-z]+(?:_[a-z]+)+):/.exec(one.message)?.[1];
    if (hidden !== undefined) names.push(hidden);
    names.push(...stringsOf(one, ['code', 'errorCode', 'name']));
  }
  return names;
}

/** The codes of `{error: {code, innerError: {code, …}}}`, the innermost first. */
function innerNames(details: unknown): readonly string[] {
  const names: string[] = [];
  let one = fieldOf(details, 'error');
  for (let depth = 0; depth < causesMax && typeof one === 'object' && one !== null; depth++) {
    names.unshift(...stringsOf(one, ['code']));
    one = fieldOf(one, 'innerError') ?? fieldOf(one, 'innererror');
  }
  return names;
}

function stringsOf(value: unknown, fields: readonly string[]): readonly string[] {
  return fields.map((field) => fieldOf(value, field)).filter((field) => typeof field === 'string');
}

function fieldOf(value: unknown, field: string): unknown {
  return typeof value === 'object' && value !== null && field in value
    ? (value as Readonly<Record<string, unknown>>)[field]
    : undefined;
}
