/**
 * From a request to a user, remembered per connection: a client that keeps its connection is authenticated by a
 * comparison.
 *
 * Source of the rule: kube-apiserver's authentication filter. Credentials that are presented must be good: a bad token
 * or an unverified certificate is 401, never anonymous.
 */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { AuthenticateToken } from '../auth/authenticator.js';
import { userOfCertificate } from '../auth/client-certificate.js';
import { anonymous } from '../auth/users.js';
import { ApiError } from '../errors.js';
import type { UserInfo } from '../rest/contract.js';

export type AuthenticateRequest = (request: IncomingMessage) => UserInfo | Promise<UserInfo>;

type CertificateState =
  | { readonly kind: 'none' }
  | { readonly kind: 'bad' }
  | { readonly kind: 'user'; readonly user: UserInfo; readonly validUntilMs: number };

interface ConnectionState {
  readonly certificate: CertificateState;
  authorization: string;
  user: UserInfo;
  untilMs: number;
}

function unauthorized(): ApiError {
  return new ApiError(401, 'Unauthorized', 'Unauthorized');
}

function certificateState(socket: Socket): CertificateState {
  if (!(socket instanceof TLSSocket)) return { kind: 'none' };
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return { kind: 'none' };
  if (!socket.authorized) return { kind: 'bad' };
  const user = userOfCertificate(certificate);
  if (user === undefined) return { kind: 'bad' };
  return { kind: 'user', user, validUntilMs: Date.parse(certificate.validTo) };
}

function bearerToken(authorization: string): string | undefined {
  return /^bearer +(\S+)\s*$/i.exec(authorization)?.[1];
}

export function createRequestAuthenticator(options: {
  readonly authenticateToken: AuthenticateToken;
  readonly now: () => Date;
}): AuthenticateRequest {
  const { authenticateToken, now } = options;
  const connections = new WeakMap<Socket, ConnectionState>();

  async function authenticateBearer(state: ConnectionState, authorization: string): Promise<UserInfo> {
    const token = bearerToken(authorization);
    if (token === undefined) throw unauthorized();
    const outcome = await authenticateToken(token);
    if (outcome.kind !== 'authenticated') throw unauthorized();
    state.authorization = authorization;
    state.user = outcome.user;
    state.untilMs = outcome.untilMs;
    return outcome.user;
  }

  return (request) => {
    const { socket } = request;
    let state = connections.get(socket);
    if (state === undefined) {
      state = { certificate: certificateState(socket), authorization: '', user: anonymous, untilMs: 0 };
      connections.set(socket, state);
    }
    const { authorization } = request.headers;
    // A certificate comes first, as in kube-apiserver.
    const { certificate } = state;
    if (certificate.kind === 'user') {
      if (certificate.validUntilMs <= now().getTime()) throw unauthorized();
      return certificate.user;
    }
    if (authorization !== undefined && authorization !== '') {
      // Compared with what this same connection sent before, so its timing tells the sender nothing new.
      if (authorization === state.authorization && state.untilMs > now().getTime()) return state.user;
      return authenticateBearer(state, authorization);
    }
    if (certificate.kind === 'bad') throw unauthorized();
    return anonymous;
  };
}
