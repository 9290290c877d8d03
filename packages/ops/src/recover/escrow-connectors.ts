/**
 * KMS plugins that are not there: the DEK sources of KMS v2 values are unwrapped by a function, such as one that holds an escrow key.
 * Nothing can be written through them.
 */
import type { KmsConnectors } from '@waxseal/encryption-config';

/** What is stored of a DEK source, as the plugin that wrapped it gave it. */
interface WrappedDekSource {
  readonly keyId: string;
  readonly ciphertext: Buffer;
  readonly annotations: Readonly<Record<string, Buffer>>;
}

/** Resolves with a buffer of its own, which the caller wipes. */
export type UnwrapDek = (wrapped: WrappedDekSource) => Promise<Buffer>;

export function escrowConnectors(unwrapDek: UnwrapDek): KmsConnectors {
  const unavailable = (): Promise<never> =>
    Promise.reject(new Error('only reading works with an escrow key, and only of KMS v2 values'));
  return {
    connectKmsV1: () => ({
      version: unavailable,
      encrypt: unavailable,
      decrypt: unavailable,
      close: () => undefined,
    }),
    connectKmsV2: () => ({
      status: unavailable,
      encrypt: unavailable,
      decrypt: (_uid, { ciphertext, keyId, annotations }) => unwrapDek({ ciphertext, keyId, annotations }),
      close: () => undefined,
    }),
  };
}
