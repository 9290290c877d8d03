/** Logs into a token of the configuration file, for a custom key store. */
import { openPkcs11Module, type Token } from '@waxseal/pkcs11';
import type { TokenConfig } from './token-config.js';

/** An operation of the token, waiting for a session included: callers of the API wait for it. */
const TIMEOUT_MS = 5_000;
const MAX_SESSIONS = 8;
const MAX_WAITING = 256;

/** `pin` is zeroed. @throws Pkcs11Error */
export async function openPkcs11Token(
  { module: path, label, serialNumber }: TokenConfig,
  pin: Buffer,
): Promise<Token> {
  const module = await openPkcs11Module(path);
  const limits = { timeoutMs: TIMEOUT_MS, maxSessions: MAX_SESSIONS, maxWaiting: MAX_WAITING };
  return module.openToken({ label, serialNumber, pin, ...limits });
}
