/**
 * What the calls in an audit log would have cost on AWS, by month and account.
 *
 * Keys are counted from the calls that made, scheduled and rescued them: a key waiting for its deletion costs nothing. Keys
 * whose CreateKey was removed by retention are not known here.
 */
import { setImmediate } from 'node:timers/promises';
import { isJsonObject, type JsonObject } from '../http/json-body.js';
import { readAuditRecords } from '../audit/all-records.js';
import { KEY_USD_PER_MONTH, requestsUsd } from './prices.js';

const RECORDS_PER_TURN = 512;
const HOUR_MS = 3_600_000;

export interface MonthlyCost {
  /** YYYY-MM, UTC. */
  readonly month: string;
  readonly accountId: string;
  readonly requests: number;
  readonly requestsUsd: number;
  /** Keys times the part of the month they were there. */
  readonly keyMonths: number;
  readonly keysUsd: number;
  readonly totalUsd: number;
}

interface KeyLife {
  readonly accountId: string;
  /** Times at which it began to cost and ceased to, in turns. */
  readonly turnsMs: number[];
}

/**
 * @param folder the audit folder
 * @param nowMs where the current month is cut off
 * @throws the file system's errors
 */
export async function reportCost(folder: string, nowMs: number): Promise<MonthlyCost[]> {
  const requests = new Map<string, number>();
  const lives = new Map<string, KeyLife>();
  let count = 0;
  for await (const record of readAuditRecords(folder)) {
    if (++count % RECORDS_PER_TURN === 0) await setImmediate();
    if (record['eventSource'] !== 'kms.amazonaws.com') continue;
    const month = String(record['eventTime']).slice(0, 7);
    const accountId = String(record['recipientAccountId']);
    if (isCallersRequest(record)) {
      const name = `${month} ${accountId}`;
      requests.set(name, (requests.get(name) ?? 0) + 1);
    }
    if (record['errorCode'] === undefined) noteKeyLife(record, accountId, lives);
  }
  const keyMonths = sumKeyMonths(lives.values(), nowMs);
  return [...new Set([...requests.keys(), ...keyMonths.keys()])].toSorted().map((name) => {
    const [month = '', accountId = ''] = name.split(' ');
    const calls = requests.get(name) ?? 0;
    const keys = keyMonths.get(name) ?? 0;
    const requestCost = requestsUsd(calls);
    const keyCost = keys * KEY_USD_PER_MONTH;
    return {
      month,
      accountId,
      requests: calls,
      requestsUsd: requestCost,
      keyMonths: keys,
      keysUsd: keyCost,
      totalUsd: requestCost + keyCost,
    };
  });
}

/** Who else than a caller, or a service on a caller's behalf, is named as the one that called. */
const OWN_CALLERS: ReadonlySet<unknown> = new Set(['waxseal.internal', 'kms.amazonaws.com', 'AWS Internal']);

/** AWS bills neither what nobody signed nor what a service does for itself, and a call to another account's key to its caller. */
function isCallersRequest(record: JsonObject): boolean {
  const identity = record['userIdentity'];
  if (!isJsonObject(identity) || OWN_CALLERS.has(identity['invokedBy'])) return false;
  return identity['type'] !== 'Unknown' && identity['type'] !== 'AWSAccount';
}

function noteKeyLife(record: JsonObject, accountId: string, lives: Map<string, KeyLife>): void {
  const atMs = Date.parse(String(record['eventTime']));
  switch (record['eventName']) {
    case 'CreateKey':
    case 'ReplicateKey': {
      const arn = madeKeyArn(record['responseElements']);
      if (arn !== undefined) lives.set(arn, { accountId, turnsMs: [atMs] });
      return;
    }
    case 'ScheduleKeyDeletion':
    case 'CancelKeyDeletion': {
      const resources = record['resources'];
      const arn: unknown =
        Array.isArray(resources) && isJsonObject(resources[0]) ? resources[0]['ARN'] : undefined;
      const life = typeof arn === 'string' ? lives.get(arn) : undefined;
      const costs = life !== undefined && life.turnsMs.length % 2 === 1;
      if (costs === (record['eventName'] === 'ScheduleKeyDeletion')) life?.turnsMs.push(atMs);
    }
  }
}

function madeKeyArn(response: unknown): string | undefined {
  if (!isJsonObject(response)) return undefined;
  const metadata = response['keyMetadata'] ?? response['replicaKeyMetadata'];
  const arn = isJsonObject(metadata) ? metadata['arn'] : undefined;
  return typeof arn === 'string' ? arn : undefined;
}

/** Whole hours begun, as a part of the hours of each month. */
function sumKeyMonths(lives: Iterable<KeyLife>, nowMs: number): Map<string, number> {
  const sums = new Map<string, number>();
  for (const { accountId, turnsMs } of lives) {
    for (let i = 0; i < turnsMs.length; i += 2) {
      const end = turnsMs[i + 1] ?? nowMs;
      for (let at = turnsMs[i] as number; at < end;) {
        const start = new Date(at);
        const monthMs = Date.UTC(start.getUTCFullYear(), start.getUTCMonth());
        const nextMonthMs = Date.UTC(start.getUTCFullYear(), start.getUTCMonth() + 1);
        const hours = Math.ceil((Math.min(end, nextMonthMs) - at) / HOUR_MS);
        const name = `${start.toISOString().slice(0, 7)} ${accountId}`;
        sums.set(name, (sums.get(name) ?? 0) + hours / ((nextMonthMs - monthMs) / HOUR_MS));
        at = nextMonthMs;
      }
    }
  }
  return sums;
}
