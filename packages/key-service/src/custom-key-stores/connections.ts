/**
 * The connections of this process to the tokens of custom key stores. What shall be connected is in the store, the same for every
 * process; whether it is, each process finds out for itself, at once, after a restart, and when another replica connects or disconnects.
 */
import { Pkcs11Error, type Pkcs11ErrorCode, type Token } from '@waxseal/pkcs11';
import type { Logger } from 'pino';
import type { ConnectionErrorCode, CustomKeyStoreRecord } from './record.js';
import type { TokenConfig } from './token-config.js';

/** Logs into a token. `pin` is zeroed. @throws Pkcs11Error */
export type OpenToken = (token: TokenConfig, pin: Buffer) => Promise<Token>;

/** The API's ConnectionState. */
export type Connection =
  | { readonly kind: 'CONNECTED'; readonly token: Token }
  | { readonly kind: 'CONNECTING' | 'DISCONNECTED' | 'DISCONNECTING' }
  | { readonly kind: 'FAILED'; readonly errorCode: ConnectionErrorCode };

export interface ConnectionOptions {
  readonly tokens: readonly TokenConfig[];
  readonly openToken: OpenToken;
  /** The PIN of a store in the clear; undefined when the record was damaged. */
  readonly openPassword: (record: CustomKeyStoreRecord) => Buffer | undefined;
  /** The token refused the PIN, or is locked. */
  readonly onRefused: (record: CustomKeyStoreRecord, errorCode: ConnectionErrorCode) => Promise<void>;
  readonly onConnected: (record: CustomKeyStoreRecord) => void;
  readonly logger: Logger;
  /** Between attempts to reach a token that is away. Default 30 s. */
  readonly retryIntervalMs?: number | undefined;
}

const RETRY_INTERVAL_MS = 30_000;
const DISCONNECTED: Connection = { kind: 'DISCONNECTED' };

const ERROR_CODES: Partial<Record<Pkcs11ErrorCode, ConnectionErrorCode>> = {
  'pin-incorrect': 'INVALID_CREDENTIALS',
  'pin-locked': 'USER_LOCKED_OUT',
  'token-not-found': 'CLUSTER_NOT_FOUND',
  'token-ambiguous': 'CLUSTER_NOT_FOUND',
  'token-gone': 'NETWORK_ERRORS',
  timeout: 'NETWORK_ERRORS',
};

/** One connect request of one store. A later request is another attempt; what is left of this one then closes itself. */
interface Attempt {
  readonly connectRequest: string;
  state: Connection;
  over: boolean;
  retry?: NodeJS.Timeout;
}

export class TokenConnections {
  readonly #options: ConnectionOptions;
  readonly #attempts = new Map<string, Attempt>();
  /** First attempts under way. They never reject. */
  readonly #connecting = new Set<Promise<void>>();
  /** Being closed; until then the API says DISCONNECTING. */
  readonly #closing = new Map<string, Promise<void>>();

  constructor(options: ConnectionOptions) {
    this.#options = options;
  }

  /** @param customKeyStoreId unique in all accounts */
  of(customKeyStoreId: string): Connection {
    const attempt = this.#attempts.get(customKeyStoreId);
    if (attempt !== undefined) return attempt.state;
    return this.#closing.has(customKeyStoreId) ? { kind: 'DISCONNECTING' } : DISCONNECTED;
  }

