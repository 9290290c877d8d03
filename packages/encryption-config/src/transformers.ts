/**
 * The transformers and KMS connections a configuration asks for.
 *
 * Source of the rule: k8s.io/apiserver `server/options/encryptionconfig` (prefixTransformersAndProbes). A static
 * provider dispatches twice: by its own prefix, then by the key's name.
 */
import {
  createAesCbcTransformer,
  createAesGcmTransformer,
  createIdentityTransformer,
  createKmsV1Transformer,
  createKmsV2Transformer,
  createPrefixTransformer,
  createSecretboxTransformer,
  type PrefixedTransformer,
  type RandomBytes,
  type Transformer,
  type TransformObserver,
} from '@waxseal/envelope';
import type { Logger } from 'pino';
import type { GroupResource } from './at-rest.js';
import type { Clock } from './clock.js';
import type {
  EncryptionConfiguration,
  KeysConfiguration,
  KmsConfiguration,
  ProviderConfiguration,
} from './config.js';
import type { KmsConnectors } from './connectors.js';
import { parseKmsEndpoint } from './endpoint.js';
import type { KmsProbe } from './health.js';
import { createKmsV1Probe } from './kms-v1-probe.js';
import { startPolling } from './kms-v2-poll.js';
import { createKmsV2State } from './kms-v2-state.js';
import { timedKmsV2 } from './kms-v2-timed.js';
import type { EncryptionMetrics } from './metrics.js';
import { decodeSecret } from './validate.js';
import { formatGroupResource, parseGroupResource, rulesFor } from './wildcards.js';

export interface BuildOptions {
  readonly connectors: KmsConnectors;
  readonly clock: Clock;
  readonly randomBytes: RandomBytes;
  readonly metrics: EncryptionMetrics;
  readonly logger: Logger;
  /** Ends polling and calls, and closes the connections. */
  readonly signal: AbortSignal;
}

export interface BuiltTransformers {
  readonly transformerFor: (resource: GroupResource) => Transformer;
  /** In the order of the configuration. */
  readonly probes: readonly KmsProbe[];
  /** Of one round of health checks: a KMS v1 check is two calls. */
  readonly kmsTimeoutSumMs: number;
  /** Resolves when every KMS v2 plugin was asked once; it never rejects. */
  readonly primed: Promise<void>;
}

/** Made for each resource, so that its transformations are counted under its name. */
interface Provider {
  readonly prefix: string;
  readonly create: (observer: TransformObserver) => Transformer;
}

/** @param config valid: see `readEncryptionConfig` */
export function buildTransformers(config: EncryptionConfiguration, options: BuildOptions): BuiltTransformers {
  const rules = new Map<string, Provider[]>();
  const probes: KmsProbe[] = [];
  const primes: Promise<void>[] = [];
  let kmsTimeoutSumMs = 0;

  const kmsV1 = (kms: KmsConfiguration): Provider => {
    const client = options.connectors.connectKmsV1(connectionOf(kms));
    options.signal.addEventListener('abort', () => client.close(), { once: true });
    probes.push(createKmsV1Probe(kms.name, client, options.clock, options.signal));
    kmsTimeoutSumMs += 2 * kms.timeoutMs;
    const transformer = createKmsV1Transformer({
      service: client,
      cacheSize: kms.cacheSize ?? 0,
      randomBytes: options.randomBytes,
      observer: options.metrics.kmsV1Observer(),
    });
    return { prefix: `k8s:enc:kms:v1:${kms.name}:`, create: () => transformer };
  };

  const kmsV2 = (kms: KmsConfiguration): Provider => {
    const client = options.connectors.connectKmsV2(connectionOf(kms));
    options.signal.addEventListener('abort', () => client.close(), { once: true });
    const service = timedKmsV2(client, kms.name, options.clock, options.metrics);
    const state = createKmsV2State({ ...options, providerName: kms.name, service });
    probes.push(state);
    primes.push(startPolling(state, options.clock, options.logger, options.signal));
    kmsTimeoutSumMs += kms.timeoutMs;
    const transformer = createKmsV2Transformer({
      service,
      getState: state.current,
      randomBytes: options.randomBytes,
      nowMs: () => options.clock.nowMs(),
      observer: options.metrics.kmsV2Observer(kms.name),
    });
    return { prefix: `k8s:enc:kms:v2:${kms.name}:`, create: () => transformer };
  };

  const build = (provider: ProviderConfiguration): Provider => {
    const { aesgcm, aescbc, secretbox, kms } = provider;
    if (aesgcm !== undefined)
      return keyed('aesgcm', 'AES', aesgcm, createAesGcmTransformer, options.randomBytes);
    if (aescbc !== undefined)
      return keyed('aescbc', 'AES', aescbc, createAesCbcTransformer, options.randomBytes);
    if (secretbox !== undefined) {
      return keyed('secretbox', 'Secretbox', secretbox, createSecretboxTransformer, options.randomBytes);
    }
    if (kms !== undefined) return kms.apiVersion === 'v1' ? kmsV1(kms) : kmsV2(kms);
    return { prefix: '', create: createIdentityTransformer };
  };

  for (const { resources, providers } of config.resources) {
    const built = providers.map(build);
    for (const text of resources) {
      // The same resource in two entries: the later providers only read.
      const name = formatGroupResource(parseGroupResource(text));
      rules.set(name, [...(rules.get(name) ?? []), ...built]);
    }
  }

  return {
    transformerFor(resource) {
      const providers = rulesFor(resource)
        .map((rule) => rules.get(rule))
        .find((found) => found !== undefined);
      if (providers === undefined) return createIdentityTransformer();
      const observer = options.metrics.transformObserver(formatGroupResource(resource));
      return createPrefixTransformer({
        transformers: providers.map(({ prefix, create }) => ({ prefix, transformer: create(observer) })),
        observer,
      });
    },
    probes,
    kmsTimeoutSumMs,
    primed: Promise.all(primes).then(() => undefined),
  };
}

/** A provider with named keys. */
function keyed(
  provider: 'aesgcm' | 'aescbc' | 'secretbox',
  title: string,
  config: KeysConfiguration,
  createTransformer: (options: { key: Buffer; randomBytes: RandomBytes }) => Transformer,
  randomBytes: RandomBytes,
): Provider {
  const transformers: PrefixedTransformer[] = config.keys.map(({ name, secret }) => {
    const key = decodeSecret(secret) ?? Buffer.alloc(0);
    const transformer = createTransformer({ key, randomBytes });
    key.fill(0);
    return { prefix: `${name}:`, transformer };
  });
  return {
    prefix: `k8s:enc:${provider}:v1:`,
    create: (observer) =>
      createPrefixTransformer({
        transformers,
        noMatchMessage: `no matching key was found for the provided ${title} transformer`,
        observer,
      }),
  };
}

/** The reference takes only the path of the endpoint, so `unix:/path` and `unix://host/path` are the same to it. */
function connectionOf(kms: KmsConfiguration): { readonly endpoint: string; readonly timeoutMs: number } {
  const parsed = parseKmsEndpoint(kms.endpoint);
  const endpoint =
    parsed.problem === undefined && parsed.path !== '' ? `unix://${parsed.path}` : kms.endpoint;
  return { endpoint, timeoutMs: kms.timeoutMs };
}
