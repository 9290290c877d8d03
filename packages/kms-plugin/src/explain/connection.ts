/**
 * The way to a key backend, tried without its protocol: name, connection, TLS, and the clock that the answer tells. What fails here fails
 * in every call, and less plainly.
 */
import { readFile } from 'node:fs/promises';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';

export type ConnectionTrial =
  | {
      readonly kind: 'answers';
      /** How far this machine's clock is ahead of the backend's; the backend tells whole seconds. Undefined when it tells no time. */
      readonly clockAheadMs: number | undefined;
    }
  | { readonly kind: 'fails'; readonly code: string; readonly sentence: string };

/** One sentence for each way in which a connection fails; `at` is `host:port`. */
const sentences: Readonly<Record<string, (at: string) => string>> = {
  ENOTFOUND: (at) => `The name of ${at} is not known; check its spelling and DNS.`,
  EAI_AGAIN: (at) => `DNS does not answer for ${at}; check the resolver of this machine.`,
  ECONNREFUSED: (at) => `Nothing listens at ${at}; check the port, and that the service runs.`,
  EHOSTUNREACH: (at) => `There is no way to ${at}; check routes and firewalls.`,
  ENETUNREACH: (at) => `There is no way to ${at}; check routes and firewalls.`,
  ETIMEDOUT: (at) => `${at} does not answer; check firewalls, and the proxy or private endpoint it needs.`,
  ECONNRESET: (at) =>
    `${at} ends the connection; check that it is the right port, and no proxy is in between.`,
  EPROTO: (at) => `${at} does not speak TLS as expected; check scheme and port.`,
  CERT_HAS_EXPIRED: (at) =>
    `The certificate of ${at} has expired; renew it, or set the clock of this machine.`,
  CERT_NOT_YET_VALID: (at) => `The certificate of ${at} is not valid yet; set the clock of this machine.`,
  ERR_TLS_CERT_ALTNAME_INVALID: (at) => `The certificate of ${at} is for another name; use the name it has.`,
  ENOENT: () => 'The CA file does not exist; check its path.',
  EACCES: () => 'The CA file may not be read; check its permissions.',
};

const untrusted: readonly string[] = [
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
];

/** @param nowMs milliseconds since 1970 */
export async function tryConnection(
  url: string,
  caFile: string | undefined,
  timeoutMs: number,
  nowMs: () => number,
): Promise<ConnectionTrial> {
  if (!URL.canParse(url)) return { kind: 'fails', code: 'ERR_INVALID_URL', sentence: `"${url}" is no URL.` };
  const target = new URL(url);
  const at = `${target.hostname}:${target.port || (target.protocol === 'http:' ? 80 : 443)}`;
  try {
    const ca = caFile === undefined ? undefined : await readFile(caFile);
    const date = await dateOf(target, ca, timeoutMs);
    const toldMs = date === undefined ? Number.NaN : Date.parse(date);
    return { kind: 'answers', clockAheadMs: Number.isNaN(toldMs) ? undefined : nowMs() - toldMs };
  } catch (error) {
    const code = codeOf(error);
    const sentence = untrusted.includes(code)
      ? `The certificate of ${at} is not trusted; give the CA file of the service.`
      : (sentences[code]?.(at) ?? `${at} cannot be reached (${code}).`);
    return { kind: 'fails', code, sentence };
  }
}

function dateOf(url: URL, ca: Buffer | undefined, timeoutMs: number): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const onAnswer = (answer: IncomingMessage): void => {
      resolve(answer.headers.date);
      answer.destroy();
    };
    const options = { method: 'GET', path: '/', agent: false, signal: AbortSignal.timeout(timeoutMs) };
    const request =
      url.protocol === 'http:'
        ? httpRequest(url, options, onAnswer)
        : httpsRequest(url, { ...options, ...(ca === undefined ? {} : { ca }) }, onAnswer);
    request.on('error', reject);
    request.end();
  });
}

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown error';
  if (error.name === 'AbortError' || error.name === 'TimeoutError') return 'ETIMEDOUT';
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name;
}
