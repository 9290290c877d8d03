/**
 * The two calls of AWS KMS that wrapping needs, free of how they travel: over the AWS SDK (`aws-sdk-calls.ts`) or over
 * the lean client (`lean-kms-calls.ts`).
 */

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

  /** Reads credentials and certificates again. */
  reload(): Promise<void>;
  close(): void;
}
