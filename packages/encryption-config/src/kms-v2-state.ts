/**
 * Which key KMS v2 writes with: the state machine that follows a plugin's Status.
 *
 * A good Status with the key id of the present write state moves its expiry to three minutes from now. Another key id
 * makes a new seed, has it wrapped once, and switches only when Encrypt answers with Status's key id. On any failure
 * the old state stays and writes go on until it expires; reads go on for ever.
 *
 * Source of the rule: k8s.io/apiserver `server/options/encryptionconfig` (kmsv2PluginProbe).
 */
import {
  createKmsV2WriteState,
  errorMessage,
  extendKmsV2WriteState,
  hashKeyId,
  keyIdProblem,
  newRequestUid,
  rfc3339,
  SEED_BYTES,
  type KmsV2WriteState,
  type RandomBytes,
} from '@waxseal/envelope';
import type { KmsV2Service, StatusResponse } from '@waxseal/kms-api';
import type { Logger } from 'pino';
import type { Clock } from './clock.js';
import { EncryptionConfigError, joinMessages } from './errors.js';
import { createCachedCheck, type KmsProbe } from './health.js';

/** How long a write state may be used after the last good Status. */
const WRITE_STATE_TTL_MS = 3 * 60_000;

/** `v2beta1` is what plugins of the beta answer; the two mean the same. */
const VERSIONS: readonly string[] = ['v2', 'v2beta1'];

/** What the state machine reports. */
export interface KmsV2StateMetrics {
  keyIdFromStatus(providerName: string, keyId: string): void;
  invalidKeyIdFromStatus(providerName: string, problem: 'empty' | 'too_long'): void;
  dekGenerated(elapsedMs: number): void;
}

export interface KmsV2StateOptions {
  readonly providerName: string;
  readonly service: Pick<KmsV2Service, 'status' | 'encrypt'>;
  readonly clock: Clock;
  readonly randomBytes: RandomBytes;
  readonly metrics: KmsV2StateMetrics;
  readonly logger: Logger;
  /** Aborted when the configuration is closed. */
  readonly signal: AbortSignal;
}

export interface KmsV2State extends KmsProbe {
  /** Undefined until the plugin was healthy once. It may be expired: that only stops writes. */
  readonly current: () => KmsV2WriteState | undefined;
}

export function createKmsV2State(options: KmsV2StateOptions): KmsV2State {
  const { providerName, service, clock, randomBytes, metrics, logger, signal } = options;
  let state: KmsV2WriteState | undefined;
  let version: string | undefined;

  const ask = async (): Promise<void> => {
    let status: StatusResponse;
    try {
      status = await service.status(signal);
    } catch (error) {
      throw unhealthy(
        `failed to perform status section of the healthz check for KMS Provider ${providerName}, error: ${errorMessage(error)}`,
        error,
      );
    }
    const problems = judge(status);
    const keyId = keyIdProblem(status.keyId);
    if (keyId === undefined) {
      metrics.keyIdFromStatus(providerName, status.keyId);
      const problem = await follow(status.keyId);
      if (problem !== undefined) problems.push(problem);
    } else {
      metrics.invalidKeyIdFromStatus(providerName, keyId.kind);
      problems.push(
        `got invalid KMSv2 KeyID hash ${JSON.stringify(hashKeyId(status.keyId))}: ${keyId.message}`,
      );
    }
    const problem = joinMessages(problems);
    if (problem !== undefined) {
      throw unhealthy(`kmsv2 Provider ${providerName} is not healthy, error: ${problem}`);
    }
  };

  const judge = (status: StatusResponse): string[] => {
    const problems: string[] = [];
    if (status.healthz !== 'ok') problems.push(`got unexpected healthz status: ${status.healthz}`);
    if (!VERSIONS.includes(status.version)) {
      problems.push(`expected KMSv2 API version v2, got ${status.version}`);
    } else {
      version ??= status.version;
      if (version !== status.version) {
        problems.push(
          `KMSv2 API version should not change after the initial status response version ${version}, got ${status.version}`,
        );
      }
    }
    return problems;
  };

  /** Keeps or replaces the write state; returns why it could not. */
  const follow = async (statusKeyId: string): Promise<string | undefined> => {
    // From before the call, because the time is an upper bound.
    const expiresAtMs = clock.nowMs() + WRITE_STATE_TTL_MS;
    if (state?.keyId === statusKeyId) {
      state = extendKmsV2WriteState(state, expiresAtMs);
      return undefined;
    }
    const uid = newRequestUid(randomBytes);
    let encryptKeyId = '';
    let failure: unknown = '<nil>';
    try {
      const fresh = await generate(uid, expiresAtMs);
      encryptKeyId = fresh.keyId;
      if (fresh.keyId === statusKeyId) {
        const oldKeyIdHash = hashKeyId(state?.keyId ?? '');
        state = fresh;
        logger.info({ providerName, uid, newKeyIdHash: hashKeyId(fresh.keyId), oldKeyIdHash }, 'rotated DEK');
        return undefined;
      }
    } catch (error) {
      failure = errorMessage(error);
    }
    const quoted = (keyId: string): string => JSON.stringify(hashKeyId(keyId));
    return (
      `failed to rotate DEK uid=${JSON.stringify(uid)}, errGen=${String(failure)}, ` +
      `statusKeyIDHash=${quoted(statusKeyId)}, encryptKeyIDHash=${quoted(encryptKeyId)}, ` +
      `stateKeyIDHash=${quoted(state?.keyId ?? '')}, expirationTimestamp=${state === undefined ? 'none' : rfc3339(state.expiresAtMs)}`
    );
  };

  const generate = async (uid: string, expiresAtMs: number): Promise<KmsV2WriteState> => {
    const startMs = clock.monotonicMs();
    const seed = Buffer.from(randomBytes(SEED_BYTES));
    metrics.dekGenerated(clock.monotonicMs() - startMs);
    try {
      const { keyId, ciphertext, annotations } = await service.encrypt(uid, seed, signal);
      return createKmsV2WriteState({
        seed,
        keyId,
        encryptedDekSource: ciphertext,
        annotations,
        uid,
        expiresAtMs,
      });
    } catch (error) {
      throw unhealthy(`failed to encrypt DEK, error: ${errorMessage(error)}`, error);
    } finally {
      seed.fill(0);
    }
  };

  return { providerName, current: () => state, check: createCachedCheck(ask, clock) };
}

function unhealthy(message: string, cause?: unknown): EncryptionConfigError {
  return new EncryptionConfigError('kms-unhealthy', message, { cause });
}
