/**
 * The token the provider calls with: got by one login at a time, renewed before it ends, got anew when Vault refuses it.
 *
 * No more than one login a second, and none for a minute when a fresh token is refused as well: then it is the policy that lacks
 * something, and every login would leave a lease behind.
 */
import type { Clock } from '../clock.js';
import { withDeadline } from '../deadline.js';
import { ProviderError, givenUp, timedOut } from '../errors.js';
import { classifyVaultFault, vaultFindings } from './vault-errors.js';
import type { VaultAnswer, VaultHttp, VaultRequest } from './vault-http.js';
import { renewVaultToken, type VaultGrant, type VaultLogin } from './vault-logins.js';

export interface VaultSession {
  /**
   * A call with the token; once more with another one when it is refused.
   *
   * @param mayLack what the token may lack the permission for: only a token that is unknown to Vault is replaced
   * @throws ProviderError
   */
  call(request: Omit<VaultRequest, 'token'>, signal: AbortSignal, mayLack?: boolean): Promise<VaultAnswer>;
  /**
   * Logs in anew.
   *
   * @throws ProviderError; then the old token stays
   */
  reload(): Promise<void>;
  close(): void;
}

export interface VaultSessionOptions {
  readonly http: VaultHttp;
  readonly login: VaultLogin;
  readonly clock: Clock;
  /** Longest time a login or a renewal may take. */
  readonly timeoutMs: number;
  /** How often a token that somebody else renews is read again; never by default. */
  readonly rereadMs?: number;
}

const loginIntervalMs = 1000;
const helplessMs = 60_000;
const renewalMinMs = 1000;
/** Timers reach no further than 24 days; a look a day costs nothing. */
const renewalMaxMs = 86_400_000;
/** The part of a lease after which it is renewed, as Vault's own clients do. */
const renewalPart = 2 / 3;

interface Held extends VaultGrant {
  readonly expiresAtMs: number;
  /** The lease when the token was first seen. */
  readonly firstLeaseMs: number;
  /** A renewal gave much less than the first lease: the token nears the end of its life. */
  readonly spent: boolean;
}

export function createVaultSession(options: VaultSessionOptions): VaultSession {
  const { http, login, clock, timeoutMs } = options;
  let held: Held | undefined;
  let loggingIn: Promise<Held> | undefined;
  let lastLoginMs = Number.NEGATIVE_INFINITY;
  let lastFailure: ProviderError | undefined;
  let helplessUntilMs = Number.NEGATIVE_INFINITY;
  let cancelTimer = (): void => {};
  let closed = false;

  const bounded = <T>(run: (signal: AbortSignal) => Promise<T>): Promise<T> =>
    withDeadline(clock, { timeoutMs, failure: timedOut }, undefined, (signal) =>
      run(signal).catch((error: unknown) => {
        throw classifyVaultFault(error);
      }),
    );

  const hold = (grant: VaultGrant, renewed: boolean): Held => {
    const leaseMs = grant.leaseMs ?? Infinity;
    const firstLeaseMs = held?.token === grant.token ? held.firstLeaseMs : leaseMs;
    const spent = renewed && leaseMs < firstLeaseMs / 2;
    held = { ...grant, expiresAtMs: clock.nowMs() + leaseMs, firstLeaseMs, spent };
    arm(held);
    return held;
  };
  /** Time until the token should be renewed. */
  const dueInMs = (of: Held): number =>
    of.leaseMs === undefined
      ? Infinity
      : of.expiresAtMs - clock.nowMs() - of.firstLeaseMs * (1 - renewalPart);
  const arm = (of: Held): void => {
    cancelTimer();
    const nextMs = Math.min(dueInMs(of), options.rereadMs ?? Infinity);
    if (closed || nextMs === Infinity) return;
    cancelTimer = clock.after(Math.min(Math.max(nextMs, renewalMinMs), renewalMaxMs), tend);
  };

  const logIn = async (): Promise<Held> => {
    lastLoginMs = clock.nowMs();
    try {
      const grant = await bounded((signal) => login(http, signal));
      lastFailure = undefined;
      return hold(grant, false);
    } catch (error) {
      lastFailure = error as ProviderError;
      throw error;
    } finally {
      loggingIn = undefined;
    }
  };
  const valid = (): Held | undefined =>
    held !== undefined && clock.nowMs() < held.expiresAtMs ? held : undefined;
  const loggedIn = (): Promise<Held> => {
    if (loggingIn !== undefined) return loggingIn;
    if (clock.nowMs() - lastLoginMs >= loginIntervalMs) return (loggingIn = logIn());
    const fresh = lastFailure === undefined ? valid() : undefined;
    return fresh === undefined
      ? Promise.reject(lastFailure ?? new ProviderError('login too soon', vaultFindings.tooSoon))
      : Promise.resolve(fresh);
  };

  /** Before a lease ends: renews it, or else logs in; whatever fails is tried again until the end. */
  const keepUp = async (): Promise<void> => {
    const old = held;
    if (old === undefined) return;
    const due = dueInMs(old) <= renewalMinMs;
    if (!due && options.rereadMs === undefined) {
      arm(old);
      return;
    }
    try {
      if (old.renewable && due && !old.spent) {
        const renewed = await bounded((signal) => renewVaultToken(http, old.token, signal));
        if (held === old) hold(renewed, true);
        return;
      }
    } catch {
      // A login may still succeed; if not, the next call says why.
    }
    if (closed || held !== old) return;
    try {
      await loggedIn();
    } catch {
      if (closed || held !== old) return;
      const remainingMs = Math.min(old.expiresAtMs - clock.nowMs(), helplessMs);
      if (remainingMs > 0) cancelTimer = clock.after(Math.max(remainingMs / 2, renewalMinMs), tend);
    }
  };
  const tend = (): void => {
    if (!closed) void keepUp();
  };

  const current = (signal: AbortSignal): Promise<Held> | Held => valid() ?? orAborted(loggedIn(), signal);

  /** Whether a call may be tried again with another token than this one. */
  const replaceable = (refused: Held, failure: ProviderError): boolean => {
    if (held !== refused) return true;
    const nowMs = clock.nowMs();
    if (nowMs < helplessUntilMs || nowMs - lastLoginMs < loginIntervalMs) return false;
    held = undefined;
    lastFailure = failure;
    return true;
  };

  return {
    call: async (request, signal, mayLack = false) => {
      const first = await current(signal);
      try {
        return await http.call({ ...request, token: first.token }, signal);
      } catch (error) {
        const failed = classifyVaultFault(error);
        const refused = mayLack
          ? failed.failure.code === 'unauthenticated'
          : failed.failure.class === 'denied';
        if (!refused || !replaceable(first, failed)) throw failed;
      }
      const second = await current(signal);
      try {
        return await http.call({ ...request, token: second.token }, signal);
      } catch (error) {
        const failed = classifyVaultFault(error);
        if (failed.failure.class === 'denied') helplessUntilMs = clock.nowMs() + helplessMs;
        throw failed;
      }
    },
    reload: async () => {
      helplessUntilMs = Number.NEGATIVE_INFINITY;
      await loggedIn();
    },
    close: () => {
      closed = true;
      cancelTimer();
      held = undefined;
    },
  };
}

/** A login serves many calls: one that gives up leaves it to the others. */
function orAborted<T>(shared: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      reject(new ProviderError('cancelled', givenUp));
    };
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    void shared.then(resolve, reject).finally(() => {
      signal.removeEventListener('abort', onAbort);
    });
  });
}
