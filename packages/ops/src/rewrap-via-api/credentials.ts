/**
 * Who we are to an API server, now: what the kubeconfig holds, a token in a file that somebody else renews, or what a program gives. A run of hours
 * outlives most tokens.
 */
import { readFileSync } from 'node:fs';
import type { Clock } from '@waxseal/encryption-config';
import { errorMessage } from '@waxseal/envelope';
import { OpsError } from '../errors.js';
import { type ExecCredential, runExecPlugin } from './exec-credential.js';
import type { ApiServerAccess } from './kubeconfig.js';

export interface Credential {
  readonly token?: string;
  /** PEM client certificate and its key; both or neither. */
  readonly cert?: Buffer;
  readonly key?: Buffer;
}

export interface Credentials {
  /** The same object as long as it is the same credential. @throws OpsError source-unreadable */
  current(): Promise<Credential>;
  /** The server refuses it. @returns false when there is no other to try */
  renew(refused: Credential): Promise<boolean>;
}

/** As client-go: the kubelet renews mounted tokens long before they end. */
const TOKEN_FILE_MS = 60_000;
/** What is under way shall arrive in time. */
const EARLY_MS = 10_000;

export function createCredentials(
  { token, cert, key, tokenFile, exec }: ApiServerAccess,
  clock: Clock,
  signal: AbortSignal,
): Credentials {
  const certificate = { ...(cert && { cert }), ...(key && { key }) };
  if (exec !== undefined) {
    const terminal = process.stdin.isTTY;
    return renewing(async () => runExecPlugin(exec, terminal, clock, signal), clock);
  }
  if (tokenFile !== undefined) {
    return renewing(async () => {
      const expiresMs = clock.nowMs() + EARLY_MS + TOKEN_FILE_MS;
      return { ...certificate, token: readToken(tokenFile), expiresMs };
    }, clock);
  }
  const fixed: Credential = { ...certificate, ...(token === undefined ? {} : { token }) };
  return { current: async () => fixed, renew: async () => false };
}

/** Made when it is needed first, again when it has expired or was refused, and once for all who ask meanwhile. */
function renewing(make: () => Promise<ExecCredential>, clock: Clock): Credentials {
  let known: ExecCredential | undefined;
  let making: Promise<ExecCredential> | undefined;
  const makeOnce = (): Promise<ExecCredential> => {
    making ??= make()
      .then((made) => (known = made))
      .finally(() => (making = undefined));
    return making;
  };
  return {
    async current() {
      const fresh = known?.expiresMs === undefined || clock.nowMs() < known.expiresMs - EARLY_MS;
      return known !== undefined && fresh ? known : makeOnce();
    },
    async renew(refused) {
      // Somebody else was refused, too, and did it.
      if (known !== refused) return true;
      const { token, cert } = await makeOnce();
      return token !== refused.token || cert?.toString() !== refused.cert?.toString();
    },
  };
}

function readToken(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (error) {
    throw new OpsError('source-unreadable', `the token cannot be read: ${errorMessage(error)}`, error);
  }
}
