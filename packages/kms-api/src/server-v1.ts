/** KMS v1 served: limits checked on the way in and out, plaintexts overwritten once they have served. */
import { kmsV1Version } from './client-v1.js';
import { plaintextMaxBytes, v1CiphertextMaxBytes } from './limits.js';
import type { KeyManagementServiceServer } from './gen/kms/v1beta1/api.js';
import { refuse, unary, withhold, withholdPlaintext, type ReportCall } from './server-call.js';
import type { KmsV1Service } from './service.js';
import { lengthProblem } from './validate.js';

export function v1Implementation(service: KmsV1Service, report: ReportCall): KeyManagementServiceServer {
  // Hand-written callers leave the version out, as it was optional in the first plugins.
  const versionProblem = (version: string): string | undefined =>
    version === '' || version === kmsV1Version ? undefined : `only version "${kmsV1Version}" is served`;

  return {
    version: unary('v1', 'Version', report, async (request, signal) => {
      refuse('Version', versionProblem(request.version));
      const { version, runtimeName, runtimeVersion } = await service.version(signal);
      return { version, runtimeName, runtimeVersion };
    }),

    encrypt: unary('v1', 'Encrypt', report, async ({ version, plain }, signal, timeoutMs) => {
      try {
        refuse(
          'Encrypt',
          versionProblem(version) ?? lengthProblem('plaintext', plain.length, 0, plaintextMaxBytes),
        );
        const cipher = await service.encrypt(plain, signal, timeoutMs);
        withhold('Encrypt', lengthProblem('ciphertext', cipher.length, 1, v1CiphertextMaxBytes));
        return { cipher };
      } finally {
        plain.fill(0);
      }
    }),

    decrypt: unary('v1', 'Decrypt', report, async ({ version, cipher }, signal, timeoutMs) => {
      refuse(
        'Decrypt',
        versionProblem(version) ?? lengthProblem('ciphertext', cipher.length, 1, v1CiphertextMaxBytes),
      );
      const plain = await service.decrypt(cipher, signal, timeoutMs);
      withholdPlaintext(plain);
      return { plain };
    }),
  };
}
