/**
 * The key service, put together: store, root key, keys, audit, protocols, socket.
 */
import { randomUUID } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Store } from '@waxseal/storage';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import type { PrincipalDirectory } from './access/principals.js';
import { readHeads } from './audit/heads.js';
import { createHeadsMemory } from './audit/heads-memory.js';
import { AuditJournal, type WriteBytes } from './audit/journal.js';
import { lookUpRecords } from './audit/lookup.js';
import { segmentNumbers } from './audit/segment.js';
import { type GenerateSigningKey, openAuditSigner } from './audit/signing-key.js';
import type { OpenToken } from './custom-key-stores/connections.js';
import { CustomKeyStores } from './custom-key-stores/custom-key-stores.js';
import { openPkcs11Token } from './custom-key-stores/open-token.js';
import type { TokenConfig } from './custom-key-stores/token-config.js';
import { TokenKeys } from './custom-key-stores/token-keys.js';
import { createKeyGenerator } from './crypto/key-generator.js';
import { createRandomPool } from './crypto/random-pool.js';
import { ensureKey, type EnsuredKey, type EnsureKeyRequest } from './ensure-key.js';
import { KeyServiceError } from './errors.js';
import { createAwsJsonProtocol } from './http/aws-json.js';
import { createCallRecorder } from './http/call-recorder.js';
import { createControlActions } from './control/control-actions.js';
import { startControlServer } from './control/control-server.js';
import { registerGauges } from './health/gauges.js';
import { healthChecks } from './health/health-checks.js';
import { type HealthAddress, startHealthServer } from './health/health-server.js';
import { createThrottle, type Quotas } from './throttle/throttle.js';
import { listen, type Transport } from './http/server.js';
import type { JsonObject } from './http/json-body.js';
import { createStsQueryProtocol } from './http/sts-query.js';
import { EventOutbox } from './keys/event-outbox.js';
import { KeyStore } from './keys/key-store.js';
import type { KeySeed } from './keys/seed-file.js';
import { seedKeys } from './seed-keys.js';
import { RESTORE_UNDER_WAY } from './keys/store-keys.js';
import { KeyLifecycle } from './keys/lifecycle.js';
import { LifecycleLeader } from './keys/lifecycle-leader.js';
import { MaterialVault } from './keys/material-vault.js';
import { UsageTracker } from './keys/usage-tracker.js';
import { createMetrics } from './metrics.js';
import type { KeyServices } from './operations/call.js';
import { createFileProtector } from './root-key/file-protector.js';
import { openRootKey, rootKeyProtectorOf, type RootKeyProtectors } from './root-key/root-key.js';
import { createSignatureVerifier, type CredentialSource } from './sigv4/verifier.js';
import { createSessionIssuer } from './sts/session-token.js';

export interface KeyServiceOptions {
  /** The key service's own store. It stays open after close(). */
  readonly store: Store;
  /** True when other processes serve from the same store, an etcd cluster. Default false: it is this process's alone. */
  readonly replicas?: boolean;
  /** Audit logs, and the root key file of the default protector. Made with mode 0700 when absent. */
  readonly dataDir: string;
  /** Absent only with `insecureHttp`. PEM. */
  readonly tls?: { readonly cert: string | Buffer; readonly key: string | Buffer };
  /** Plain HTTP, on a loopback host only, for clients without TLS. */
  readonly insecureHttp?: boolean;
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Default 0: any free port. */
  readonly port?: number;
  readonly principals: PrincipalDirectory;
  /** Reads the configuration file again, for who asks by the control socket; answers what to tell them. */
  readonly reloadConfig?: () => Promise<JsonObject>;
  /** Tokens custom key stores may use; looked into anew for every connection, so the list may change (openConfigFile). */
  readonly tokens?: readonly TokenConfig[];
  /** Logs into one of them; default: by its PKCS#11 module. */
  readonly openToken?: OpenToken;
  /** Fixed keys (parseKeySeeds), made before the first call is answered. */
  readonly seeds?: readonly KeySeed[];
  /** Default: `<dataDir>/root.key`, mode 0600, made for an empty store. */
  readonly rootKeyProtectors?: RootKeyProtectors;
  /** Trail of calls that could not prove their region; default us-east-1. */
  readonly defaultRegion?: string;
  /** Calls a second; default: as many as come. */
  readonly quotas?: Quotas;
  /** A port for /livez, /readyz and /metrics; default: none. */
  readonly health?: HealthAddress;
  /** Delivered audit files of days longer ago are removed; default: kept for ever. */
  readonly auditRetentionDays?: number;
  /** Makes the key that signs audit digests, once for a store; default RSA 2048 by node:crypto. */
  readonly generateAuditKey?: GenerateSigningKey;
  /** How audit records are written; default: by the file system. */
  readonly writeAudit?: WriteBytes;
  readonly logger: Logger;
  readonly registry: Registry;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly randomBytes: (size: number) => Buffer;
}

