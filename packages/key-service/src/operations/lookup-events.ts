/**
 * CloudTrail's LookupEvents, answered from the audit log of the caller's account and region.
 *
 * Source of the rule: CloudTrail API reference, "LookupEvents": one attribute at most, 50 events a page, newest first, the
 * last 90 days.
 */
import { createHash } from 'node:crypto';
import { AwsError } from '../aws-error.js';
import type { FoundRecord } from '../audit/lookup.js';
import { parseObject } from '../audit/chain.js';
import { isJsonObject, type JsonObject } from '../http/json-body.js';
import {
  enumeration,
  integer,
  type InputOf,
  list,
  required,
  string,
  structure,
  timestamp,
} from '../validation/members.js';
import { accountOf } from './call.js';
import { defineAccountOperation, type Operation } from './operation.js';

const DAY_MS = 86_400_000;
const HISTORY_MS = 90 * DAY_MS;
const MAX_RESULTS = 50;
const ATTRIBUTE_KEYS = [
  'EventId',
  'EventName',
  'ReadOnly',
  'Username',
  'ResourceType',
  'ResourceName',
  'EventSource',
  'AccessKeyId',
] as const;

type AttributeKey = (typeof ATTRIBUTE_KEYS)[number];

const input = {
  LookupAttributes: list(
    structure({
      AttributeKey: required(enumeration(ATTRIBUTE_KEYS)),
      AttributeValue: required(string({ min: 1, max: 2000 })),
    }),
  ),
  StartTime: timestamp,
  EndTime: timestamp,
  EventCategory: string({}),
  MaxResults: integer(Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY),
  NextToken: string({}),
};

type LookupInput = InputOf<typeof input>;

const lookupEvents = defineAccountOperation({
  name: 'LookupEvents',
  action: 'cloudtrail:LookupEvents',
  readOnly: true,
  input,
  check: checkLookup,
  async run(call, lookup) {
    const attribute = lookup.LookupAttributes?.[0];
    const query = queryDigest(lookup);
    const page = await call.services.auditLog.lookUp({
      accountId: accountOf(call),
      region: call.region,
      startMs: Math.max(lookup.StartTime ?? 0, call.nowMs - HISTORY_MS),
      endMs: Math.min(lookup.EndTime ?? Number.POSITIVE_INFINITY, call.nowMs),
      limit: lookup.MaxResults ?? MAX_RESULTS,
      before: lookup.NextToken === undefined ? undefined : readToken(lookup.NextToken, query),
      needle: attribute && needleOf(attribute.AttributeKey, attribute.AttributeValue),
      matches: (record) =>
        attribute === undefined || hasAttribute(record, attribute.AttributeKey, attribute.AttributeValue),
    });
    const Events = page.found.map(toEvent);
    return page.next === undefined ? { Events } : { Events, NextToken: writeToken(page.next, query) };
  },
});

function checkLookup({
  LookupAttributes = [],
  StartTime,
  EndTime,
  EventCategory,
  MaxResults,
}: LookupInput): void {
  if (LookupAttributes.length > 1) {
    throw new AwsError('InvalidLookupAttributesException', 'Only one lookup attribute can be specified.');
  }
  if (StartTime !== undefined && EndTime !== undefined && StartTime > EndTime) {
    throw new AwsError('InvalidTimeRangeException', 'The start time must be before the end time.');
  }
  if (MaxResults !== undefined && (MaxResults < 1 || MaxResults > MAX_RESULTS)) {
    throw new AwsError('InvalidMaxResultsException', `MaxResults must be between 1 and ${MAX_RESULTS}.`);
  }
  if (EventCategory !== undefined) {
    throw new AwsError(
      'InvalidEventCategoryException',
      'There are management events only: leave EventCategory out.',
    );
  }
}

interface AuditedEvent {
  readonly EventId: string;
  readonly EventName: string;
  readonly EventSource: string;
  readonly ReadOnly: string;
  readonly Username: string | undefined;
  readonly AccessKeyId: string | undefined;
  readonly EventTime: number;
  readonly Resources: readonly { readonly ResourceType: string; readonly ResourceName: string }[];
}

function toEvent({ record }: FoundRecord): AuditedEvent & { readonly CloudTrailEvent: string } {
  return { ...describe(record), CloudTrailEvent: JSON.stringify(record) };
}

function describe(record: JsonObject): AuditedEvent {
  const identity = isJsonObject(record['userIdentity']) ? record['userIdentity'] : {};
  const resources = Array.isArray(record['resources']) ? record['resources'].filter(isJsonObject) : [];
  return {
    EventId: String(record['eventID']),
    EventName: String(record['eventName']),
    EventSource: String(record['eventSource']),
    ReadOnly: String(record['readOnly']),
    Username: userNameOf(identity),
    AccessKeyId: typeof identity['accessKeyId'] === 'string' ? identity['accessKeyId'] : undefined,
    EventTime: Date.parse(String(record['eventTime'])) / 1000,
    Resources: resources.map((one) => ({
      ResourceType: String(one['type']),
      ResourceName: String(one['ARN']),
    })),
  };
}

/** The name of a user, of a role's session, or `root`. */
function userNameOf(identity: JsonObject): string | undefined {
  if (typeof identity['userName'] === 'string') return identity['userName'];
  if (identity['type'] === 'Root') return 'root';
  const principalId = identity['principalId'];
  return identity['type'] === 'AssumedRole' && typeof principalId === 'string'
    ? principalId.slice(principalId.indexOf(':') + 1)
    : undefined;
}

function hasAttribute(record: JsonObject, key: AttributeKey, value: string): boolean {
  const event = describe(record);
  switch (key) {
    case 'ResourceType':
      return event.Resources.some(({ ResourceType }) => ResourceType === value);
    case 'ResourceName':
      // A key is looked for by its ARN or by its id, an alias by its ARN or its name.
      return event.Resources.some(({ ResourceName }) => {
        const name = ResourceName.slice(ResourceName.lastIndexOf(':') + 1);
        return ResourceName === value || name === value || name === `key/${value}`;
      });
    default:
      return event[key] === value;
  }
}

/** What the record's JSON must contain; undefined where it may be written in more than one way. */
function needleOf(key: AttributeKey, value: string): string | undefined {
  switch (key) {
    case 'EventId':
    case 'EventName':
    case 'EventSource':
    case 'AccessKeyId':
    case 'ResourceName':
      return JSON.stringify(value).slice(1, -1);
    default:
      return undefined;
  }
}

/** A token goes on with the same question only. */
function queryDigest({ LookupAttributes, StartTime, EndTime }: LookupInput): string {
  const question = JSON.stringify([LookupAttributes ?? [], StartTime ?? null, EndTime ?? null]);
  return createHash('sha256').update(question).digest('base64url').slice(0, 16);
}

function writeToken(before: number, query: string): string {
  return Buffer.from(JSON.stringify({ before, query })).toString('base64url');
}

function readToken(token: string, query: string): number {
  const parsed = parseObject(Buffer.from(token, 'base64url').toString('utf8'));
  const before = parsed?.['before'];
  if (typeof before !== 'number' || !Number.isSafeInteger(before) || parsed?.['query'] !== query) {
    throw new AwsError(
      'InvalidNextTokenException',
      'The token is not valid, or was given for a request with other parameters.',
    );
  }
  return before;
}

/** What `X-Amz-Target: com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.` can name. */
export const CLOUDTRAIL_OPERATIONS: ReadonlyMap<string, Operation> = new Map([
  [lookupEvents.name, lookupEvents],
]);
