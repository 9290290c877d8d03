/**
 * KMS and CloudTrail over the AWS JSON 1.1 protocol: `POST /` with `X-Amz-Target: TrentService.<Action>`.
 *
 * Signature, body, operation, answer, in that order; whatever happens, one audit record is on disk before the answer leaves.
 */
import { AwsError } from '../aws-error.js';
import type { Call } from '../operations/call.js';
import type { Operation, Output } from '../operations/operation.js';
import { CLOUDTRAIL_OPERATIONS } from '../operations/lookup-events.js';
import { OPERATIONS } from '../operations/table.js';
import type { SignatureVerifier, VerifiedCaller } from '../sigv4/verifier.js';
import type { Throttle } from '../throttle/throttle.js';
import { parseJsonBody } from './json-body.js';
import { type HttpRequest, type HttpResponse, splitTarget } from './message.js';
import type { CallRecorder } from './call-recorder.js';
import type { KeyServices } from '../operations/call.js';

interface AwsJsonService {
  /** What `X-Amz-Target` begins with. */
  readonly targetPrefix: string;
  /** In the credential scope. */
  readonly signingName: string;
  readonly eventSource: string;
  readonly operations: ReadonlyMap<string, Operation>;
}

const KMS: AwsJsonService = {
  targetPrefix: 'TrentService.',
  signingName: 'kms',
  eventSource: 'kms.amazonaws.com',
  operations: OPERATIONS,
};

const CLOUDTRAIL: AwsJsonService = {
  targetPrefix: 'com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.',
  signingName: 'cloudtrail',
  eventSource: 'cloudtrail.amazonaws.com',
  operations: CLOUDTRAIL_OPERATIONS,
};

const CONTENT_TYPE = 'application/x-amz-json-1.1';
const CONTENT_TYPES = /^application\/x-amz-json-1\.[01](?:\s*;|$)/i;

export interface AwsJsonProtocol {
  handle(request: HttpRequest): Promise<HttpResponse>;
}

export function createAwsJsonProtocol(
  services: KeyServices,
  verifier: SignatureVerifier,
  recorder: CallRecorder,
  throttle: Throttle,
): AwsJsonProtocol {
  async function execute(
    operation: Operation,
    request: HttpRequest,
    caller: VerifiedCaller,
    requestId: string,
  ) {
    const call: Call = {
      services,
      principal: caller.accessKey.principal,
      accessKey: caller.accessKey,
      region: caller.region,
      requestId,
      nowMs: services.now(),
      http: request,
      resources: [],
    };
    let output: Output;
    let error: AwsError | undefined;
    try {
      throttle.admit(operation.name, call.principal.accountId, call.region);
      if (!operation.readOnly) recorder.refuseUnrecordable();
      const catchingUp = services.keys.catchUp();
      if (catchingUp !== undefined) await catchingUp;
      output = await operation.execute(call, parseJsonBody(request.body));
    } catch (thrown) {
      error = recorder.asAwsError(thrown, operation.name);
    }
    return { call, output, error };
  }

  return {
    async handle(request) {
      const target = request.headers.get('x-amz-target') ?? '';
      const service = target.startsWith(CLOUDTRAIL.targetPrefix) ? CLOUDTRAIL : KMS;
      const started = recorder.start(request, service.eventSource);
      const { requestId } = started;
      if (!CONTENT_TYPES.test(request.headers.get('content-type') ?? '')) {
        // Without its content type no protocol is recognised, and the service answers in none.
        await started.finish({
          eventName: 'Unknown',
          readOnly: true,
          error: new AwsError('UnknownOperationException'),
        });
        return { status: 404, contentType: undefined, requestId, body: '<UnknownOperationException/>\n' };
      }
      const name = operationName(request, target, service);
      const operation = name === undefined ? undefined : service.operations.get(name);
      let caller: VerifiedCaller | undefined;
      try {
        if (operation === undefined) throw new AwsError('UnknownOperationException');
        caller = verifier.verify(request, service.signingName);
      } catch (thrown) {
        const error = recorder.asAwsError(thrown, name ?? 'Unknown');
        const eventName = operation?.name ?? 'Unknown';
        return failure(
          (await started.finish({ eventName, readOnly: operation?.readOnly ?? true, error })) ?? error,
          requestId,
        );
      }
      const { call, output, error } = await execute(operation, request, caller, requestId);
      const failed = await started.finish({
        eventName: operation.name,
        readOnly: operation.readOnly,
        accessKey: caller.accessKey,
        region: caller.region,
        call,
        output,
        error,
      });
      if (failed !== undefined) return failure(failed, requestId);
      return {
        status: 200,
        contentType: CONTENT_TYPE,
        requestId,
        body: output === undefined ? '' : JSON.stringify(output),
      };
    },
  };
}

function operationName(
  request: HttpRequest,
  target: string,
  { targetPrefix }: AwsJsonService,
): string | undefined {
  if (request.method !== 'POST' || splitTarget(request.target).path !== '/') return undefined;
  return target.startsWith(targetPrefix) ? target.slice(targetPrefix.length) : undefined;
}

function failure(error: AwsError, requestId: string): HttpResponse {
  return { status: error.status, contentType: CONTENT_TYPE, requestId, body: error.body() };
}
