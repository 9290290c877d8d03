/** One operation run by the process itself, as an account's root, recorded in the audit log like any call. */
import type { AwsError } from './aws-error.js';
import { createRootPrincipal } from './access/principal-directory.js';
import type { AccessKey } from './access/principals.js';
import type { CallRecorder } from './http/call-recorder.js';
import type { JsonObject } from './http/json-body.js';
import type { Call, KeyServices } from './operations/call.js';
import type { Operation, Output } from './operations/operation.js';

/** @throws AwsError what the operation throws, or that it could not be recorded */
export async function runAsRoot(
  services: KeyServices,
  recorder: CallRecorder,
  operation: Operation,
  { accountId, region }: { readonly accountId: string; readonly region: string },
  input: JsonObject,
): Promise<Call> {
  const principal = createRootPrincipal(accountId);
  // Signs nothing: it only carries the principal into the audit record.
  const accessKey: AccessKey = { id: '', secret: '', principal };
  const started = recorder.start(undefined, 'kms.amazonaws.com');
  const call: Call = {
    services,
    principal,
    accessKey,
    region,
    requestId: started.requestId,
    nowMs: services.now(),
    resources: [],
  };
  let output: Output;
  let error: AwsError | undefined;
  try {
    if (!operation.readOnly) recorder.refuseUnrecordable();
    await services.keys.catchUp();
    output = await operation.execute(call, input);
  } catch (thrown) {
    error = recorder.asAwsError(thrown, operation.name);
  }
  const { name: eventName, readOnly } = operation;
  const failed = await started.finish({ eventName, readOnly, accessKey, region, call, output, error });
  if (failed !== undefined) throw failed;
  return call;
}
