/** KMS v2 served: limits checked on the way in and out, plaintexts overwritten once they have served. */
import { ciphertextMaxBytes, plaintextMaxBytes, uidMaxBytes } from './limits.js';
import type { KeyManagementServiceServer } from './gen/kms/v2/api.js';
import { refuse, unary, withhold, withholdPlaintext, type ReportCall } from './server-call.js';
import type { KmsV2Service } from './service.js';
import { annotationsProblem, keyIdProblem, lengthProblem } from './validate.js';

export function v2Implementation(service: KmsV2Service, report: ReportCall): KeyManagementServiceServer {
  const uidProblem = (uid: string): string | undefined =>
    lengthProblem('uid', Buffer.byteLength(uid), 0, uidMaxBytes);

  return {
    status: unary('v2', 'Status', report, async (_request, signal) => {
      const status = await service.status(signal);
      withhold(
        'Status',
        status.healthz === 'ok' || status.keyId !== '' ? keyIdProblem(status.keyId) : undefined,
      );
      return { version: status.version, healthz: status.healthz, keyId: status.keyId };
    }),

    encrypt: unary(
      'v2',
      'Encrypt',
      report,
      async ({ uid, plaintext }, signal, timeoutMs) => {
        try {
          refuse(
            'Encrypt',
            uidProblem(uid) ?? lengthProblem('plaintext', plaintext.length, 0, plaintextMaxBytes),
          );
          const answer = await service.encrypt(uid, plaintext, signal, timeoutMs);
          withhold(
            'Encrypt',
            lengthProblem('ciphertext', answer.ciphertext.length, 1, ciphertextMaxBytes) ??
              keyIdProblem(answer.keyId) ??
              annotationsProblem(answer.annotations),
          );
          return {
            ciphertext: answer.ciphertext,
            keyId: answer.keyId,
            annotations: new Map(Object.entries(answer.annotations)),
          };
        } finally {
          plaintext.fill(0);
        }
      },
      (request) => request.uid,
    ),

    decrypt: unary(
      'v2',
      'Decrypt',
      report,
      async ({ uid, ciphertext, keyId, annotations: sent }, signal, timeoutMs) => {
        const annotations = Object.fromEntries(sent);
        refuse(
          'Decrypt',
          uidProblem(uid) ??
            lengthProblem('ciphertext', ciphertext.length, 1, ciphertextMaxBytes) ??
            keyIdProblem(keyId) ??
            annotationsProblem(annotations),
        );
        const plaintext = await service.decrypt(uid, { ciphertext, keyId, annotations }, signal, timeoutMs);
        withholdPlaintext(plaintext);
        return { plaintext };
      },
      (request) => request.uid,
    ),
  };
}
