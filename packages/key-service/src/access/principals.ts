/**
 * Who may call: accounts, their users, and the access keys that sign for them.
 *
 * Source of the rule: IAM User Guide, "IAM identifiers". A directory answers one question on the hot path: whose access
 * key is this? Roles and sessions will be further implementations of the same interface.
 */
import type { CompiledPolicy } from './policy.js';

export interface Principal {
  readonly kind: 'root' | 'user';
  readonly accountId: string;
  /** `arn:aws:iam::123456789012:root` or `arn:aws:iam::123456789012:user/name`. */
  readonly arn: string;
  /** What CloudTrail calls principalId: the account id for root, a unique `AIDA…` id for a user. */
  readonly principalId: string;
  readonly userName?: string;
  /** Identity policies. The account root needs none: it is allowed everything in its own account. */
  readonly policies: readonly CompiledPolicy[];
}

export interface AccessKey {
  readonly id: string;
  readonly secret: string;
  readonly principal: Principal;
  /** Temporary credentials carry a token that must come with every request. */
  readonly sessionToken?: string;
  readonly expiresAtMs?: number;
}

export interface PrincipalDirectory {
  findAccessKey(accessKeyId: string): AccessKey | undefined;
  readonly accountIds: readonly string[];
  /** True when a policy may name this principal: an account, or a user that exists. */
  hasPrincipal(arn: string): boolean;
}

export function accountRootArn(accountId: string): string {
  return `arn:aws:iam::${accountId}:root`;
}

export interface NewAccessKey {
  readonly id: string;
  readonly secret: string;
}

const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

/** An access key in AWS's shape: `AKIA` and 16 characters, and a secret of 40. The secret is shown once and kept safe by the caller. */
export function createAccessKey(randomBytes: (size: number) => Buffer): NewAccessKey {
  return {
    id: `AKIA${Array.from(randomBytes(16), (byte) => BASE32.charAt(byte & 31)).join('')}`,
    secret: randomBytes(30).toString('base64'),
  };
}
