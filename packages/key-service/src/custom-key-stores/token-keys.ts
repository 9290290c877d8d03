/**
 * KMS keys whose material is a key of a token: made there, used there, destroyed there, and never seen here.
 *
 * The key of a token is found by its names: CKA_LABEL is the ARN of the KMS key, CKA_ID its key id as 16 bytes.
 */
import { Pkcs11Error, type Token, type TokenKey } from '@waxseal/pkcs11';
import type { Store } from '@waxseal/storage';
import type { Logger } from 'pino';
import { AwsError } from '../aws-error.js';
import { keyArn } from '../keys/key-id.js';
import { arnOf, type KeyRecord } from '../keys/key-record.js';
import type { KeyStore } from '../keys/key-store.js';
import type { CustomKeyStores } from './custom-key-stores.js';
import type { CustomKeyStoreName, CustomKeyStoreRecord } from './record.js';
import { type UnclaimedKey, UnclaimedKeys } from './unclaimed-keys.js';

/** SYMMETRIC_DEFAULT is AES-256. */
const MATERIAL_BYTES = 32;
/** A creation that takes longer has failed: its token key may be removed. */
const CREATION_MAX_MS = 600_000;
const SWEEP_INTERVAL_MS = 60_000;

/** A KMS key of a custom key store. */
type TokenKeyName = CustomKeyStoreName & Pick<KeyRecord, 'keyId'>;

/** A key whose record is about to be destroyed. */
export interface AbandonedKey {
  readonly customKeyStoreId: string;
  readonly clusterId: string;
  /** After its record is destroyed. False: not now, but as soon as the token is connected. Does not throw. */
  destroy(): Promise<boolean>;
}

export interface TokenKeysOptions {
  readonly store: Store;
  readonly keys: KeyStore;
  readonly customKeyStores: CustomKeyStores;
  readonly now: () => number;
  readonly logger: Logger;
}

export class TokenKeys {
  readonly #keys: KeyStore;
  readonly #customKeyStores: CustomKeyStores;
  readonly #unclaimed: UnclaimedKeys;
  readonly #now: () => number;
  readonly #logger: Logger;
  /** The same object for the same record, by which an open token remembers where its key is. */
  readonly #tokenKeys = new WeakMap<KeyRecord, TokenKey>();
  #timer: NodeJS.Timeout | undefined;
  #sweeping: Promise<void> = Promise.resolve();

  constructor({ store, keys, customKeyStores, now, logger }: TokenKeysOptions) {
    this.#keys = keys;
    this.#customKeyStores = customKeyStores;
    this.#unclaimed = new UnclaimedKeys(store);
    this.#now = now;
    this.#logger = logger;
  }

  /** From now on what no KMS key claims any more is removed from tokens, as soon as they are connected. */
  start(): void {
    this.#customKeyStores.onConnected = () => this.sweepSoon();
    this.#timer = setInterval(() => this.sweepSoon(), SWEEP_INTERVAL_MS);
    this.#timer.unref();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#customKeyStores.onConnected = undefined;
    await this.#sweeping;
  }

  /** False while the key's custom key store is not connected here: the API calls the key Unavailable. */
  isAvailable(key: KeyRecord): boolean {
    const record = this.storeOf(key);
    return record !== undefined && this.#customKeyStores.stateOf(record).kind === 'CONNECTED';
  }

  /** Undefined for keys of no custom key store. */
  storeOf({ accountId, region, customKeyStoreId }: KeyRecord): CustomKeyStoreRecord | undefined {
    return customKeyStoreId === undefined
      ? undefined
      : this.#customKeyStores.find({ accountId, region, customKeyStoreId });
  }

