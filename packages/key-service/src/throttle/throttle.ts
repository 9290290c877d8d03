/**
 * Request quotas as AWS KMS has them: so many calls a second for an operation, account and Region, with a burst; off unless set.
 *
 * Source of the rule: KMS Developer Guide, "Request quotas" and "Throttling requests". Token buckets: full at first, refilled
 * evenly. `CryptographicOperations` is a quota the symmetric operations share, as on AWS.
 */
import { AwsError } from '../aws-error.js';
import { KeyServiceError } from '../errors.js';
import { isJsonObject } from '../http/json-body.js';

interface Quota {
  readonly perSecond: number;
  /** Calls that may come at once; default: those of one second. */
  readonly burst: number;
}

/** By operation name, or `CryptographicOperations`. */
export type Quotas = ReadonlyMap<string, Quota>;

export interface Throttle {
  /** Counts a call. @throws AwsError ThrottlingException when it is one too many */
  admit(operation: string, accountId: string, region: string): void;
}

const SHARED = 'CryptographicOperations';
const SHARING = new Set([
  'Decrypt',
  'Encrypt',
  'GenerateDataKey',
  'GenerateDataKeyWithoutPlaintext',
  'GenerateMac',
  'GenerateRandom',
  'ReEncrypt',
  'VerifyMac',
]);

/** Callers choose the Region, so there could be many buckets; a full bucket forgotten is a bucket like new. */
const MAX_BUCKETS = 10_000;
const MESSAGE = 'You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.';

interface Bucket {
  tokens: number;
  filledAtMs: number;
}

export function createThrottle(quotas: Quotas, now: () => number): Throttle {
  const buckets = new Map<string, Bucket>();

  function take(quota: Quota, name: string, nowMs: number): boolean {
    let bucket = buckets.get(name);
    if (bucket === undefined) {
      if (buckets.size >= MAX_BUCKETS) buckets.clear();
      buckets.set(name, (bucket = { tokens: quota.burst, filledAtMs: nowMs }));
    }
    const refill = (Math.max(0, nowMs - bucket.filledAtMs) / 1000) * quota.perSecond;
    bucket.tokens = Math.min(quota.burst, bucket.tokens + refill);
    bucket.filledAtMs = nowMs;
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  }

  return {
    admit(operation, accountId, region) {
      if (quotas.size === 0) return;
      const nowMs = now();
      for (const name of SHARING.has(operation) ? [operation, SHARED] : [operation]) {
        const quota = quotas.get(name);
        if (quota !== undefined && !take(quota, `${accountId}/${region}/${name}`, nowMs)) {
          throw new AwsError('ThrottlingException', MESSAGE);
        }
      }
    },
  };
}

/**
 * `{Encrypt: 100, CreateKey: {perSecond: 5, burst: 10}}` from a configuration file.
 *
 * @param known names of operations
 * @throws KeyServiceError invalid-principals
 */
export function parseQuotas(value: unknown, known: ReadonlySet<string>): Quotas {
  if (value === undefined) return new Map();
  if (!isJsonObject(value)) throw invalid('throttling', 'must be a mapping of operations to calls a second');
  return new Map(
    Object.entries(value).map(([name, setting]) => {
      if (name !== SHARED && !known.has(name))
        throw invalid(`throttling.${name}`, `is no operation, nor ${SHARED}`);
      return [name, parseQuota(setting, `throttling.${name}`)];
    }),
  );
}

function parseQuota(setting: unknown, at: string): Quota {
  const { perSecond, burst, ...rest } = isJsonObject(setting) ? setting : { perSecond: setting };
  if (Object.keys(rest).length > 0) throw invalid(at, 'knows perSecond and burst only');
  if (typeof perSecond !== 'number' || !(perSecond > 0 && perSecond <= 1e9)) {
    throw invalid(at, 'must be a number of calls a second above 0');
  }
  if (burst !== undefined && !(typeof burst === 'number' && burst >= 1 && burst <= 1e9)) {
    throw invalid(`${at}.burst`, 'must be a number of calls, at least 1');
  }
  return { perSecond, burst: burst ?? Math.max(1, perSecond) };
}

function invalid(at: string, what: string): KeyServiceError {
  return new KeyServiceError('invalid-principals', `Configuration: ${at} ${what}.`);
}
