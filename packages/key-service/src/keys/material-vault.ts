/**
 * Key material in the clear: in memory only, opened when first used, zeroed when its key is destroyed.
 */
import { AwsError } from '../aws-error.js';
import { materialLabel, openUnderRootKey, sealUnderRootKey } from '../root-key/material-seal.js';
import { MATERIAL_ID_BYTES } from '../crypto/ciphertext-blob.js';
import type { KeyMaterial, KeyRecord } from './key-record.js';

/** SYMMETRIC_DEFAULT is AES-256. */
const SYMMETRIC_MATERIAL_BYTES = 32;

export class MaterialVault {
  readonly #rootKey: Buffer;
  readonly #randomBytes: (size: number) => Buffer;
  /** By material id, which is random and unique. */
  readonly #opened = new Map<string, Buffer>();

  /** @param rootKey the vault owns it from here on: close() zeroes it */
  constructor(rootKey: Buffer, randomBytes: (size: number) => Buffer) {
    this.#rootKey = rootKey;
    this.#randomBytes = randomBytes;
  }

  /** Fresh random material, sealed for its key. */
  create(accountId: string, keyId: string, rotation?: NonNullable<KeyMaterial['rotation']>): KeyMaterial {
    const materialId = this.#randomBytes(MATERIAL_ID_BYTES).toString('hex');
    const secret = Buffer.from(this.#randomBytes(SYMMETRIC_MATERIAL_BYTES));
    const label = materialLabel(accountId, keyId, materialId);
    const sealed = sealUnderRootKey(this.#rootKey, label, secret, this.#randomBytes).toString('base64');
    secret.fill(0);
    return rotation === undefined ? { materialId, sealed } : { materialId, sealed, rotation };
  }

  /**
   * The backing key itself. Callers must not keep or change it.
   *
   * @throws AwsError KMSInternalException when the stored material does not open: the record was damaged
   */
  open(key: KeyRecord, { materialId, sealed }: KeyMaterial): Buffer {
    const opened = this.#opened.get(materialId);
    if (opened !== undefined) return opened;
    const label = materialLabel(key.accountId, key.keyId, materialId);
    const material = openUnderRootKey(this.#rootKey, label, Buffer.from(sealed, 'base64'));
    if (material === undefined) {
      throw new AwsError(
        'KMSInternalException',
        'The stored key material is damaged. Restore the key store from a backup.',
      );
    }
    this.#opened.set(materialId, material);
    return material;
  }

  forget(key: KeyRecord): void {
    for (const { materialId } of key.materials) {
      this.#opened.get(materialId)?.fill(0);
      this.#opened.delete(materialId);
    }
  }

  close(): void {
    for (const material of this.#opened.values()) material.fill(0);
    this.#opened.clear();
    this.#rootKey.fill(0);
  }
}
