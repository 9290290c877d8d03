/**
 * One line of the audit trail, and the hash chain that runs through the lines of a trail.
 */
import { hash } from 'node:crypto';
import { isJsonObject, type JsonObject } from '../http/json-body.js';

/** What the first record of a trail names as the record before it. */
export const GENESIS = '0'.repeat(64);

export interface ChainHead {
  readonly sequence: number;
  /** SHA-256 of the record's line, hexadecimal. */
  readonly sha256: string;
}

/** By trail name. */
export type ChainHeads = Map<string, ChainHead>;

/** A trail is one account in one region, as CloudTrail's folders are. */
export function trailName(accountId: string, region: string): string {
  return `${accountId}/${region}`;
}

export interface JournalLine {
  readonly record: JsonObject;
  readonly accountId: string;
  readonly region: string;
  readonly trail: string;
  readonly sequence: number;
  readonly previousSha256: string;
  /** YYYY-MM-DDTHH:MM:SSZ. */
  readonly eventTime: string;
}

/** Undefined when the text is not a record with its chain. */
export function parseLine(text: string): JournalLine | undefined {
  const record = parseObject(text);
  const chain = record?.['waxsealChain'];
  const accountId = record?.['recipientAccountId'];
  const region = record?.['awsRegion'];
  const eventTime = record?.['eventTime'];
  if (record === undefined || !isJsonObject(chain)) return undefined;
  const { sequence, previousSha256 } = chain;
  if (
    typeof sequence !== 'number' ||
    typeof previousSha256 !== 'string' ||
    typeof accountId !== 'string' ||
    !/^\d{12}$/.test(accountId) ||
    typeof region !== 'string' ||
    !/^[a-z0-9-]{1,64}$/.test(region) ||
    typeof eventTime !== 'string' ||
    !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(eventTime)
  ) {
    return undefined;
  }
  return {
    record,
    accountId,
    region,
    trail: trailName(accountId, region),
    sequence,
    previousSha256,
    eventTime,
  };
}

export function sha256Hex(content: string | Buffer): string {
  return hash('sha256', content, 'hex');
}

export function parseObject(text: string): JsonObject | undefined {
  try {
    const parsed: unknown = JSON.parse(text);
    return isJsonObject(parsed) ? parsed : undefined;
  } catch {
    return undefined;
  }
}
