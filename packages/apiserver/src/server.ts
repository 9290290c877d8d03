/**
 * The API server: storage and encryption below, Kubernetes clients above.
 */
import type { EncryptionAtRest } from '@waxseal/encryption-config';
import type { Store } from '@waxseal/storage';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { createTokenAuthenticator } from './auth/authenticator.js';
import { createAuthHooks } from './auth/hooks.js';
import { createRbacAuthorizer } from './auth/rbac.js';
import { createServiceAccountCheck } from './auth/service-account-check.js';
import type { CheckServiceAccount } from './auth/authenticator.js';
import type { ServiceAccountKeys } from './auth/service-account-tokens.js';
import { createServiceAccountTokens } from './auth/service-account-tokens.js';
import type { StaticToken } from './auth/static-tokens.js';
import { createStaticTokens } from './auth/static-tokens.js';
import { createStorageCheck } from './health/storage-check.js';
import type { ApiLimits } from './http/api-listener.js';
import { startApiListener } from './http/api-listener.js';
import type { ListenOptions, TlsOptions } from './http/https-server.js';
import { createRestHandler } from './rest/handler.js';

export interface ApiServerOptions {
  /** Stays open when the server closes: who opened it closes it. */
  readonly store: Store;
  /** Likewise. */
  readonly encryption: EncryptionAtRest;
  readonly listen: ListenOptions;
  readonly tls: TlsOptions;
  /** As `parseTokenFile` reads them. */
  readonly tokens: readonly StaticToken[];
  /** Sign and verify service account tokens. */
  readonly serviceAccountKeys: ServiceAccountKeys;
  /** The `iss` claim and default audience of those tokens, an https URL. */
  readonly serviceAccountIssuer: string;
  readonly logger: Logger;
  readonly registry: Registry;
  readonly now: () => Date;
  readonly randomBytes: (size: number) => Buffer;
  /** Of Waxseal, shown in `/version`. */
  readonly serverVersion?: string | undefined;
  /** The defaults are right for production. */
  readonly limits?: ApiLimits | undefined;
}

export interface ApiServer {
  /** `https://host:port`. */
  readonly url: string;
  readonly port: number;
  /** Ends watches, lets requests at work finish, closes the sockets and the controllers. */
  close(): Promise<void>;
}

/**
 * Resolves when requests are answered. Namespaces and bootstrap roles exist by then, unless a KMS is down: then they
 * follow when it answers, and `/readyz` fails until they are there.
 *
 * @throws ApiServerError for bad keys, StoreError when the store cannot be read, and what listening throws
 *   (EADDRINUSE, EACCES)
 */
export async function startApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const { store, encryption, logger, registry, now, randomBytes } = options;
  const serviceAccountTokens = createServiceAccountTokens({
    keys: options.serviceAccountKeys,
    issuer: options.serviceAccountIssuer,
    now,
    randomBytes,
  });

  // Tokens are checked against stored accounts, and the REST layer answers token reviews: each needs the other.
  let checkServiceAccount: CheckServiceAccount = () => Promise.resolve(false);
  const authenticateToken = createTokenAuthenticator({
    staticTokens: createStaticTokens(options.tokens),
    serviceAccountTokens,
    checkServiceAccount: (token) => checkServiceAccount(token),
    now,
  });

  const rest = await createRestHandler({
    store,
    encryption,
    auth: (source) => createAuthHooks({ source, authenticateToken, serviceAccountTokens }),
    now,
    randomBytes,
    logger,
    registry,
  });
  checkServiceAccount = createServiceAccountCheck(rest);

  const storageCheck = createStorageCheck(store);
  try {
    const listener = await startApiListener({
      rest,
      authorizer: createRbacAuthorizer(rest),
      authenticateToken,
      serviceAccountTokens,
      healthChecks: () => [storageCheck, ...rest.healthChecks, ...encryption.healthChecks()],
      listen: options.listen,
      tls: options.tls,
      logger,
      registry,
      now,
      randomBytes,
      serverVersion: options.serverVersion ?? '0.1.0',
      limits: options.limits,
    });
    return {
      url: listener.url,
      port: listener.port,
      async close() {
        await listener.close();
        await rest.close();
      },
    };
  } catch (error) {
    await rest.close();
    throw error;
  }
}
