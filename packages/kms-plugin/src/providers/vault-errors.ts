/**
 * What Vault and OpenBao and the way to them answer, as data: text of the server, HTTP status or error name → class, code for the
 * API server, advice.
 *
 * Sources: the HTTP API documentation (status codes), the messages of the transit secrets engine and of the token store, node:net and
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

/** One value that cannot be opened for a reason an operator can mend; the key itself works. */
const locked = (advice: string): Failure => ({ class: 'corrupt', code: 'failed_precondition', advice });

const damaged = corrupt(
  'The ciphertext is damaged, or was made with another key, context or associated data.',
);
const noKey = userInduced('The transit key does not exist; check its name, the mount and the namespace.');
const noPath = userInduced(
  'Vault has nothing at this path; check the mount, the key name and the namespace.',
);
const notLoggedIn = unauthenticated(
  'Vault does not know the token; check the login, and that it was not revoked.',
);
const wrongRole = unauthenticated(
  'Vault refuses the login; check the role id, the secret id and their expiry.',
);
const wrongCertificate = unauthenticated(
  'Vault refuses the client certificate; check it, its key, its expiry and the role.',
);
const oldVersion = userInduced(
  'The key has been rotated and its older versions may not encrypt; the next key version is being read.',
);
const needsContext = userInduced('The key is a derived one; configure the context it was used with.');
const sealed = unavailable('Vault is sealed; unseal it.');
const standby = unavailable(
  'The Vault node is a standby that does not serve; name the active node or all nodes.',
);
const busy = unavailable('Vault has trouble; the call can be tried again.');
const throttled = throttling('A quota of Vault limits the rate of calls; raise it or call less often.');
const notReachable = unavailable('Vault cannot be reached; check the address and the network.');
const notTrusted = unavailable('The certificate of Vault is not trusted; check the CA file and the address.');
const notAccepted = unavailable('Vault ended the TLS handshake; check the client certificate and its key.');

/** Words of the `errors` of an answer → failure. The first row whose words occur counts. */
export const vaultMessages: ReadonlyMap<string, Failure> = new Map<string, Failure>([
  [
    'ciphertext or signature version is disallowed by policy (too old)',
    locked(
      'The value was made with a version below min_decryption_version of the key; lower it, then rewrite the value.',
    ),
  ],
  [
    'invalid ciphertext: version is too new',
    locked(
      'The value names a version the key does not have; it is of another key, or the key came from an old backup.',
    ),
  ],
  ['invalid ciphertext', damaged],
  ['cipher: message authentication failed', damaged],
  ['message authentication failed', damaged],
  ['failed to RSA decrypt the ciphertext', damaged],
  ['encryption key not found', noKey],
  ['refusing to use soft-deleted key', userInduced('The transit key is soft-deleted; restore it.')],
  ['is less than the minimum encryption key version', oldVersion],
  ['is higher than the latest key version', oldVersion],
  ["missing 'context' for key derivation", needsContext],
  ['context should be set either in all', needsContext],
  [
    'encryption not supported for key type',
    userInduced('The type of the key cannot encrypt; use aes256-gcm96.'),
  ],
  [
    'decryption not supported for key type',
    userInduced('The type of the key cannot decrypt; use aes256-gcm96.'),
  ],
  [
    'provided for non-AEAD cipher suite',
    userInduced('The type of the key takes no associated data; configure none.'),
  ],
  ['invalid role or secret ID', wrongRole],
  ['invalid secret id', wrongRole],
  ['invalid role ID', wrongRole],
  ['missing role_id', wrongRole],
  ['wrapping token is not valid or does not exist', wrongRole],
  ['invalid role name', unauthenticated('The login has no role of this name; check the role and the mount.')],
  [
    'service account name not authorized',
    unauthenticated('The role does not allow this service account; bind it.'),
  ],
  [
    'namespace not authorized',
    unauthenticated('The role does not allow the namespace of the service account; bind it.'),
  ],
  ['client certificate must be supplied', wrongCertificate],
  ['no client certificate supplied', wrongCertificate],
  ['failed to match all constraints', wrongCertificate],
  ['invalid token', notLoggedIn],
  ['bad token', notLoggedIn],
  ['missing client token', notLoggedIn],
  ['token not found', notLoggedIn],
  [
    'permission denied',
    denied(
      'Allow the token update on encrypt/KEY and decrypt/KEY and read on keys/KEY of the transit mount.',
    ),
  ],
  ['no handler for route', noPath],
  ['unsupported path', noPath],
  ['rate limit quota exceeded', throttled],
  ['lease count quota exceeded', throttled],
  ['is sealed', sealed],
  ['local node not active but active cluster node not found', standby],
]);

