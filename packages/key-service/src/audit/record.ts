/**
 * One call as CloudTrail records: its own, one more in the trail of every other account whose keys it used, and what AWS records
 * beside it (a CreateKey for a ReplicateKey).
 *
 * Source of the rule: CloudTrail User Guide, "CloudTrail record contents" (eventVersion 1.11), and the KMS Developer Guide's examples.
 */
import type { AwsError } from '../aws-error.js';
import type { AccessKey } from '../access/principals.js';
import type { HttpRequest } from '../http/message.js';
import type { AuditedResource, RelatedEvent } from '../operations/call.js';
import { servicePrincipal } from '../operations/condition-context.js';
import { requestParameters, responseElements } from './record-members.js';
import { serviceEventRecord } from './service-event.js';
import { foreignIdentity, userIdentity } from './user-identity.js';

/** What is known of a call when it is over. */
export interface AuditedCall {
  readonly eventId: string;
  readonly requestId: string;
  readonly eventTimeMs: number;
  /** `kms.amazonaws.com`, `sts.amazonaws.com`. */
  readonly eventSource: string;
  readonly eventName: string;
  readonly readOnly: boolean;
  readonly region: string;
  /** Absent when the signature did not prove who called. */
  readonly accessKey: AccessKey | undefined;
  /** Absent for calls of the process itself. */
  readonly request: Pick<HttpRequest, 'headers' | 'sourceIpAddress' | 'tls'> | undefined;
  readonly input: Readonly<Record<string, unknown>> | undefined;
  readonly output: Readonly<Record<string, unknown>> | undefined;
  readonly error: AwsError | undefined;
  readonly resources: readonly AuditedResource[];
  /** additionalEventData. */
  readonly eventData: Readonly<Record<string, string>> | undefined;
  /** Recorded too when the call succeeds. */
  readonly related: readonly RelatedEvent[];
}

/** A record and the trail it belongs to. */
export interface TrailRecord {
  readonly accountId: string;
  readonly region: string;
  readonly record: Readonly<Record<string, unknown>>;
}

/** The account whose trail records calls of callers who could not prove who they are. */
const UNAUTHENTICATED_ACCOUNT = '000000000000';

/** Calls the process makes for itself are recorded under this name. */
const OWN_NAME = 'waxseal.internal';

/** Also who does in the caller's name what a call to KMS causes KMS to do in another Region. */
const KMS_NAME = 'kms.amazonaws.com';

const STS_NAME = 'sts.amazonaws.com';

const MAX_TEXT = 1024;

/** The call's own record first. */
export function cloudTrailRecords(call: AuditedCall, createUuid: () => string): readonly TrailRecord[] {
  const { accessKey, error, region } = call;
  const accountId = accessKey?.principal.accountId ?? UNAUTHENTICATED_ACCOUNT;
  const owners = otherOwners(call, accountId);
  const sharedEventId = owners.length === 0 ? undefined : createUuid();
  const own = userIdentity(accessKey, call.request === undefined ? OWN_NAME : invokedBy(accessKey));
  const records = [
    { accountId, region, record: callRecord(call, own, accountId, call.resources, sharedEventId) },
  ];
  for (const owner of owners) {
    const copy = { ...call, eventId: createUuid() };
    const resources = call.resources.filter((resource) => resource.accountId === owner);
    const identity = accessKey === undefined ? own : foreignIdentity(accessKey);
    records.push({
      accountId: owner,
      region,
      record: callRecord(copy, identity, owner, resources, sharedEventId),
    });
  }
  if (error === undefined) {
    for (const event of call.related) records.push(relatedRecord(call, event, accountId, createUuid()));
  }
  return records;
}

const NOBODY: readonly string[] = [];

function invokedBy(accessKey: AccessKey | undefined): string | undefined {
  return accessKey?.viaService === undefined ? undefined : servicePrincipal(accessKey.viaService);
}

