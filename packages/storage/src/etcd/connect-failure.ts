/**
 * Why gRPC could not connect, as a sentence. gRPC passes on the words of Node and OpenSSL, with its own around them; what is wrong is nearly
 * always one of a few things about addresses and certificates.
 */
import type { ServiceError } from '@grpc/grpc-js';

export interface ConnectFailure {
  readonly text: string;
  /** False: nothing more is known than what gRPC says. */
  readonly isExplained: boolean;
  /** True: asking the same endpoint again gives the same answer. */
  readonly isFinal: boolean;
}

/** What is known of the attempt. */
export interface ConnectAttempt {
  readonly tls: boolean;
  readonly hasCa: boolean;
  readonly hasClientCertificate: boolean;
}

interface Row {
  readonly pattern: RegExp;
  readonly text: (attempt: ConnectAttempt) => string;
  /** Default true. */
  readonly isFinal?: boolean;
}

const clientCertificateRefused = ({ hasClientCertificate }: ConnectAttempt): string =>
  hasClientCertificate
    ? 'etcd refuses the client certificate: it must be signed by the authority that etcd trusts for clients, be for client authentication, and not have expired'
    : 'etcd wants a client certificate: give one, and its key';

const rows: readonly Row[] = [
  {
    pattern: /unable to verify the first certificate|self.signed certificate|unable to get (local )?issuer/,
    text: ({ hasCa }) =>
      `the server's certificate is not signed by ${hasCa ? 'the given CA' : 'an authority that this machine trusts'}: give the CA that signed it`,
  },
  {
    pattern: /certificate has expired/,
    text: () => "the server's certificate has expired: renew it, or set this machine's clock",
  },
  {
    pattern: /certificate is not yet valid/,
    text: () => "the server's certificate is not valid yet: set this machine's clock",
  },
  {
    pattern: /altnames|ERR_TLS_CERT_ALTNAME_INVALID|Hostname\/IP does not match/,
    text: () => "the server's certificate is for other names: use a name or address that stands in it",
  },
  {
    pattern: /alert certificate expired/,
    text: () => 'the client certificate has expired: get a new one',
  },
  {
    pattern: /alert unknown ca/,
    text: () => 'the client certificate is signed by an authority that etcd does not trust for clients',
  },
  {
    pattern:
      /alert (certificate required|bad certificate|handshake failure|unsupported certificate|certificate unknown)/,
    text: clientCertificateRefused,
  },
  {
    pattern: /before secure TLS connection was established|wrong version number|packet length too long/,
    text: () => 'the server does not speak TLS: is it http:// instead of https://?',
  },
  { pattern: /ECONNREFUSED/, text: () => 'nothing listens there', isFinal: false },
  {
    pattern: /ENOTFOUND|EAI_AGAIN|Name resolution failed/,
    text: () => 'the name is not known',
    isFinal: false,
  },
];

/** A connection that ended before HTTP/2 began; gRPC says no more. */
const ENDED_EARLY = /Last error: Failed to connect/;

export function connectFailure(error: ServiceError, attempt: ConnectAttempt): ConnectFailure {
  const said = wordsOf(error);
  const row = rows.find(({ pattern }) => pattern.test(said));
  if (row !== undefined) {
    return { text: `${row.text(attempt)} (${said})`, isExplained: true, isFinal: row.isFinal ?? true };
  }
  if (attempt.tls || !ENDED_EARLY.test(error.details))
    return { text: said, isExplained: false, isFinal: false };
  const text = `the server ended the connection: is it https:// instead of http://? (${said})`;
  return { text, isExplained: true, isFinal: false };
}

/** Says nothing of a connection: the time was up while one was being made. */
export function isTimeUp(text: string): boolean {
  return text.startsWith('Deadline exceeded');
}

/** What gRPC says without what it puts around it: prefixes, times, OpenSSL's file and line, and a note that is empty. */
export function wordsOf(error: Pick<ServiceError, 'details' | 'message'>): string {
  const said = error.details === '' ? error.message : error.details;
  return said
    .replace(/\s*Resolution note:\s*$/, '')
    .replace(/^No connection established\. Last error: /, '')
    .replace(/\s*\(\d{4}-\d\d-\d\dT[\d:.]+Z\)\.?$/, '')
    .replace(/^Error: /, '')
    .replace(/^[0-9A-F]+:error:[0-9A-F]+:([^:]*):[^:]*:([^:]*):[\s\S]*$/, '$1: $2')
    .replace(/\.$/, '');
}
