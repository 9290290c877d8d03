/**
 * One call as one CloudTrail record.
 *
 * Source of the rule: CloudTrail User Guide, "CloudTrail record contents" (eventVersion 1.11), and its examples of KMS
 * events. Plaintexts, ciphertexts and grant tokens are never in it: byte members are left out by type, not by name.
 */
import type { AwsError } from '../aws-error.js';
import type { AccessKey, Principal } from '../access/principals.js';
import type { HttpRequest } from '../http/message.js';
import type { AuditedResource } from '../operations/call.js';
import { lowerFirst } from '../validation/members.js';

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
  readonly keyMaterialId: string | undefined;
}

/** The account whose trail records calls of callers who could not prove who they are. */
const UNAUTHENTICATED_ACCOUNT = '000000000000';

/** Calls the process makes for itself are recorded under this name. */
const OWN_NAME = 'waxseal.internal';

const MAX_TEXT = 1024;

export function trailAccountOf(call: AuditedCall): string {
  return call.accessKey?.principal.accountId ?? UNAUTHENTICATED_ACCOUNT;
}

/** The record's members in CloudTrail's order, without the chain. */
export function cloudTrailRecord(call: AuditedCall): Readonly<Record<string, unknown>> {
  const { request, error, resources } = call;
  return {
    eventVersion: '1.11',
    userIdentity: userIdentity(call),
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
    requestParameters: call.input === undefined ? null : parameters(call.input),
    responseElements: call.readOnly || call.output === undefined ? null : parameters(call.output),
    ...(call.keyMaterialId === undefined
      ? {}
      : { additionalEventData: { keyMaterialId: call.keyMaterialId } }),
    requestID: call.requestId,
    eventID: call.eventId,
    readOnly: call.readOnly,
    ...(resources.length === 0
      ? {}
      : { resources: resources.map(({ accountId, type, arn }) => ({ accountId, type, ARN: arn })) }),
    eventType: 'AwsApiCall',
    managementEvent: true,
    recipientAccountId: trailAccountOf(call),
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

/** CloudTrail writes AccessDenied for AccessDeniedException, and every other code as it is. */
function auditedCode({ code }: AwsError): string {
  return code === 'AccessDeniedException' ? 'AccessDenied' : code;
}

function userIdentity({ accessKey, request }: AuditedCall): Readonly<Record<string, unknown>> {
  if (accessKey === undefined) return { type: 'Unknown' };
  const { kind, principalId, arn, accountId, userName, roleArn, issuedAtMs } = accessKey.principal;
  return {
    type: USER_TYPES[kind],
    principalId,
    arn,
    accountId,
    ...(request === undefined ? { invokedBy: OWN_NAME } : { accessKeyId: accessKey.id }),
    ...(userName === undefined ? {} : { userName }),
    ...(issuedAtMs === undefined
      ? {}
      : { sessionContext: sessionContext(accessKey.principal, roleArn, issuedAtMs) }),
  };
}

const USER_TYPES = { root: 'Root', user: 'IAMUser', 'assumed-role': 'AssumedRole' } as const;

function sessionContext(
  { accountId, principalId }: Principal,
  roleArn: string | undefined,
  issuedAtMs: number,
): Readonly<Record<string, unknown>> {
  const creationDate = `${new Date(issuedAtMs).toISOString().slice(0, 19)}Z`;
  return {
    ...(roleArn === undefined
      ? {}
      : {
          sessionIssuer: {
            type: 'Role',
            principalId: principalId.split(':')[0],
            arn: roleArn,
            accountId,
            userName: roleArn.slice(roleArn.lastIndexOf('/') + 1),
          },
        }),
    attributes: { creationDate, mfaAuthenticated: 'false' },
  };
}

/** Members under their CloudTrail names, first letter small; bytes and tokens left out, at any depth. */
function parameters(members: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const out: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(members)) {
    if (value === undefined || Buffer.isBuffer(value) || name === 'GrantTokens' || name === 'GrantToken')
      continue;
    // The context's keys are the caller's own, not members of the API.
    out[lowerFirst(name)] = name.endsWith('EncryptionContext') ? value : nested(value);
  }
  return out;
}

function nested(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(nested);
  if (typeof value !== 'object' || value === null) return value;
  return parameters(Object.fromEntries(Object.entries(value)));
}
