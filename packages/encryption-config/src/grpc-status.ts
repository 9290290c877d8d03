/** The gRPC status behind an error, as metrics name it. */

/** In the order of the numbers (google.golang.org/grpc `codes`). */
const GRPC_STATUS_NAMES = [
  'OK',
  'Canceled',
  'Unknown',
  'InvalidArgument',
  'DeadlineExceeded',
  'NotFound',
  'AlreadyExists',
  'PermissionDenied',
  'ResourceExhausted',
  'FailedPrecondition',
  'Aborted',
  'OutOfRange',
  'Unimplemented',
  'Internal',
  'Unavailable',
  'DataLoss',
  'Unauthenticated',
];

/** The gRPC status behind an error, `OK` for none, `unknown-non-grpc` when the failure was not a call's. */
export function grpcStatusName(error: unknown): string {
  if (error === undefined) return 'OK';
  let current: unknown = error;
  // Errors wrap each other two or three deep; the bound is against a cycle.
  for (let depth = 0; depth < 8 && current instanceof Error; depth++) {
    const code: unknown = (current as { readonly code?: unknown }).code;
    if (typeof code === 'number') return GRPC_STATUS_NAMES[code] ?? 'Unknown';
    current = current.cause;
  }
  return 'unknown-non-grpc';
}