  /**
   * Makes the key in the token, then its record. A process that dies in between leaves a note, by which the token key is removed.
   *
   * @param save stores the record
   * @throws AwsError CustomKeyStoreInvalidStateException, KMSInternalException; what `save` throws
   */
  async create(name: TokenKeyName, save: () => Promise<void>): Promise<void> {
    const { record, token } = this.connected(name);
    const note = { ...name, clusterId: record.clusterId, notBeforeMs: this.#now() + CREATION_MAX_MS };
    await this.#unclaimed.add(note);
    const { label, id } = tokenKeyOf(name);
    try {
      await this.onToken(record, () =>
        token.generateAesKey({ label, id, bytes: MATERIAL_BYTES, encryptDecrypt: true }),
      );
    } catch (error) {
      // There may be a key now all the same: a sweep looks.
      await this.#unclaimed.add({ ...note, notBeforeMs: 0 });
      this.sweepSoon();
      throw error;
    }
    // A record whose writing seems to have failed may be there yet: the note keeps its date.
    await save();
    await this.#unclaimed.remove(note);
  }

  /** True while a creation is under way, in any process, or was until a process died a short while ago. */
  async isCreatingIn({ customKeyStoreId }: CustomKeyStoreName): Promise<boolean> {
    const nowMs = this.#now();
    const notes = await this.#unclaimed.all();
    return notes.some((note) => note.customKeyStoreId === customKeyStoreId && note.notBeforeMs > nowMs);
  }

  /** AES-256-GCM in the token: ciphertext ‖ tag 16. @throws AwsError those of `use` */
  encrypt(key: KeyRecord, iv: Buffer, aad: Buffer, plaintext: Buffer): Promise<Buffer> {
    return this.use(key, (token, tokenKey) =>
      token.encrypt(tokenKey, { kind: 'aes-gcm', iv, aad }, plaintext),
    );
  }

  /** Undefined when any byte is not what encrypt saw. @throws AwsError those of `use` */
  async decrypt(key: KeyRecord, iv: Buffer, aad: Buffer, ciphertext: Buffer): Promise<Buffer | undefined> {
    return this.use(key, async (token, tokenKey) => {
      try {
        return await token.decrypt(tokenKey, { kind: 'aes-gcm', iv, aad }, ciphertext);
      } catch (error) {
        if (error instanceof Pkcs11Error && error.code === 'ciphertext-invalid') return undefined;
        throw error;
      }
    });
  }

  /** @throws AwsError CustomKeyStoreNotFoundException, CustomKeyStoreInvalidStateException, KMSInternalException */
  async generateRandom(name: CustomKeyStoreName, bytes: number): Promise<Buffer> {
    const { record, token } = this.connected(name);
    return this.onToken(record, () => token.generateRandom(bytes));
  }

  /**
   * Before the record of a key is destroyed: from then on its token key is removed, now or when the token is there again.
   * Undefined for keys of no custom key store.
   */
  async abandon(key: KeyRecord): Promise<AbandonedKey | undefined> {
    const record = this.storeOf(key);
    if (record === undefined) return undefined;
    const { accountId, region, keyId } = key;
    const { customKeyStoreId, clusterId } = record;
    const note = { accountId, region, keyId, customKeyStoreId, clusterId, notBeforeMs: 0 };
    await this.#unclaimed.add(note);
    return { customKeyStoreId, clusterId, destroy: () => this.settleNow(note) };
  }

  private async settleNow(note: UnclaimedKey): Promise<boolean> {
    try {
      return await this.settle(note);
    } catch (error) {
      const { keyId, customKeyStoreId, clusterId } = note;
      this.#logger.error(
        { err: error, keyId, customKeyStoreId, clusterId },
        'a deleted key cannot be destroyed in its token; it is tried again',
      );
      return false;
    }
  }

  private sweepSoon(): void {
    this.#sweeping = this.#sweeping.then(() => this.sweep());
  }

  /** Removes the token keys that no KMS key claims, as far as their tokens are connected. */
  private async sweep(): Promise<void> {
    try {
      for (const note of await this.#unclaimed.all()) {
        if (note.notBeforeMs <= this.#now()) await this.settle(note);
      }
    } catch (error) {
      this.#logger.error({ err: error }, 'keys of tokens cannot be tidied up; it is tried again');
    }
  }

  /** True when the key is gone from its token. */
  private async settle(note: UnclaimedKey): Promise<boolean> {
    const { accountId, region, keyId, customKeyStoreId, clusterId } = note;
    const claimed = this.#keys.findKey(accountId, region, keyId) !== undefined;
    const record = this.#customKeyStores.find(note);
    if (!claimed && record !== undefined) {
      const connection = this.#customKeyStores.stateOf(record);
      if (connection.kind !== 'CONNECTED') return false;
      await connection.token.destroy(tokenKeyOf(note));
      this.#logger.info({ keyId, customKeyStoreId, clusterId }, 'the key is destroyed in the token');
    }
    if (!claimed && record === undefined) {
      this.#logger.warn(
        { keyId, customKeyStoreId, clusterId },
        'a deleted key stays in a token whose custom key store is gone; remove it with the tools of the token',
      );
    }
    await this.#unclaimed.remove(note);
    return !claimed && record !== undefined;
  }

