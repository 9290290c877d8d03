/**
 * The open token of the pkcs11 provider: opened at the first call, again after it was away, and with another PIN after a reload.
 *
 * A PIN that was refused is not sent a second time unless somebody asks for it by a reload: tokens lock after a few.
 */
import { timingSafeEqual } from 'node:crypto';
import type { Pkcs11Module, Token } from '@waxseal/pkcs11';
import { ProviderError } from '../errors.js';
import { isPkcs11Error, pkcs11Failures } from './pkcs11-errors.js';

export interface TokenChoice {
  /** Absolute path of the PKCS#11 library. */
  readonly modulePath: string;
  /** What is given must fit; nothing is needed while the module has exactly one token. */
  readonly tokenLabel?: string | undefined;
  readonly serialNumber?: string | undefined;
  readonly slotId?: number | undefined;
  /** The user's PIN, read whenever the token is opened. The buffer is overwritten. */
  readonly pin: () => Promise<Buffer>;
  /** Sessions of the token at most; 8 by default. */
  readonly maxSessions?: number | undefined;
  /** Longest time one call into the module is waited for; 5000 by default. */
  readonly timeoutMs?: number | undefined;
  /** Loads the library; for tests. */
  readonly openModule?: (path: string) => Promise<Pkcs11Module>;
}

export interface TokenConnection {
  /** The open token; opened when it is not. @throws Pkcs11Error, or what `pin` throws */
  token(): Promise<Token>;
  /** Another login, beside the one in use, whatever became of the PIN before. The caller closes it or adopts it. */
  openAnother(): Promise<Token>;
  /** Uses this token from now on and closes the one before. */
  adopt(token: Token): Promise<void>;
  /** Has the token opened anew by the next call when this failure says that it is lost. */
  failed(token: Token, error: unknown): void;
  close(): Promise<void>;
}

const defaultTimeoutMs = 5000;

export function createTokenConnection(choice: TokenChoice): TokenConnection {
  let current: Token | undefined;
  let opening: Promise<Token> | undefined;
  let refused: { readonly pin: Buffer; readonly error: Error } | undefined;
  let closed = false;

  const open = async (again: boolean): Promise<Token> => {
    const openModule = choice.openModule ?? (await import('@waxseal/pkcs11')).openPkcs11Module;
    const module = await openModule(choice.modulePath);
    const pin = await choice.pin();
    const sent = Buffer.from(pin);
    try {
      if (!again && refused !== undefined && equal(refused.pin, sent)) throw refused.error;
      const token = await module.openToken({
        label: choice.tokenLabel,
        serialNumber: choice.serialNumber,
        slotId: choice.slotId,
        pin,
        maxSessions: choice.maxSessions,
        timeoutMs: choice.timeoutMs ?? defaultTimeoutMs,
      });
      refused?.pin.fill(0);
      refused = undefined;
      return token;
    } catch (error) {
      if (isPkcs11Error(error) && error.code === 'pin-incorrect' && error !== refused?.error) {
        refused?.pin.fill(0);
        refused = { pin: Buffer.from(sent), error };
      }
      throw error;
    } finally {
      pin.fill(0);
      sent.fill(0);
    }
  };

  return {
    token: () => {
      if (current !== undefined) return Promise.resolve(current);
      if (closed) return Promise.reject(closedError());
      opening ??= (async () => {
        try {
          const token = await open(false);
          if (closed) {
            await token.close();
            throw closedError();
          }
          current = token;
          return token;
        } finally {
          opening = undefined;
        }
      })();
      return opening;
    },
    openAnother: () => open(true),
    adopt: async (token) => {
      const before = closed ? token : current;
      if (!closed) current = token;
      await before?.close();
    },
    failed: (token, error) => {
      if (token !== current || !isPkcs11Error(error) || !lost.has(error.code)) return;
      current = undefined;
      void token.close();
    },
    close: async () => {
      closed = true;
      await opening?.catch(() => undefined);
      const last = current;
      current = undefined;
      await last?.close();
      refused?.pin.fill(0);
      refused = undefined;
    },
  };
}

/** After these an open token does not come back by itself. */
const lost: ReadonlySet<string> = new Set(['token-gone', 'pin-incorrect', 'pin-locked', 'closed']);

function equal(one: Buffer, other: Buffer): boolean {
  return one.length === other.length && timingSafeEqual(one, other);
}

function closedError(): ProviderError {
  return new ProviderError('closed', pkcs11Failures.closed);
}
