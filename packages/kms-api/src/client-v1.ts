/** The API server's side of KMS v1 (k8s.io/kms apis/v1beta1). */
import { openChannel, type ConnectKmsOptions } from './channel.js';
import { KmsApiError } from './errors.js';
import { KeyManagementServiceService as methods } from './gen/kms/v1beta1/api.js';
import { plaintextMaxBytes, textMaxBytes, v1CiphertextMaxBytes } from './limits.js';
import type { KmsV1Service } from './service.js';
import { lengthProblem } from './validate.js';

/** The only version of the v1 contract. */
export const kmsV1Version = 'v1beta1';

/** A `KmsV1Service` behind a socket; every call rejects with KmsApiError only. */
export interface KmsV1Client extends KmsV1Service {
  /** Calls in flight fail with `cancelled`. */
  close(): void;
}

/**
 * Connects to a KMS v1 plugin: lazily, and again by itself after the plugin was away.
 *
 * As k8s.io/apiserver does, the first Encrypt or Decrypt asks for the version and refuses any but `v1beta1`.
 *
 * @throws KmsApiError `invalid_endpoint`
 */
export function connectKmsV1(options: ConnectKmsOptions): KmsV1Client {
  const channel = openChannel(options);
  let versionChecked = false;

  const version: KmsV1Service['version'] = async (signal) => {
    const response = await channel.call(methods.version, { version: kmsV1Version }, signal);
    for (const text of [response.version, response.runtimeName, response.runtimeVersion]) {
      const problem = lengthProblem('a version text', Buffer.byteLength(text), 0, textMaxBytes);
      if (problem !== undefined) throw channel.invalidResponse('Version', problem);
    }
    return response;
  };

  const checkVersion = async (signal: AbortSignal | undefined): Promise<void> => {
    if (versionChecked) return;
    const answered = (await version(signal)).version;
    if (answered !== kmsV1Version) {
      throw channel.invalidResponse(
        'Version',
        `it speaks ${JSON.stringify(answered)}, only "${kmsV1Version}" is supported`,
      );
    }
    versionChecked = true;
  };

  const call = async (
    name: 'Encrypt' | 'Decrypt',
    send: () => Promise<Buffer>,
    request: string | undefined,
    response: (bytes: Buffer) => string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<Buffer> => {
    if (request !== undefined) {
      throw new KmsApiError('invalid_argument', `${name} is not sent: ${request}.`, { method: name });
    }
    await checkVersion(signal);
    const bytes = await send();
    const problem = response(bytes);
    if (problem !== undefined) throw channel.invalidResponse(name, problem);
    return bytes;
  };

  return {
    close: () => {
      channel.close();
    },
    version,
    encrypt: (plaintext, signal) =>
      call(
        'Encrypt',
        async () =>
          (await channel.call(methods.encrypt, { version: kmsV1Version, plain: plaintext }, signal)).cipher,
        lengthProblem('plaintext', plaintext.length, 0, plaintextMaxBytes),
        (cipher) => lengthProblem('ciphertext', cipher.length, 1, v1CiphertextMaxBytes),
        signal,
      ),
    decrypt: (ciphertext, signal) =>
      call(
        'Decrypt',
        async () =>
          (await channel.call(methods.decrypt, { version: kmsV1Version, cipher: ciphertext }, signal)).plain,
        lengthProblem('ciphertext', ciphertext.length, 1, v1CiphertextMaxBytes),
        (plain) => lengthProblem('plaintext', plain.length, 0, plaintextMaxBytes),
        signal,
      ),
  };
}