/** HTTP status → failure, for answers whose words are not in the table. */
export const vaultStatuses: ReadonlyMap<number, Failure> = new Map<number, Failure>([
  [
    400,
    {
      class: 'user-induced',
      code: 'invalid_argument',
      advice: 'Vault refuses the request; check key, mount and context.',
    },
  ],
  [401, notLoggedIn],
  [403, denied('Vault or a proxy before it refuses the token; check its policy and the namespace.')],
  [404, noPath],
  [405, noPath],
  [412, unavailable('The Vault node has not caught up with the others yet; the call can be tried again.')],
  [413, userInduced('The request is larger than the Vault listener allows; raise max_request_size.')],
  [429, throttled],
  [472, standby],
  [473, standby],
  [500, busy],
  [501, unavailable('Vault is not initialised; initialise and unseal it.')],
  [502, busy],
  [503, unavailable('Vault is sealed or in maintenance; check its status.')],
  [504, busy],
]);

/** Error code of node:net, node:tls and friends → failure. */
export const vaultFaults: ReadonlyMap<string, Failure> = new Map<string, Failure>([
  ...networkRows(notReachable, notTrusted),
  ['HPE_INVALID_CONSTANT', unavailable('The address does not speak HTTP; check its port.')],
  ['EPROTO', unavailable('The address does not speak TLS as expected; check its scheme and port.')],
  ['ERR_SSL_WRONG_VERSION_NUMBER', unavailable('The address does not speak TLS; check its scheme and port.')],
  ['CERT_HAS_EXPIRED', unavailable('The certificate of Vault has expired; renew it.')],
  [
    'CERT_NOT_YET_VALID',
    unavailable('The certificate of Vault is not valid yet; set the clock of this machine.'),
  ],
  ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', notAccepted],
  ['ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', notAccepted],
  ['ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE', notAccepted],
  ['ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE', notAccepted],
  ['AbortError', givenUp],
  ['ABORT_ERR', givenUp],
]);

/** Failures the provider finds itself. */
export const vaultFindings = {
  garbled: {
    class: 'internal',
    code: 'internal',
    advice: 'The address does not answer as Vault; check the address.',
  },
  otherVersion: {
    class: 'internal',
    code: 'internal',
    advice: 'Vault used another version of the key than it was asked to; check the address.',
  },
  strangeRedirect: userInduced(
    'Vault redirects to a host that is not among the addresses; name all nodes, or let standbys forward.',
  ),
  gone: noKey,
  unnamedBao: locked(
    'The value was written by bao-kms-provider; configure the names it used (baoKmsProvider).',
  ),
  alteredBao: corrupt(
    'The annotations of the value do not fit it; they were altered or are of a newer bao-kms-provider.',
  ),
  noToken: unauthenticated(
    'The login gave no token; check the method, its mount and whether it asks for a second factor.',
  ),
  tooSoon: unavailable('The token ended within a second of its login; lengthen its TTL.'),
  closed: unavailable('The plugin is being stopped.'),
} as const satisfies Readonly<Record<string, Failure>>;

/** An answer that Vault never gives. */
export function garbledVaultAnswer(problem: string, cause?: unknown): ProviderError {
  return new ProviderError(problem, vaultFindings.garbled, cause);
}

/**
 * An answer that says no. The server's own words are looked up, never shown: they may hold anything.
 *
 * @param status of HTTP, not 2xx
 * @param messages the `errors` of the body
 */
export function classifyVaultAnswer(status: number, messages: readonly string[]): ProviderError {
  const said = messages.join('\n').toLowerCase();
  for (const [words, failure] of vaultMessages) {
    if (said.includes(words.toLowerCase())) return new ProviderError(`HTTP ${status} ${words}`, failure);
  }
  const failure = vaultStatuses.get(status);
  if (failure !== undefined) return new ProviderError(`HTTP ${status}`, failure);
  if (status > 500) return new ProviderError(`HTTP ${status}`, busy);
  return garbledVaultAnswer(`HTTP ${status}`);
}

/** Whatever a call ended with instead of an answer. */
export function classifyVaultFault(error: unknown): ProviderError {
  if (error instanceof ProviderError) return error;
  if (error instanceof KmsPluginError)
    return new ProviderError(error.code, userInduced(error.message), error);
  if (!(error instanceof Error)) return new ProviderError('internal error', unexpected, error);
  for (const name of ['code' in error ? error.code : undefined, error.name]) {
    if (typeof name !== 'string') continue;
    const failure = vaultFaults.get(name);
    if (failure !== undefined) return new ProviderError(name, failure, error);
    if (name.startsWith('ERR_SSL_')) return new ProviderError(name, notAccepted, error);
    if (name.startsWith('HPE_')) return garbledVaultAnswer('answer is not HTTP', error);
  }
  return new ProviderError('internal error', unexpected, error);
}
