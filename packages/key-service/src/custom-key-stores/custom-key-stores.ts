/**
 * Custom key stores: what is known of them, and whether this process is connected to their tokens.
 *
 * Source of the rule: KMS Developer Guide, "Custom key stores"; where AWS has a CloudHSM cluster, there is a PKCS#11 token here.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { KeyStore } from '../keys/key-store.js';
import type { MaterialVault } from '../keys/material-vault.js';
import { type Connection, type OpenToken, TokenConnections } from './connections.js';
import type { ConnectionErrorCode, CustomKeyStoreName, CustomKeyStoreRecord } from './record.js';
import type { TokenConfig } from './token-config.js';

export interface CustomKeyStoresOptions {
  readonly keys: KeyStore;
  readonly vault: MaterialVault;
  readonly tokens: readonly TokenConfig[];
  readonly openToken: OpenToken;
  readonly logger: Logger;
  /** Between attempts to reach a token that is away. */
  readonly retryIntervalMs?: number | undefined;
}

/** A token that takes longer to log in is waited for in the background. */
const START_WAIT_MS = 3_000;

const CONNECTION_STATES = ['CONNECTED', 'CONNECTING', 'FAILED', 'DISCONNECTED', 'DISCONNECTING'] as const;

export type CustomKeyStoresChange = (
  records: readonly CustomKeyStoreRecord[],
) => readonly CustomKeyStoreRecord[];

export class CustomKeyStores {
  readonly #keys: KeyStore;
  readonly #vault: MaterialVault;
  readonly #tokens: readonly TokenConfig[];
  /** Of this process. */
  readonly connections: TokenConnections;
  /** Called when a token can be used again. */
  onConnected: ((record: CustomKeyStoreRecord) => void) | undefined;

  constructor({ keys, vault, tokens, openToken, logger, retryIntervalMs }: CustomKeyStoresOptions) {
    this.#keys = keys;
    this.#vault = vault;
    this.#tokens = tokens;
    this.connections = new TokenConnections({
      tokens,
      openToken,
      openPassword: (record) =>
        vault.openSecret(passwordLabel(record), Buffer.from(record.sealedPassword, 'base64')),
      onRefused: (record, errorCode) => this.noteRefused(record, errorCode),
      onConnected: (record) => this.onConnected?.(record),
      logger,
      retryIntervalMs,
    });
  }

  /** Connects what shall be connected, and follows every change. Waits a little for tokens, so that the first calls find their keys. */
  async start(): Promise<void> {
    this.#keys.followCustomKeyStores((records) => this.connections.follow(records));
    const connecting = new AbortController();
    await Promise.race([
      this.connections.settled(),
      delay(START_WAIT_MS, undefined, { signal: connecting.signal }).catch(() => undefined),
    ]);
    connecting.abort();
  }

  close(): Promise<void> {
    this.#keys.followCustomKeyStores(() => undefined);
    return this.connections.close();
  }

  /** Sorted by id. */
  list(accountId: string, region: string): readonly CustomKeyStoreRecord[] {
    return this.#keys.customKeyStores
      .filter((record) => record.accountId === accountId && record.region === region)
      .toSorted((a, b) => (a.customKeyStoreId < b.customKeyStoreId ? -1 : 1));
  }

  find(name: CustomKeyStoreName): CustomKeyStoreRecord | undefined {
    return this.#keys.customKeyStores.find((record) => isNamed(record, name));
  }

  stateOf(record: CustomKeyStoreRecord): Connection {
    return this.connections.of(record.customKeyStoreId);
  }

  /** Of every account, by connection state; those no store is in are there with 0. */
  countByState(): ReadonlyMap<Connection['kind'], number> {
    const counts = new Map<Connection['kind'], number>(CONNECTION_STATES.map((state) => [state, 0]));
    for (const record of this.#keys.customKeyStores) {
      const { kind } = this.stateOf(record);
      counts.set(kind, (counts.get(kind) ?? 0) + 1);
    }
    return counts;
  }

  /** Whether the configuration file gives this account a token of that name. */
  hasToken(accountId: string, clusterId: string): boolean {
    return this.#tokens.some((token) => token.accountId === accountId && token.clusterId === clusterId);
  }

  /** @throws AwsError what `change` throws; ConflictException */
  update(change: CustomKeyStoresChange): Promise<void> {
    return this.#keys.updateCustomKeyStores(change);
  }

  /** Removes what the store still keeps of older records, their passwords among it. */
  eraseHistory(): Promise<void> {
    return this.#keys.eraseHistory();
  }

  /** @param password zeroed. Returns base64. */
  sealPassword(name: CustomKeyStoreName, password: Buffer): string {
    const sealed = this.#vault.sealSecret(passwordLabel(name), password).toString('base64');
    password.fill(0);
    return sealed;
  }

  private noteRefused(record: CustomKeyStoreRecord, errorCode: ConnectionErrorCode): Promise<void> {
    const { connectRequest } = record;
    return this.update((records) =>
      records.map((one) =>
        isNamed(one, record) && connectRequest !== undefined && one.connectRequest === connectRequest
          ? { ...one, refused: { connectRequest, errorCode } }
          : one,
      ),
    );
  }
}

export function isNamed(record: CustomKeyStoreRecord, name: CustomKeyStoreName): boolean {
  return (
    record.customKeyStoreId === name.customKeyStoreId &&
    record.accountId === name.accountId &&
    record.region === name.region
  );
}

function passwordLabel({ accountId, region, customKeyStoreId }: CustomKeyStoreName): string {
  return `custom-key-store-password/${accountId}/${region}/${customKeyStoreId}`;
}