  /**
   * @throws AwsError KMSInvalidStateException when the key is unavailable or gone from the token; DependencyTimeoutException;
   *   KMSInternalException when the token does not work
   */
  private async use<T>(key: KeyRecord, work: (token: Token, tokenKey: TokenKey) => Promise<T>): Promise<T> {
    const record = this.storeOf(key);
    const connection = record && this.#customKeyStores.stateOf(record);
    if (record === undefined || connection?.kind !== 'CONNECTED') throw unavailable(key);
    const { token } = connection;
    return this.onToken(record, () => work(token, this.rememberedTokenKey(key)), key);
  }

  private rememberedTokenKey(key: KeyRecord): TokenKey {
    let tokenKey = this.#tokenKeys.get(key);
    if (tokenKey === undefined) this.#tokenKeys.set(key, (tokenKey = tokenKeyOf(key)));
    return tokenKey;
  }

  private connected(name: CustomKeyStoreName): {
    readonly record: CustomKeyStoreRecord;
    readonly token: Token;
  } {
    const record = this.#customKeyStores.find(name);
    if (record === undefined) {
      throw new AwsError(
        'CustomKeyStoreNotFoundException',
        `The custom key store ${name.customKeyStoreId} does not exist.`,
      );
    }
    const connection = this.#customKeyStores.stateOf(record);
    if (connection.kind !== 'CONNECTED') {
      throw new AwsError(
        'CustomKeyStoreInvalidStateException',
        `The custom key store ${name.customKeyStoreId} is not connected; its connection state is ${connection.kind}.`,
      );
    }
    return { record, token: connection.token };
  }

  /** Turns what the token says into what callers are told. */
  private async onToken<T>(
    record: CustomKeyStoreRecord,
    work: () => Promise<T>,
    key?: KeyRecord,
  ): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof Pkcs11Error)) throw error;
      const { customKeyStoreId, clusterId } = record;
      this.#logger.error(
        { err: error, customKeyStoreId, clusterId },
        'the token does not do what it is asked',
      );
      switch (error.code) {
        case 'pin-incorrect':
        case 'pin-locked':
          this.#customKeyStores.connections.fail(record, error);
          throw key === undefined ? tokenFailed(record, error) : unavailable(key);
        case 'key-not-found':
        case 'key-forbids':
          if (key === undefined) throw tokenFailed(record, error);
          throw new AwsError(
            'KMSInvalidStateException',
            `${arnOf(key)} is unavailable: its key material cannot be used in token ${clusterId} of custom key store ${customKeyStoreId}.`,
            { cause: error },
          );
        case 'timeout':
          throw new AwsError(
            'DependencyTimeoutException',
            'The system timed out while trying to fulfill the request. The request can be retried.',
            { cause: error },
          );
        default:
          throw tokenFailed(record, error);
      }
    }
  }
}

/** The recorded sentence of AWS's key state table. */
export function unavailable(key: KeyRecord): AwsError {
  return new AwsError('KMSInvalidStateException', `${arnOf(key)} is unavailable.`);
}

function tokenFailed({ customKeyStoreId, clusterId }: CustomKeyStoreRecord, cause: Pkcs11Error): AwsError {
  return new AwsError(
    'KMSInternalException',
    `Token ${clusterId} of custom key store ${customKeyStoreId} does not answer as it should. The request can be retried; the log of the key service says more.`,
    { cause },
  );
}

function tokenKeyOf(name: Pick<KeyRecord, 'accountId' | 'region' | 'keyId'>): TokenKey {
  const id = Buffer.from(name.keyId.replaceAll('-', ''), 'hex');
  return { keyClass: 'secret', keyType: 'aes', label: keyArn(name.region, name.accountId, name.keyId), id };
}