  /** Connects and disconnects until what is true here is what the records say. Returns at once. */
  follow(records: readonly CustomKeyStoreRecord[]): void {
    const wanted = new Map(records.map((record) => [record.customKeyStoreId, record]));
    for (const [id, { connectRequest }] of this.#attempts) {
      if (wanted.get(id)?.connectRequest !== connectRequest) this.disconnect(id);
    }
    for (const record of records) {
      const { customKeyStoreId, connectRequest } = record;
      if (connectRequest === undefined || this.#attempts.has(customKeyStoreId)) continue;
      const attempt: Attempt = { connectRequest, state: { kind: 'CONNECTING' }, over: false };
      this.#attempts.set(customKeyStoreId, attempt);
      const connecting = this.connect(record, attempt).finally(() => this.#connecting.delete(connecting));
      this.#connecting.add(connecting);
    }
  }

  /** Resolves when every connection asked for so far is there or has failed. */
  async settled(): Promise<void> {
    await Promise.all(this.#connecting);
  }

  /** A call was answered by the token with an error that no further call can mend. */
  fail(record: CustomKeyStoreRecord, error: Pkcs11Error): void {
    const attempt = this.#attempts.get(record.customKeyStoreId);
    if (attempt?.state.kind !== 'CONNECTED' || attempt.connectRequest !== record.connectRequest) return;
    const { token } = attempt.state;
    this.note(record, attempt, error);
    void token.close();
  }

  /** Resolves when every token is closed. */
  async close(): Promise<void> {
    for (const id of this.#attempts.keys()) this.disconnect(id);
    await Promise.all(this.#closing.values());
  }

  private disconnect(id: string): void {
    const attempt = this.#attempts.get(id);
    if (attempt === undefined) return;
    this.#attempts.delete(id);
    attempt.over = true;
    clearTimeout(attempt.retry);
    if (attempt.state.kind !== 'CONNECTED') return;
    const closed = this.closeToken(attempt.state.token, this.#closing.get(id)).finally(() => {
      if (this.#closing.get(id) === closed) this.#closing.delete(id);
    });
    this.#closing.set(id, closed);
  }

  private async closeToken(token: Token, before: Promise<void> | undefined): Promise<void> {
    await before;
    await token.close();
  }

  private async connect(record: CustomKeyStoreRecord, attempt: Attempt): Promise<void> {
    const { tokens, openToken, openPassword, onConnected, logger } = this.#options;
    const { customKeyStoreId, clusterId, accountId, refused } = record;
    try {
      // A login that another one's end interrupts would end with it: sessions of one token share their login.
      await this.#closing.get(customKeyStoreId);
      if (attempt.over) return;
      if (refused?.connectRequest === attempt.connectRequest) {
        attempt.state = { kind: 'FAILED', errorCode: refused.errorCode };
        return;
      }
      const config = tokens.find((one) => one.clusterId === clusterId && one.accountId === accountId);
      if (config === undefined) {
        throw new Pkcs11Error('token-not-found', `The configuration file has no token ${clusterId}.`);
      }
      const pin = openPassword(record);
      if (pin === undefined) {
        throw new Pkcs11Error(
          'invalid-option',
          'The stored password is damaged. Update the custom key store.',
        );
      }
      const token = await openToken(config, pin).finally(() => pin.fill(0));
      if (attempt.over) {
        await token.close();
        return;
      }
      attempt.state = { kind: 'CONNECTED', token };
      logger.info({ customKeyStoreId, clusterId }, 'the custom key store is connected to its token');
      onConnected(record);
    } catch (error) {
      if (!attempt.over) this.note(record, attempt, error);
    }
  }

  private note(record: CustomKeyStoreRecord, attempt: Attempt, error: unknown): void {
    const { logger, onRefused, retryIntervalMs = RETRY_INTERVAL_MS } = this.#options;
    const { customKeyStoreId, clusterId } = record;
    const code = error instanceof Pkcs11Error ? error.code : undefined;
    const errorCode = (code && ERROR_CODES[code]) ?? 'INTERNAL_ERROR';
    attempt.state = { kind: 'FAILED', errorCode };
    logger.error(
      { err: error, customKeyStoreId, clusterId, errorCode },
      'the custom key store cannot be connected to its token: its keys are unavailable',
    );
    if (errorCode === 'INVALID_CREDENTIALS' || errorCode === 'USER_LOCKED_OUT') {
      onRefused(record, errorCode).catch((cause: unknown) => {
        logger.error({ err: cause, customKeyStoreId }, 'the refused password cannot be noted in the store');
      });
      return;
    }
    attempt.retry = setTimeout(() => {
      if (!attempt.over) void this.connect(record, attempt);
    }, retryIntervalMs);
    attempt.retry.unref();
  }
}