export interface KeyService {
  /** `https://127.0.0.1:<port>`. */
  readonly endpoint: string;
  readonly port: number;
  /** `http://127.0.0.1:<port>`, when there is a health port. */
  readonly healthEndpoint: string | undefined;
  /** Finds the key an alias points to, and makes both when there is no such alias. Audited like a call. */
  ensureKey(request: EnsureKeyRequest): Promise<EnsuredKey>;
  /** Answers what is under way, delivers the audit log, forgets all key material. The store stays open. */
  close(): Promise<void>;
}

const LOOPBACK = new Set(['127.0.0.1', '::1', 'localhost']);

/** @throws KeyServiceError with a sentence that says what to do; StoreError */
export async function startKeyService(options: KeyServiceOptions): Promise<KeyService> {
  const { store, dataDir, principals, logger, registry, now, randomBytes } = options;
  const host = options.host ?? '127.0.0.1';
  const transport = chooseTransport(options, host);
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });

  await refuseLostStore(store, dataDir);
  const protectors = options.rootKeyProtectors ?? [createFileProtector(join(dataDir, 'root.key'))];
  const rootKey = await openRootKey(store, protectors, randomBytes);
  // The vault owns the root key: after it is closed nothing opens any more.
  const vault = new MaterialVault(rootKey, randomBytes);
  const closers: (() => void | Promise<void>)[] = [() => vault.close()];
  const closeAll = async (): Promise<void> => {
    for (const close of closers.toReversed()) await close();
    closers.length = 0;
  };
  try {
    const keys = await KeyStore.open(store, logger, (key) => vault.forget(key), options.replicas);
    closers.push(() => keys.close());
    const journal = await AuditJournal.open({
      folder: join(dataDir, 'audit'),
      now,
      logger,
      signer: () => openAuditSigner(store, rootKey, randomBytes, options.generateAuditKey),
      retentionDays: options.auditRetentionDays,
      ...(options.replicas === true ? {} : { memory: createHeadsMemory(store) }),
      ...(options.writeAudit === undefined ? {} : { write: options.writeAudit }),
    });
    closers.push(() => journal.close());
    let requests = 0;
    const recorder = createCallRecorder({
      journal,
      metrics: createMetrics(registry),
      logger,
      now,
      createUuid: randomUUID,
      countRequest: () => void requests++,
      defaultRegion: options.defaultRegion ?? 'us-east-1',
    });
    const usage = await UsageTracker.open(store, now, logger);
    const { tokens = [], openToken = openPkcs11Token } = options;
    const customKeyStores = new CustomKeyStores({ keys, vault, tokens, openToken, logger });
    const tokenKeys = new TokenKeys({ store, keys, customKeyStores, now, logger });
    closers.push(
      () => customKeyStores.close(),
      () => tokenKeys.stop(),
    );
    tokenKeys.start();
    await customKeyStores.start();
    const leader = options.replicas === true ? new LifecycleLeader({ store, logger, onElected }) : undefined;
    const outbox = new EventOutbox({
      store,
      record: (event) => recorder.recordEvent(event),
      createUuid: randomUUID,
      now,
      logger,
    });
    const lifecycle = new KeyLifecycle(
      keys,
      vault,
      tokenKeys,
      usage,
      outbox,
      now,
      logger,
      () => leader?.leads ?? true,
    );
    function onElected(): void {
      logger.info('this replica rotates and deletes keys by date now');
      lifecycle.sweepSoon();
    }
    await leader?.start();
    closers.push(() => leader?.stop());
    await lifecycle.start();
    closers.push(() => lifecycle.stop());

    const services: KeyServices = {
      keys,
      vault,
      customKeyStores,
      tokenKeys,
      lifecycle,
      usage,
      principals,
      auditLog: { lookUp: (query) => lookUpRecords(join(dataDir, 'audit'), query) },
      now,
      createKeyMaterial: createKeyGenerator(randomBytes),
      randomBytes,
      publicRandomBytes: createRandomPool(randomBytes),
    };
    registerGauges(registry, {
      keys: () => keys.countKeys(),
      auditState: () => journal.state,
      requests: () => requests,
      customKeyStores: () => customKeyStores.countByState(),
      leads: () => leader?.leads ?? true,
    });
    await seedKeys(services, recorder, options.seeds ?? []);
    const sessions = createSessionIssuer(vault, principals, randomBytes);
    const credentials: CredentialSource = {
      findAccessKey: (id, token) =>
        principals.findAccessKey(id) ?? (token === undefined ? undefined : sessions.open(id, token)),
    };
    const verifier = createSignatureVerifier(credentials, now);
    const awsJson = createAwsJsonProtocol(
      services,
      verifier,
      recorder,
      createThrottle(options.quotas ?? new Map(), now),
    );
    const stsQuery = createStsQueryProtocol({ principals, sessions, now }, verifier, recorder);

    const server = await listen(
      transport,
      host,
      options.port ?? 0,
      (request) => (stsQuery.accepts(request) ? stsQuery.handle(request) : awsJson.handle(request)),
      logger,
      now,
    );
    closers.push(() => server.close());
    const shownHost = shownAs(host);
    const endpoint = `${transport.kind}://${shownHost}:${server.port}`;
    const control = await startControlServer(
      dataDir,
      createControlActions({
        store,
        rootKey,
        protectors,
        dataDir,
        endpoint,
        keys,
        principals,
        reloadConfig: options.reloadConfig,
        now,
        randomBytes,
      }),
      logger,
    );
    closers.push(() => control.close());
    const health =
      options.health && (await startHealthServer(options.health, healthChecks(store, journal), registry));
    if (health !== undefined) closers.push(() => health.close());
    return {
      endpoint,
      healthEndpoint: health?.endpoint,
      port: server.port,
      ensureKey: (request) => ensureKey(services, recorder, request),
      close: closeAll,
    };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

/** In the endpoint; a service on all addresses is also on loopback. */
function shownAs(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  if (host === '::') return '[::1]';
  return host.includes(':') ? `[${host}]` : host;
}

/**
 * A store that was never used beside an audit log that was: the store is lost, or another one. Beginning anew would look like a good
 * start, and nothing could be decrypted any more.
 */
async function refuseLostStore(store: Store, dataDir: string): Promise<void> {
  const folder = join(dataDir, 'audit');
  const recorded = (readHeads(folder)?.heads.trails.size ?? 0) > 0 || segmentNumbers(folder).length > 0;
  if (!recorded || (await rootKeyProtectorOf(store)) !== undefined) return;
  if ((await store.get(RESTORE_UNDER_WAY)).kv !== undefined) return;
  throw new KeyServiceError(
    'store-corrupt',
    `The key store is empty, but ${folder} holds the records of one that was used. Restore the store from a backup (waxseal kms restore); to begin anew, move that folder away.`,
  );
}

function chooseTransport(options: KeyServiceOptions, host: string): Transport {
  if (options.tls !== undefined) return { kind: 'https', ...options.tls };
  if (options.insecureHttp !== true) {
    throw new KeyServiceError(
      'invalid-option',
      'Give the key service a TLS certificate and key, or insecureHttp on loopback.',
    );
  }
  if (!LOOPBACK.has(host)) {
    throw new KeyServiceError(
      'invalid-option',
      `Plain HTTP is served on loopback only, not on ${host}. Give a TLS certificate and key.`,
    );
  }
  return { kind: 'http' };
}
