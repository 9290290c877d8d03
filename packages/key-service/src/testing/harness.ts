/**
 * A whole key service on a free port over TLS, and real AWS SDK clients for it.
 */
import { randomBytes, webcrypto } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { Agent } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { KMSClient } from '@aws-sdk/client-kms';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import type { Store } from '@waxseal/storage';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { createPrincipalDirectory } from '../access/principal-directory.js';
import type { UserConfig } from '../access/principals-file.js';
import { type KeyService, type KeyServiceOptions, startKeyService } from '../key-service.js';
import type { KeySeed } from '../keys/seed-file.js';
import { testSigningKey } from './audit-signer.js';
import { createMemoryStore } from './memory-store.js';

export const ACCOUNT = '111122223333';
export const OTHER_ACCOUNT = '444455556666';
export const REGION = 'eu-central-1';

/** Users of the two accounts; the name is the access key id too. */
export const SECRET = 'test-secret-access-key-0123456789abcdef';

export type UserName = 'admin' | 'reader' | 'nobody' | 'foreigner' | 'denied' | 'conditional';

const statement = (Effect: string, Action: unknown, extra: object = {}): object => ({
  Version: '2012-10-17',
  Statement: [{ Effect, Action, Resource: '*', ...extra }],
});

const trust = (AWS: string, extra: object = {}): object => ({
  Version: '2012-10-17',
  Statement: [{ Effect: 'Allow', Principal: { AWS }, Action: 'sts:AssumeRole', ...extra }],
});

const user = (name: UserName, ...policies: readonly unknown[]): UserConfig => ({
  name,
  accessKeys: [{ id: name, secret: SECRET }],
  policies,
});

/** Belongs to a service that calls on the user's behalf. */
const EC2 = { id: 'ec2', secret: SECRET, viaService: `ec2.${REGION}.amazonaws.com` };

const PRINCIPALS = createPrincipalDirectory([
  {
    id: ACCOUNT,
    users: [
      user('admin', 'AdministratorAccess'),
      user('reader', statement('Allow', ['kms:Describe*', 'kms:List*'])),
      { ...user('nobody'), accessKeys: [{ id: 'nobody', secret: SECRET }, EC2] },
      user('denied', 'AdministratorAccess', statement('Deny', 'kms:Encrypt')),
      user(
        'conditional',
        statement('Allow', 'kms:*', { Condition: { Bool: { 'aws:SecureTransport': 'true' } } }),
      ),
    ],
    roles: [
      {
        name: 'service-role/deployer',
        trustPolicy: trust(`arn:aws:iam::${ACCOUNT}:user/nobody`),
        policies: ['AdministratorAccess'],
        tags: { team: 'red' },
      },
      {
        name: 'tagger',
        trustPolicy: trust(`arn:aws:iam::${ACCOUNT}:root`, { Action: ['sts:AssumeRole', 'sts:TagSession'] }),
        policies: ['AdministratorAccess'],
      },
      {
        name: 'guest',
        trustPolicy: trust(`arn:aws:iam::${OTHER_ACCOUNT}:root`, {
          Condition: { StringEquals: { 'sts:ExternalId': 'only-with-this' } },
        }),
        policies: [],
      },
    ],
  },
  {
    id: OTHER_ACCOUNT,
    users: [user('foreigner', 'AdministratorAccess')],
  },
]);

export interface TestService {
  readonly service: KeyService;
  readonly dataDir: string;
  readonly ca: string;
  /** Everything logged so far. */
  readonly log: () => string;
  readonly registry: Registry;
  client(userName?: UserName, region?: string): KMSClient;
  /** Stops the service and starts it again on the same data. @param seeds in place of those of the first start */
  restart(seeds?: readonly KeySeed[]): Promise<void>;
  close(): Promise<void>;
}

export interface TestServiceOptions extends Pick<
  KeyServiceOptions,
  'quotas' | 'health' | 'writeAudit' | 'tokens' | 'openToken' | 'replicas' | 'rootKeyProtectors'
> {
  readonly store?: Store;
  readonly now?: () => number;
  readonly seeds?: readonly KeySeed[];
}

let certificate: Promise<{ readonly cert: string; readonly key: string }> | undefined;

export async function startTestService({
  store,
  now = Date.now,
  seeds: firstSeeds = [],
  ...settings
}: TestServiceOptions = {}): Promise<TestService> {
  const dataDir = await mkdtemp(join(tmpdir(), 'waxseal-key-service-'));
  const tls = await (certificate ??= createCertificate());
  const ownStore = store ?? createMemoryStore();
  const lines: string[] = [];
  const logger = pino(
    { level: 'debug' },
    new Writable({
      write(chunk: Buffer, _encoding, done) {
        lines.push(chunk.toString());
        done();
      },
    }),
  );
  const clients: KMSClient[] = [];
  const start = (registry: Registry, seeds = firstSeeds): Promise<KeyService> =>
    startKeyService({
      store: ownStore,
      dataDir,
      tls,
      principals: PRINCIPALS,
      seeds,
      logger,
      registry,
      now,
      randomBytes,
      generateAuditKey: testSigningKey,
      ...settings,
    });
  let registry = new Registry();
  let service = await start(registry).catch(async (error: unknown) => {
    await rm(dataDir, { recursive: true, force: true });
    throw error;
  });
  const stop = async (): Promise<void> => {
    for (const client of clients.splice(0)) client.destroy();
    await service.close();
  };
  return {
    get service() {
      return service;
    },
    get registry() {
      return registry;
    },
    dataDir,
    ca: tls.cert,
    log: () => lines.join(''),
    client(userName = 'admin', region = REGION) {
      const client = new KMSClient({
        region,
        endpoint: service.endpoint,
        credentials: { accessKeyId: userName, secretAccessKey: SECRET },
        maxAttempts: 1,
        requestHandler: new NodeHttpHandler({ httpsAgent: new Agent({ ca: tls.cert, keepAlive: true }) }),
      });
      // Clients sign with the service's clock, which tests move.
      Object.assign(client.config, { systemClockOffset: now() - Date.now() });
      clients.push(client);
      return client;
    },
    async restart(seeds) {
      await stop();
      registry = new Registry();
      service = await start(registry, seeds);
    },
    async close() {
      await stop();
      await ownStore.close();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

/** A certificate for 127.0.0.1 that lasts an hour. */
async function createCertificate(): Promise<{ readonly cert: string; readonly key: string }> {
  // @peculiar/x509 wants the reflect-metadata polyfill loaded before it.
  await import('reflect-metadata');
  const { BasicConstraintsExtension, SubjectAlternativeNameExtension, X509CertificateGenerator } =
    await import('@peculiar/x509');
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await X509CertificateGenerator.createSelfSigned(
    {
      name: 'CN=key service test',
      keys,
      signingAlgorithm: algorithm,
      notBefore: new Date(Date.now() - 60_000),
      notAfter: new Date(Date.now() + 3_600_000),
      extensions: [
        new BasicConstraintsExtension(true),
        new SubjectAlternativeNameExtension([{ type: 'ip', value: '127.0.0.1' }]),
      ],
    },
    webcrypto,
  );
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey));
  const base64 = pkcs8.toString('base64').replace(/.{64}/g, '$&\n');
  return {
    cert: certificate.toString('pem'),
    key: `-----BEGIN PRIVATE KEY-----\n${base64}\n-----END PRIVATE KEY-----\n`,
  };
}
