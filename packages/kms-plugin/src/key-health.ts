/**
 * What is known about the key: the last result of each operation, from calls and probes alike.
 *
 * A success clears an error at once. A failure counts only if it says something about the key or its backend: a damaged
 * ciphertext or a caller that gave up does not.
 */
import { concernsKey, type ProviderError } from './errors.js';

export type Operation = 'encrypt' | 'decrypt';
export const operations: readonly Operation[] = ['encrypt', 'decrypt'];

export type OperationHealth =
  | { readonly kind: 'unknown' }
  | { readonly kind: 'healthy'; readonly atMs: number }
  | { readonly kind: 'failing'; readonly atMs: number; readonly error: ProviderError };

export interface KeyHealth {
  of(operation: Operation): OperationHealth;
  succeeded(operation: Operation, atMs: number): void;
  failed(operation: Operation, atMs: number, error: ProviderError): void;
  /** Why new DEK sources cannot be wrapped although the key itself works: a recipient they need fails. Undefined when all is well. */
  recipients(error: ProviderError | undefined): void;
  /** What `recipients` was last told, while it concerns a key. */
  recipientTrouble(): ProviderError | undefined;
  /** `ok`, or one short safe sentence; what `Status.healthz` answers. */
  summary(): string;
}

/**
 * @param onChange told when an operation begins to fail or to work, for logs and metrics
 * @param onTrouble told when recipients begin to stop new DEK sources, and when they no longer do
 */
export function createKeyHealth(
  onChange: (operation: Operation, health: OperationHealth) => void,
  onTrouble: (error: ProviderError | undefined) => void = () => {},
): KeyHealth {
  const known: Record<Operation, OperationHealth> = {
    encrypt: { kind: 'unknown' },
    decrypt: { kind: 'unknown' },
  };
  let trouble: ProviderError | undefined;
  const set = (operation: Operation, health: OperationHealth): void => {
    const changed = known[operation].kind !== health.kind;
    known[operation] = health;
    if (changed) onChange(operation, health);
  };
  return {
    of: (operation) => known[operation],
    succeeded: (operation, atMs) => {
      set(operation, { kind: 'healthy', atMs });
    },
    failed: (operation, atMs, error) => {
      if (concernsKey(error.failure)) set(operation, { kind: 'failing', atMs, error });
    },
    recipients: (error) => {
      if (error !== undefined && !concernsKey(error.failure)) return;
      const changed = (trouble === undefined) !== (error === undefined);
      trouble = error;
      if (changed) onTrouble(error);
    },
    recipientTrouble: () => trouble,
    summary: () => {
      for (const operation of operations) {
        const health = known[operation];
        if (health.kind === 'failing') return `${operation}: ${health.error.message}`;
      }
      if (operations.some((operation) => known[operation].kind === 'unknown')) {
        return 'The key has not been tried yet; ask again in a moment.';
      }
      return trouble === undefined ? 'ok' : `encrypt: ${trouble.message}`;
    },
  };
}
