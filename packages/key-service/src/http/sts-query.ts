/**
 * STS over the AWS query protocol: GetCallerIdentity, AssumeRole, GetSessionToken, by POST form or by a presigned GET.
 *
 * Source of the rule: STS API reference 2011-06-15; errors are the query protocol's XML with its own code names.
 */
import { AwsError, type AwsErrorCode } from '../aws-error.js';
import type { SignatureVerifier, VerifiedCaller } from '../sigv4/verifier.js';
import { readAssumeRole, readGetSessionToken } from '../sts/inputs.js';
import {
  assumeRole,
  getCallerIdentity,
  getSessionToken,
  type StsResult,
  type StsServices,
} from '../sts/operations.js';
import type { AuditedResource } from '../operations/call.js';
import type { Output } from '../operations/operation.js';
import type { CallRecorder } from './call-recorder.js';
import { type HttpRequest, type HttpResponse, splitTarget } from './message.js';

const NAMESPACE = 'https://sts.amazonaws.com/doc/2011-06-15/';
const CONTENT_TYPE = 'text/xml';
const FORM = /^application\/x-www-form-urlencoded(?:\s*;|$)/i;

interface QueryError {
  readonly code: string;
  readonly status: number;
}

/** Errors under the names the query protocol gives them. */
const QUERY_ERRORS: { readonly [Code in AwsErrorCode]?: QueryError } = {
  AccessDeniedException: { code: 'AccessDenied', status: 403 },
  ExpiredTokenException: { code: 'ExpiredToken', status: 403 },
  IncompleteSignatureException: { code: 'IncompleteSignature', status: 400 },
  InvalidParameterValueException: { code: 'InvalidParameterValue', status: 400 },
  InvalidSignatureException: { code: 'SignatureDoesNotMatch', status: 403 },
  MalformedPolicyDocumentException: { code: 'MalformedPolicyDocument', status: 400 },
  MissingAuthenticationTokenException: { code: 'MissingAuthenticationToken', status: 403 },
  UnrecognizedClientException: { code: 'InvalidClientTokenId', status: 403 },
  UnknownOperationException: { code: 'InvalidAction', status: 400 },
  ValidationException: { code: 'ValidationError', status: 400 },
};

type Action = (
  services: StsServices,
  caller: VerifiedCaller,
  parameters: URLSearchParams,
  request: HttpRequest,
) => StsResult;

const ACTIONS: ReadonlyMap<string, Action> = new Map<string, Action>([
  ['GetCallerIdentity', (_services, caller) => getCallerIdentity(caller)],
  [
    'AssumeRole',
    (services, caller, parameters, request) =>
      assumeRole(services, caller, readAssumeRole(parameters), request),
  ],
  [
    'GetSessionToken',
    (services, caller, parameters) => getSessionToken(services, caller, readGetSessionToken(parameters)),
  ],
]);

export interface StsQueryProtocol {
  /** True when the request speaks this protocol. */
  accepts(request: HttpRequest): boolean;
  handle(request: HttpRequest): Promise<HttpResponse>;
}

export function createStsQueryProtocol(
  services: StsServices,
  verifier: SignatureVerifier,
  recorder: CallRecorder,
): StsQueryProtocol {
  return {
    accepts: (request) =>
      FORM.test(request.headers.get('content-type') ?? '') ||
      (request.method === 'GET' && splitTarget(request.target).query.includes('Action=')),

    async handle(request) {
      const started = recorder.start(request, 'sts.amazonaws.com');
      const { requestId } = started;
      const parameters = parametersOf(request);
      const name = parameters.get('Action') ?? '';
      const action = ACTIONS.get(name);
      let caller: VerifiedCaller | undefined;
      let result: StsResult | undefined;
      let error: AwsError | undefined;
      try {
        if (action === undefined)
          throw new AwsError(
            'UnknownOperationException',
            'Could not find the operation for version 2011-06-15',
          );
        caller = verifier.verify(request, 'sts');
        result = action(services, caller, parameters, request);
      } catch (thrown) {
        error = recorder.asAwsError(thrown, name);
      }
      const failed = await started.finish({
        eventName: action === undefined ? 'Unknown' : name,
        readOnly: true,
        accessKey: caller?.accessKey,
        region: caller?.region,
        input: auditedParameters(parameters),
        output: result && auditedResult(result),
        resources: auditedRole(name, parameters),
        error,
      });
      const body =
        failed !== undefined || result === undefined
          ? errorXml(failed, requestId)
          : resultXml(name, result, requestId);
      const status = failed === undefined ? 200 : (QUERY_ERRORS[failed.code]?.status ?? failed.status);
      return { status, contentType: CONTENT_TYPE, requestId, body };
    },
  };
}

