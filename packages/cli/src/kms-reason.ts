/** Why nothing can be sealed: what the KMS plugins say of themselves, in place of what follows from it. */
import type { EncryptionAtRest } from '@waxseal/encryption-config';
import { EnvelopeError } from '@waxseal/envelope';
import { OpsError } from '@waxseal/ops';

/** `error` with the reasons of the health checks in its message, when it says that a KMS gave no key to write with; any other error as it is. */
export async function withKmsReason(
  error: unknown,
  encryption: Pick<EncryptionAtRest, 'healthChecks'>,
): Promise<unknown> {
  if (!(error instanceof OpsError) || !lacksWriteKey(error.cause)) return error;
  const checks = await Promise.allSettled(encryption.healthChecks().map((check) => check.check()));
  const reasons = checks.flatMap((check) => (check.status === 'rejected' ? [messageOf(check.reason)] : []));
  if (reasons.length === 0) return error;
  return new OpsError(error.code, `${error.message} The plugin's answer: ${reasons.join('; ')}.`, error);
}

function lacksWriteKey(cause: unknown): boolean {
  return (
    cause instanceof EnvelopeError &&
    (cause.code === 'no-write-state' || cause.code === 'write-state-expired')
  );
}

function messageOf(reason: unknown): string {
  return reason instanceof Error ? reason.message : String(reason);
}
