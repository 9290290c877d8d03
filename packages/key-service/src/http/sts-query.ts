/**
 * STS over the AWS query protocol, as far as callers ask who they are: `Action=GetCallerIdentity`, by POST form or by a
 * presigned GET.
 *
 * Source of the rule: STS API reference 2011-06-15; errors are the query protocol's XML with its own code names.
 */
import type { Principal } from '../access/principals.js';
import { AwsError, type AwsErrorCode } from '../aws-error.js';
import type { SignatureVerifier, VerifiedCaller } from '../sigv4/verifier.js';
import type { CallRecorder } from './call-recorder.js';
import { type HttpRequest, type HttpResponse, splitTarget } from './message.js';

const NAMESPACE = 'https://sts.amazonaws.com/doc/2011-06-15/';
const CONTENT_TYPE = 'text/xml';
const FORM = /^application\/x-www-form-urlencoded(?:\s*;|$)/i;

interface QueryError {
  readonly code: string;
  readonly status: number;
}

/** The signature errors under the names the query protocol gives them. */
const QUERY_ERRORS: { readonly [Code in AwsErrorCode]?: QueryError } = {
  ExpiredTokenException: { code: 'ExpiredToken', status: 403 },
  IncompleteSignatureException: { code: 'IncompleteSignature', status: 400 },
  InvalidSignatureException: { code: 'SignatureDoesNotMatch', status: 403 },
  MissingAuthenticationTokenException: { code: 'MissingAuthenticationToken', status: 403 },
  UnrecognizedClientException: { code: 'InvalidClientTokenId', status: 403 },
  UnknownOperationException: { code: 'InvalidAction', status: 400 },
};

export interface StsQueryProtocol {
  /** True when the request speaks this protocol. */
  accepts(request: HttpRequest): boolean;
  handle(request: HttpRequest): Promise<HttpResponse>;
}

export function createStsQueryProtocol(
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
      const action = parametersOf(request).get('Action');
      const known = action === 'GetCallerIdentity';
      let caller: VerifiedCaller | undefined;
      let error: AwsError | undefined;
      try {
        if (!known)
          throw new AwsError(
            'UnknownOperationException',
            'Could not find the operation for version 2011-06-15',
          );
        caller = verifier.verify(request, 'sts');
      } catch (thrown) {
        error = recorder.asAwsError(thrown, 'GetCallerIdentity');
      }
      const failed = await started.finish({
        eventName: known ? action : 'Unknown',
        readOnly: true,
        accessKey: caller?.accessKey,
        region: caller?.region,
        error,
      });
      const body =
        failed !== undefined || caller === undefined
          ? errorXml(failed, requestId)
          : identityXml(caller.accessKey.principal, requestId);
      const status = failed === undefined ? 200 : (QUERY_ERRORS[failed.code]?.status ?? failed.status);
      return { status, contentType: CONTENT_TYPE, requestId, body };
    },
  };
}

function parametersOf(request: HttpRequest): URLSearchParams {
  return new URLSearchParams(
    request.method === 'POST' ? request.body.toString('latin1') : splitTarget(request.target).query,
  );
}

function identityXml({ arn, principalId, accountId }: Principal, requestId: string): string {
  return `<GetCallerIdentityResponse xmlns="${NAMESPACE}"><GetCallerIdentityResult><Arn>${escapeXml(arn)}</Arn><UserId>${escapeXml(principalId)}</UserId><Account>${accountId}</Account></GetCallerIdentityResult><ResponseMetadata><RequestId>${requestId}</RequestId></ResponseMetadata></GetCallerIdentityResponse>\n`;
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
