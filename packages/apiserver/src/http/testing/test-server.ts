/** A listener over a FakeRest with one administrator, one reader and whoever a test adds; and a client for it. */
import { randomBytes } from 'node:crypto';
import https from 'node:https';
import type { IncomingHttpHeaders } from 'node:http';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import type { HealthCheck } from '@waxseal/encryption-config';
import { bootstrapPolicy } from '../../auth/bootstrap-policy.js';
import { createTokenAuthenticator } from '../../auth/authenticator.js';
import { createRbacAuthorizer } from '../../auth/rbac.js';
import type { ClusterRoleBinding, RbacSource, RoleBinding } from '../../auth/rbac-source.js';
import { parseClusterRole, parseClusterRoleBinding } from '../../auth/rbac-source.js';
import { createServiceAccountCheck } from '../../auth/service-account-check.js';
import type { ServiceAccountTokens } from '../../auth/service-account-tokens.js';
import { createServiceAccountTokens } from '../../auth/service-account-tokens.js';
import { createStaticTokens, parseTokenFile } from '../../auth/static-tokens.js';
import type { ApiLimits, ApiListener } from '../api-listener.js';
import { startApiListener } from '../api-listener.js';
import type { FakeRest } from './fake-rest.js';
import { createFakeRest } from './fake-rest.js';
import type { TestAuthority } from './test-pki.js';
import { createTestAuthority, testSigningKey } from './test-pki.js';

export const ADMIN_TOKEN = 'admin-token-for-tests';
export const READER_TOKEN = 'reader-token-for-tests';

const TOKEN_FILE = `
${ADMIN_TOKEN},admin,1,"system:masters"
${READER_TOKEN},reader,2,"readers,others"
`;

const readerBinding: RoleBinding = {
  namespace: 'default',
  name: 'read',
  subjects: [{ kind: 'User', apiGroup: '', name: 'reader', namespace: '' }],
  roleRef: { apiGroup: '', kind: 'ClusterRole', name: 'view' },
};

interface TestAnswer {
  readonly code: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly text: string;
  /** Parsed on demand. */
  json(): Record<string, unknown>;
}

export interface TestRequest {
  readonly method?: string;
  readonly headers?: Record<string, string | string[]>;
  readonly body?: string | Buffer;
  /** Null sends no token. */
  readonly token?: string | null;
  readonly clientCertificate?: { readonly cert: string; readonly key: string };
  readonly agent?: https.Agent;
}

export interface TestServer {
  readonly rest: FakeRest;
  readonly listener: ApiListener;
  readonly serverCa: TestAuthority;
  readonly clientCa: TestAuthority;
  readonly tokens: ServiceAccountTokens;
  readonly registry: Registry;
  readonly logLines: string[];
  healthChecks: HealthCheck[];
  clusterRoleBindings: readonly ClusterRoleBinding[];
  fetch(path: string, request?: TestRequest): Promise<TestAnswer>;
  close(): Promise<void>;
}

export async function startTestServer(limits: ApiLimits = {}): Promise<TestServer> {
  const serverCa = await createTestAuthority('servers');
  const clientCa = await createTestAuthority('clients');
  const tls = await serverCa.issue('CN=server', 'server');
  const rest = createFakeRest();
  const registry = new Registry();
  const logLines: string[] = [];
  const logger = pino({ level: 'debug' }, { write: (line: string) => logLines.push(line) });
  const now = (): Date => new Date();
  const tokens = createServiceAccountTokens({
    keys: { privateKey: await testSigningKey() },
    issuer: 'https://waxseal.test',
    now,
    randomBytes,
  });

  const clusterRoles = bootstrapPolicy.clusterRoles.map(parseClusterRole);
  const roleBindings = [readerBinding];
  const server: Omit<TestServer, 'listener' | 'fetch' | 'close'> = {
    rest,
    serverCa,
    clientCa,
    tokens,
    registry,
    logLines,
    healthChecks: [],
    clusterRoleBindings: bootstrapPolicy.clusterRoleBindings.map(parseClusterRoleBinding),
  };
  const noRoles: [] = [];
  const source: RbacSource = {
    roles: () => noRoles,
    clusterRoles: () => clusterRoles,
    roleBindings: () => roleBindings,
    clusterRoleBindings: () => server.clusterRoleBindings,
  };
  const listener = await startApiListener({
    rest,
    authorizer: createRbacAuthorizer(source),
    authenticateToken: createTokenAuthenticator({
      staticTokens: createStaticTokens(parseTokenFile(TOKEN_FILE)),
      serviceAccountTokens: tokens,
      checkServiceAccount: createServiceAccountCheck(rest),
      now,
    }),
    serviceAccountTokens: tokens,
    healthChecks: () => server.healthChecks,
    listen: { host: '127.0.0.1', port: 0 },
    tls: { ...tls, clientCa: clientCa.cert },
    logger,
    registry,
    now,
    randomBytes,
    serverVersion: '0.0.0-test',
    limits,
  });
  const agent = new https.Agent({ keepAlive: true, ca: serverCa.cert });

  function fetch(path: string, request: TestRequest = {}): Promise<TestAnswer> {
    const { method = 'GET', headers = {}, body, token = ADMIN_TOKEN, clientCertificate } = request;
    return new Promise((resolve, reject) => {
      const outgoing = https.request(
        listener.url + path,
        {
          method,
          ...(clientCertificate === undefined
            ? { agent: request.agent ?? agent }
            : { agent: false, ca: serverCa.cert, ...clientCertificate }),
          headers: {
            ...(token === null ? {} : { authorization: `Bearer ${token}` }),
            ...(body === undefined
              ? {}
              : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
            ...headers,
          },
        },
        (incoming) => {
          const chunks: Buffer[] = [];
          incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
          incoming.on('error', reject);
          incoming.on('end', () => {
            const all = Buffer.concat(chunks);
            const text = all.toString('utf8');
            resolve({
              code: incoming.statusCode ?? 0,
              headers: incoming.headers,
              body: all,
              text,
              json: () => JSON.parse(text) as Record<string, unknown>,
            });
          });
        },
      );
      outgoing.on('error', reject);
      outgoing.end(body);
    });
  }

  return Object.assign(server, {
    listener,
    fetch,
    async close() {
      await listener.close();
      agent.destroy();
    },
  });
}
