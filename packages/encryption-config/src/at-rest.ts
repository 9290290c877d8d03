/**
 * Encryption at rest as the API server sees it: one transformer per resource and the health of what stands behind
 * them. The transformers stay valid over configuration reloads; the caller never swaps anything.
 */
import type { Transformer } from '@waxseal/envelope';

/** `group` is empty for the core group. */
export interface GroupResource {
  readonly group: string;
  readonly resource: string;
}

/** One entry of `/healthz` and `/readyz`: `kms-providers`, or `kms-provider-N` with KMS v1. */
export interface HealthCheck {
  readonly name: string;
  /** Resolves when healthy; rejects with a message that is safe to show to an administrator. */
  check(): Promise<void>;
}

export interface EncryptionAtRest {
  /** The transformer of a resource; identity when no rule of the configuration covers it. */
  transformerFor(resource: GroupResource): Transformer;
  /** The checks of the configuration in force now. */
  healthChecks(): readonly HealthCheck[];
  /** Stops polling and closes the connections to the plugins. */
  close(): Promise<void>;
}
