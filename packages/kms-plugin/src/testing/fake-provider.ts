/** A provider whose every answer a test decides: by default it turns the bytes around behind its name. */
import type { Provider } from '../provider.js';
import { createSnapshot } from '../snapshot.js';

const mark = Buffer.from('fake:');

export function createFakeProvider(overrides: Partial<Provider> = {}): Provider {
  const snapshot = createSnapshot({ keyId: 'fake-key-1' });
  return {
    name: 'fake',
    snapshot: () => snapshot,
    encrypt: (_snapshot, plaintext) =>
      Promise.resolve({ ciphertext: Buffer.concat([mark, plaintext.toReversed()]), annotations: {} }),
    decrypt: ({ ciphertext }) => Promise.resolve(Buffer.from(ciphertext.subarray(mark.length).toReversed())),
    recognizes: ({ ciphertext }) => ciphertext.subarray(0, mark.length).equals(mark),
    reload: () => Promise.resolve(),
    close: () => Promise.resolve(),
    ...overrides,
  };
}
