/** The API server's side of KMS v2 (k8s.io/kms apis/v2). */
import { openChannel, type ConnectKmsOptions } from './channel.js';
import { KmsApiError } from './errors.js';
import { KeyManagementServiceService as methods } from './gen/kms/v2/api.js';
import { ciphertextMaxBytes, plaintextMaxBytes, textMaxBytes } from './limits.js';
import type { KmsV2Service } from './service.js';
import { annotationsProblem, keyIdProblem, lengthProblem } from './validate.js';

/** A `KmsV2Service` behind a socket; every call rejects with KmsApiError only. */
export interface KmsV2Client extends KmsV2Service {
  /** Calls in flight fail with `cancelled`. */
  close(): void;
}

/**
 * Connects to a KMS v2 plugin: lazily, and again by itself after the plugin was away.
 *
 * Both what is sent and what comes back is held to the contract's limits. An answer with an unhealthy `healthz` is no
 * error here, and neither `version` nor the key ids are compared: that is the state machine's part.
 *
 * @throws KmsApiError `invalid_endpoint`
 */
export function connectKmsV2(options: ConnectKmsOptions): KmsV2Client {
  const channel = openChannel(options);

  const checkRequest = (method: string, problem: string | undefined): void => {
    if (problem !== undefined) {
      throw new KmsApiError('invalid_argument', `${method} is not sent: ${problem}.`, { method });
    }
  };
  const checkResponse = (method: string, problem: string | undefined): void => {
    if (problem !== undefined) throw channel.invalidResponse(method, problem);
  };

  return {
    close: () => {
      channel.close();
    },

    async status(signal) {
      const { version, healthz, keyId } = await channel.call(methods.status, {}, signal);
      checkResponse(
        'Status',
        lengthProblem('version', Buffer.byteLength(version), 0, textMaxBytes) ??
          lengthProblem('healthz', Buffer.byteLength(healthz), 0, textMaxBytes) ??
          // An unhealthy plugin may not know its key; a healthy one must.
          (healthz === 'ok' || keyId !== '' ? keyIdProblem(keyId) : undefined),
      );
      return { version, healthz, keyId };
    },

    async encrypt(uid, plaintext, signal) {
      checkRequest('Encrypt', lengthProblem('plaintext', plaintext.length, 0, plaintextMaxBytes));
      const response = await channel.call(methods.encrypt, { uid, plaintext }, signal);
      const annotations = Object.fromEntries(response.annotations);
      checkResponse(
        'Encrypt',
        lengthProblem('ciphertext', response.ciphertext.length, 1, ciphertextMaxBytes) ??
          keyIdProblem(response.keyId) ??
          annotationsProblem(annotations),
      );
      return { ciphertext: response.ciphertext, keyId: response.keyId, annotations };
    },

    async decrypt(uid, request, signal) {
      checkRequest(
        'Decrypt',
        lengthProblem('ciphertext', request.ciphertext.length, 1, ciphertextMaxBytes) ??
          keyIdProblem(request.keyId) ??
          annotationsProblem(request.annotations),
      );
      const { plaintext } = await channel.call(
        methods.decrypt,
        {
          uid,
          ciphertext: request.ciphertext,
          keyId: request.keyId,
          annotations: new Map(Object.entries(request.annotations)),
        },
        signal,
      );
      checkResponse('Decrypt', lengthProblem('plaintext', plaintext.length, 0, plaintextMaxBytes));
      return plaintext;
    },
  };
}
