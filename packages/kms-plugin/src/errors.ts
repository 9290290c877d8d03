/**
 * The errors of this package: what is wrong with how the plugin was set up, and what a key backend answered.
 */
import type { KmsApiErrorCode } from '@waxseal/kms-api';

/**
 * - `invalid_options`: an option cannot be used
 * - `keyring_unreadable`, `keyring_invalid`, `keyring_not_private`, `keyring_exists`: the local provider's file
 * - `keyring_passphrase_missing`, `keyring_passphrase_wrong`: that file is encrypted
 * - `credentials_invalid`: the credentials file cannot be used
 * - `recovery_failed`: a stored value cannot be opened with the identity given
 * - `config_unreadable`, `config_invalid`: the configuration file
 * - `health_listen_failed`: the health port cannot be listened on
 * - `no_plugin`: nothing that speaks the KMS contract answers on a socket
 * - `contract_broken`: a plugin under test did what the KMS contract forbids
 * - `provider_failed`: the key backend did not do what it was asked; `ProviderError` says why
 */
export type KmsPluginErrorCode =
  | 'invalid_options'
  | 'keyring_unreadable'
  | 'keyring_invalid'
  | 'keyring_not_private'
  | 'keyring_exists'
  | 'keyring_passphrase_missing'
  | 'keyring_passphrase_wrong'
  | 'credentials_invalid'
  | 'recovery_failed'
  | 'config_unreadable'
  | 'config_invalid'
  | 'health_listen_failed'
  | 'no_plugin'
  | 'contract_broken'
  | 'provider_failed';

/** Messages say what to do and are safe to show: no plaintext, no key material, no credentials. */
export class KmsPluginError extends Error {
  override readonly name: string = 'KmsPluginError';
  readonly code: KmsPluginErrorCode;

  constructor(code: KmsPluginErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}

/**
 * What kind of trouble a failure is; also its label in metrics.
 *
 * - `user-induced`: the key or the configuration is not as it must be; an operator has to act
 * - `denied`: the backend refuses the plugin's identity or its permission
 * - `throttled`: too many calls; trying again later helps
 * - `unavailable`: the backend cannot be reached or does not answer; trying again later helps
 * - `corrupt`: this ciphertext cannot be opened; nothing is wrong with the key
 * - `cancelled`: the caller gave up; nothing is known about the key
 * - `internal`: the backend answered what it must not
 */
export type FailureClass =
  'user-induced' | 'denied' | 'throttled' | 'unavailable' | 'corrupt' | 'cancelled' | 'internal';

/** One row of a provider's error table. */
export interface Failure {
  readonly class: FailureClass;
  /** What the API server is answered. */
  readonly code: KmsApiErrorCode;
  /** What an operator does about it, one sentence; shown in `Status.healthz`, logs and errors. */
  readonly advice: string;
}

export class ProviderError extends KmsPluginError {
  override readonly name = 'ProviderError';
  readonly failure: Failure;
  /** The backend's own name of the failure, e.g. `AccessDeniedException` or `ECONNREFUSED`. */
  readonly reason: string;

  constructor(reason: string, failure: Failure, cause?: unknown) {
    super('provider_failed', `${reason}: ${failure.advice}`, cause);
    this.reason = reason;
    this.failure = failure;
  }
}

export const unopenable: Failure = {
  class: 'corrupt',
  code: 'invalid_argument',
  advice: 'The ciphertext cannot be decrypted; it is damaged or was made by another plugin or key.',
};

export const timedOut: Failure = {
  class: 'unavailable',
  code: 'deadline_exceeded',
  advice: 'The key backend did not answer in time; check that it is reachable and not overloaded.',
};

export const tooImpatient: Failure = {
  class: 'cancelled',
  code: 'deadline_exceeded',
  advice:
    'The caller waits too short a time for any answer of the key backend; raise the timeout of its KMS provider.',
};

export const overloaded: Failure = {
  class: 'throttled',
  code: 'resource_exhausted',
  advice:
    'The plugin has more calls for this key than it may make; raise its limits or ask why the backend is slow.',
};

export const givenUp: Failure = { class: 'cancelled', code: 'cancelled', advice: 'The caller gave up.' };

export const unexpected: Failure = {
  class: 'internal',
  code: 'internal',
  advice: 'The plugin met an error it does not know; its log says more.',
};

/** True when the failure says something about the key or the backend, and not about one call. */
export function concernsKey(failure: Failure): boolean {
  return concern[failure.class];
}

const concern: Readonly<Record<FailureClass, boolean>> = {
  'user-induced': true,
  denied: true,
  unavailable: true,
  internal: true,
  // Too many calls at once say nothing against the key, and an unhealthy answer would stop all writes.
  throttled: false,
  corrupt: false,
  cancelled: false,
};

/** Where a stranger's error comes from: its name, code and stack, without its message, which may hold anything. */
export function placeOf(error: unknown): string {
  if (!(error instanceof Error)) return typeof error;
  const code = 'code' in error && typeof error.code === 'string' ? ` (${error.code})` : '';
  const frames = (error.stack ?? '').split('\n').filter((line) => /^ {4}at .*:\d+:\d+\)?$/.test(line));
  return [`${error.constructor.name}${code}`, ...frames.slice(0, 5).map((line) => line.trim())].join(' ');
}

/** Any thrown value as a ProviderError; strangers become `internal` and keep their message to themselves. */
export function toProviderError(error: unknown): ProviderError {
  return error instanceof ProviderError ? error : new ProviderError('internal error', unexpected, error);
}
