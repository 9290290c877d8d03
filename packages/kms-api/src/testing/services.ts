/** KMS services for tests: they turn the bytes around, so that what went through is easy to tell. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { KmsV1Service, KmsV2Service } from '../service.js';

const turned = (bytes: Buffer): Buffer => Buffer.from(bytes.toReversed());

export function turningV2(overrides: Partial<KmsV2Service> = {}): KmsV2Service {
  return {
    status: () => Promise.resolve({ version: 'v2', healthz: 'ok', keyId: 'key-1' }),
    encrypt: (_uid, plaintext) =>
      Promise.resolve({
        ciphertext: turned(plaintext),
        keyId: 'key-1',
        annotations: { 'note.waxseal.test': Buffer.from('n') },
      }),
    decrypt: (_uid, request) => Promise.resolve(turned(request.ciphertext)),
    ...overrides,
  };
}

export function turningV1(overrides: Partial<KmsV1Service> = {}): KmsV1Service {
  return {
    version: () => Promise.resolve({ version: 'v1beta1', runtimeName: 'turning', runtimeVersion: '1.0.0' }),
    encrypt: (plaintext) => Promise.resolve(turned(plaintext)),
    decrypt: (ciphertext) => Promise.resolve(turned(ciphertext)),
    ...overrides,
  };
}

/** A folder that goes away with the test. */
export async function socketFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'waxseal-kms-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}
