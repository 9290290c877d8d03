/**
 * The calls of AWS KMS that wrapping and its early warning need, free of how they travel: over the AWS SDK (`aws-sdk-calls.ts`) or over
 * the lean client (`lean-kms-calls.ts`).
 */

/** Longest lawful answer: 6 KiB of ciphertext as base64, and names; longer ones are not read to their end. */
export const answerMaxBytes = 64 * 1024;

export interface AwsKeyMetadata {
  /** As AWS spells them: `Enabled`, `PendingDeletion`, … */
  readonly keyState: string;
  /** Of a key that is pending deletion. */
  readonly deletionDateMs?: number;
  /** When imported key material expires. */
  readonly validToMs?: number;
  readonly multiRegion: boolean;
  /** How long the key will wait once its last replica is gone; of state `PendingReplicaDeletion`. */
  readonly pendingDeletionWindowInDays?: number;
}

export interface AwsKmsCalls {
  /** @throws ProviderError */
  encrypt(
    request: {
      readonly keyId: string;
      readonly plaintext: Buffer;
      readonly encryptionContext: Readonly<Record<string, string>>;
    },
    signal: AbortSignal,
  ): Promise<{ readonly ciphertextBlob: Uint8Array; readonly keyId: string }>;

  /** @throws ProviderError. The Buffer is the caller's, who overwrites it. */
  decrypt(
    request: {
      readonly ciphertextBlob: Buffer;
      readonly encryptionContext: Readonly<Record<string, string>>;
    },
    signal: AbortSignal,
  ): Promise<{ readonly plaintext: Buffer; readonly keyId: string }>;

  /**
   * @returns KeyMetadata of DescribeKey, its dates in milliseconds since 1970
   * @throws ProviderError
   */
  describeKey(keyId: string, signal: AbortSignal): Promise<AwsKeyMetadata>;
  /** Reads credentials and certificates again. */
  reload(): Promise<void>;
  close(): void;
}