function parametersOf(request: HttpRequest): URLSearchParams {
  return new URLSearchParams(
    request.method === 'POST' ? request.body.toString('utf8') : splitTarget(request.target).query,
  );
}

/** What AssumeRole is asked for is the point of its record; signatures and tokens of presigned requests are not. */
const AUDITED = ['RoleArn', 'RoleSessionName', 'DurationSeconds', 'ExternalId', 'SourceIdentity', 'Policy'];

function auditedParameters(parameters: URLSearchParams): Readonly<Record<string, unknown>> | undefined {
  const input = Object.fromEntries(
    AUDITED.flatMap((name) => {
      const value = parameters.get(name);
      if (value === null) return [];
      const number = name === 'DurationSeconds' && /^\d{1,9}$/.test(value);
      return [[name, number ? Number(value) : value.slice(0, MAX_AUDITED_CHARS)] as const];
    }),
  );
  return Object.keys(input).length === 0 ? undefined : input;
}

const MAX_AUDITED_CHARS = 2048;

/** What was issued, without what makes it usable. GetCallerIdentity issues nothing. */
function auditedResult({ Credentials, AssumedRoleUser, SourceIdentity }: StsResult): Output {
  if (typeof Credentials !== 'object') return undefined;
  const { AccessKeyId, Expiration } = Credentials;
  const expirationMs = typeof Expiration === 'string' ? Date.parse(Expiration) : Number.NaN;
  return {
    Credentials: { AccessKeyId, Expiration: expirationMs / 1000 },
    AssumedRoleUser,
    SourceIdentity,
  };
}

function auditedRole(action: string, parameters: URLSearchParams): readonly AuditedResource[] {
  const arn = parameters.get('RoleArn') ?? '';
  const accountId = /^arn:aws:iam::(\d{12}):role\/[\w+=,.@/-]{1,576}$/.exec(arn)?.[1];
  if (action !== 'AssumeRole' || accountId === undefined) return [];
  return [{ arn, accountId, type: 'AWS::IAM::Role' }];
}

function resultXml(action: string, result: StsResult, requestId: string): string {
  return `<${action}Response xmlns="${NAMESPACE}"><${action}Result>${membersXml(result)}</${action}Result><ResponseMetadata><RequestId>${requestId}</RequestId></ResponseMetadata></${action}Response>\n`;
}

function membersXml(members: StsResult): string {
  return Object.entries(members)
    .map(
      ([name, value]) =>
        `<${name}>${typeof value === 'string' ? escapeXml(value) : membersXml(value)}</${name}>`,
    )
    .join('');
}

function errorXml(error: AwsError | undefined, requestId: string): string {
  const code =
    error === undefined ? 'InternalFailure' : (QUERY_ERRORS[error.code]?.code ?? 'InternalFailure');
  const type = code === 'InternalFailure' ? 'Receiver' : 'Sender';
  return `<ErrorResponse xmlns="${NAMESPACE}"><Error><Type>${type}</Type><Code>${code}</Code><Message>${escapeXml(error?.message ?? '')}</Message></Error><RequestId>${requestId}</RequestId></ErrorResponse>\n`;
}

function escapeXml(text: string): string {
  const entities: Readonly<Record<string, string>> = {
    '&': '&amp;',
    '<': '&lt;',
    '>': '&gt;',
    '"': '&quot;',
  };
  return text.replaceAll(/[&<>"]/g, (char) => entities[char] as string);
}
