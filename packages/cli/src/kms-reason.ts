/** Why nothing can be sealed: what the KMS plugins say of themselves, in place of what follows from it. */
import type { EncryptionAtRest } from '@waxseal/encryption-config';
import { EnvelopeError } from '@waxseal/envelope';
import { OpsError } from '@waxseal/ops';

/** `thrown` with the reasons of the health checks in its message, when it says that a KMS gave no key to write with; any other error as it is. */
export async function withKmsReason(
  thrown: unknown,
  encryption: Pick<EncryptionAtRest, 'healthChecks'>,
): Promise<unknown> {
  if (!(thrown instanceof OpsError) || !lacksWriteKey(thrown.cause)) return thrown;
  const checks = await Promise.allSettled(encryption.healthChecks().map((check) => check.check()));
  const reasons = checks.flatMap((check) => (check.status === 'rejected' ? [messageOf(check.reason)] : []));
  if (reasons.length === 0) return thrown;
  return new OpsError(thrown.code, `${thrown.message} The plugin's answer: ${reasons.join('; ')}.`, thrown);
}

function lacksWriteKey(cause: unknown): boolean {
  return (
    cause instanceof EnvelopeError &&
    (cause.code === 'no-write-state' || cause.code === 'write-state-expired')
  );
}

function messageOf(reason: unknown): string {
  return (reason instanceof Error ? reason.message : String(reason)).replace(/\.+$/, '');
}