/** AWS tells the owner of a key about calls of others, not about those it refused them. */
function otherOwners({ resources, error }: AuditedCall, accountId: string): readonly string[] {
  if (error?.code === 'AccessDeniedException') return [];
  const others = resources.filter((resource) => resource.accountId !== accountId);
  return others.length === 0 ? NOBODY : [...new Set(others.map((resource) => resource.accountId))];
}

function relatedRecord(
  call: AuditedCall,
  event: RelatedEvent,
  accountId: string,
  eventId: string,
): TrailRecord {
  const { region } = event;
  if (event.kind === 'service') {
    const record = serviceEventRecord({ ...event, eventId, eventTimeMs: call.eventTimeMs });
    return { accountId: event.accountId, region, record };
  }
  const { eventName, input, output, resources } = event;
  const related: AuditedCall = {
    ...call,
    eventId,
    eventName,
    region,
    input,
    output,
    resources,
    eventData: undefined,
  };
  const identity = userIdentity(call.accessKey, KMS_NAME);
  return { accountId, region, record: callRecord(related, identity, accountId, resources, undefined) };
}

/** The record's members in CloudTrail's order, without the chain. */
function callRecord(
  call: AuditedCall,
  identity: Readonly<Record<string, unknown>>,
  recipientAccountId: string,
  resources: readonly AuditedResource[],
  sharedEventId: string | undefined,
): Readonly<Record<string, unknown>> {
  const { request, error } = call;
  // STS changes nothing, and its answers are recorded all the same.
  const answered = error === undefined && (!call.readOnly || call.eventSource === STS_NAME);
  return {
    eventVersion: '1.11',
    userIdentity: identity,
    eventTime: `${new Date(call.eventTimeMs).toISOString().slice(0, 19)}Z`,
    eventSource: call.eventSource,
    eventName: call.eventName,
    awsRegion: call.region,
    sourceIPAddress: request?.sourceIpAddress ?? OWN_NAME,
    userAgent:
      request === undefined ? OWN_NAME : (request.headers.get('user-agent') ?? '').slice(0, MAX_TEXT),
    ...(error === undefined ? {} : { errorCode: auditedCode(error) }),
    ...(error === undefined || error.message === ''
      ? {}
      : { errorMessage: error.message.slice(0, MAX_TEXT) }),
    requestParameters: requestParameters(call.eventName, call.input),
    responseElements: answered ? responseElements(call.output, changedKeyArn(call)) : null,
    ...(call.eventData === undefined || Object.keys(call.eventData).length === 0
      ? {}
      : { additionalEventData: call.eventData }),
    requestID: call.requestId,
    eventID: call.eventId,
    readOnly: call.readOnly,
    ...(resources.length === 0 && call.eventSource !== KMS_NAME
      ? {}
      : { resources: resources.map(({ accountId, type, arn }) => ({ accountId, type, ARN: arn })) }),
    eventType: 'AwsApiCall',
    managementEvent: true,
    recipientAccountId,
    ...(sharedEventId === undefined ? {} : { sharedEventID: sharedEventId }),
    eventCategory: 'Management',
    ...(request?.tls === undefined
      ? {}
      : {
          tlsDetails: {
            tlsVersion: request.tls.version,
            cipherSuite: request.tls.cipherSuite,
            clientProvidedHostHeader: (request.headers.get('host') ?? '').slice(0, MAX_TEXT),
          },
        }),
  };
}

/** An alias that moves touches two keys; the one it points to now is what was changed. */
function changedKeyArn({ resources }: AuditedCall): string | undefined {
  return resources.findLast(({ type }) => type === 'AWS::KMS::Key')?.arn;
}

/** CloudTrail writes AccessDenied for AccessDeniedException, and every other code as it is. */
function auditedCode({ code }: AwsError): string {
  return code === 'AccessDeniedException' ? 'AccessDenied' : code;
}
