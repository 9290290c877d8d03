/**
 * Key material in the clear: in memory only, opened when first used, zeroed when its key is destroyed.
 */
import { createHmac, hkdfSync } from 'node:crypto';
import { AwsError } from '../aws-error.js';
import { materialLabel, openUnderRootKey, sealUnderRootKey } from '../root-key/material-seal.js';
import { MATERIAL_ID_BYTES } from '../crypto/ciphertext-blob.js';
import { parsePrivateKey, type PrivateKey } from '../crypto/private-key.js';
import { allMaterials, arnOf, type KeyMaterial, type KeyRecord } from './key-record.js';
import { isAsymmetric } from './key-specs.js';

/** SYMMETRIC_DEFAULT is AES-256. */
const SYMMETRIC_MATERIAL_BYTES = 32;

const IDENTIFY_INFO = 'waxseal/key-service/imported-material-id/v1';
const TOKEN_INFO = 'waxseal/key-service/tokens/v1';

export class MaterialVault {
  readonly #rootKey: Buffer;
  readonly #randomBytes: (size: number) => Buffer;
  /** By material id, which is unique. */
  readonly #opened = new Map<string, Buffer>();
  /** As #opened, for materials that are PKCS#8. The PKCS#8 itself is not kept. */
  readonly #privateKeys = new Map<string, PrivateKey>();

  /** @param rootKey the vault owns it from here on: close() zeroes it */
  constructor(rootKey: Buffer, randomBytes: (size: number) => Buffer) {
    this.#rootKey = rootKey;
    this.#randomBytes = randomBytes;
  }

  /** Fresh random material, sealed for its key. */
  create(accountId: string, keyId: string, rotation?: NonNullable<KeyMaterial['rotation']>): KeyMaterial {
    const secret = Buffer.from(this.#randomBytes(SYMMETRIC_MATERIAL_BYTES));
    return this.adopt(accountId, keyId, secret, rotation);
  }

  /**
   * Material that was made elsewhere in the process, under a new id, sealed for its key.
   *
   * @param secret raw bytes, or PKCS#8 DER; zeroed
   */
  adopt(
    accountId: string,
    keyId: string,
    secret: Buffer,
    rotation?: NonNullable<KeyMaterial['rotation']>,
  ): KeyMaterial {
    const materialId = this.#randomBytes(MATERIAL_ID_BYTES).toString('hex');
    const sealed = this.seal(accountId, keyId, materialId, secret);
    secret.fill(0);
    return rotation === undefined ? { materialId, sealed } : { materialId, sealed, rotation };
  }

  /** Seals given material for its key. `secret` stays the caller's, who zeroes it. Base64. */
  seal(accountId: string, keyId: string, materialId: string, secret: Buffer): string {
    const label = materialLabel(accountId, keyId, materialId);
    return sealUnderRootKey(this.#rootKey, label, secret, this.#randomBytes).toString('base64');
  }

  /** Seals a secret that is no key material, for the record `label` names. `secret` stays the caller's. */
  sealSecret(label: string, secret: Buffer): Buffer {
    return sealUnderRootKey(this.#rootKey, label, secret, this.#randomBytes);
  }

  /** Undefined when the record was damaged. */
  openSecret(label: string, sealed: Buffer): Buffer | undefined {
    return openUnderRootKey(this.#rootKey, label, sealed);
  }

  /**
   * The KeyMaterialId of imported material: the same for the same bytes under the same KMS key, so that material that was
   * deleted can be recognised when it comes back. A keyed hash, so that the id, which is public, helps nobody to guess.
   */
  identify(accountId: string, keyId: string, secret: Buffer): string {
    const key = Buffer.from(hkdfSync('sha256', this.#rootKey, '', IDENTIFY_INFO, 32));
    const id = createHmac('sha256', key).update(`${accountId}/${keyId}/`).update(secret).digest('hex');
    key.fill(0);
    return id;
  }

  /** Seals what the service hands out and takes back, e.g. import tokens. `label` says what for. */
  sealToken(label: string, content: Buffer): Buffer {
    const key = this.tokenKey();
    const token = sealUnderRootKey(key, `token/${label}`, content, this.#randomBytes);
    key.fill(0);
    return token;
  }

  /** Undefined when the token was not made here, or for another label. */
  openToken(label: string, token: Buffer): Buffer | undefined {
    const key = this.tokenKey();
    const content = openUnderRootKey(key, `token/${label}`, token);
    key.fill(0);
    return content;
  }

  /** Tokens are many and short-lived: a key of their own keeps the root key's nonces for material. */
  private tokenKey(): Buffer {
    return Buffer.from(hkdfSync('sha256', this.#rootKey, '', TOKEN_INFO, 32));
  }

  /**
   * The backing key itself. Callers must not keep or change it.
   *
   * @throws AwsError KMSInternalException when the stored material does not open: the record was damaged;
   *   KMSInvalidStateException when it is imported material that is not there
   */
  open(key: KeyRecord, material: KeyMaterial): Buffer {
    const opened = this.#opened.get(material.materialId);
    if (opened !== undefined && material.sealed !== undefined) return opened;
    const secret = this.unseal(key, material);
    this.#opened.set(material.materialId, secret);
    return secret;
  }

  /**
   * The backing key of an asymmetric key, ready to use.
   *
   * @throws as open
   */
  openPrivateKey(key: KeyRecord, material: KeyMaterial): PrivateKey {
    const opened = this.#privateKeys.get(material.materialId);
    if (opened !== undefined && material.sealed !== undefined) return opened;
    const pkcs8 = this.unseal(key, material);
    const privateKey = isAsymmetric(key.keySpec) ? parsePrivateKey(key.keySpec, pkcs8) : undefined;
    pkcs8.fill(0);
    if (privateKey === undefined) throw damaged();
    this.#privateKeys.set(material.materialId, privateKey);
    return privateKey;
  }

  private unseal(key: KeyRecord, { materialId, sealed }: KeyMaterial): Buffer {
    if (sealed === undefined) {
      throw new AwsError('KMSInvalidStateException', `${arnOf(key)} is pending import.`);
    }
    const label = materialLabel(key.accountId, key.keyId, materialId);
    const secret = openUnderRootKey(this.#rootKey, label, Buffer.from(sealed, 'base64'));
    if (secret === undefined) throw damaged();
    return secret;
  }

  forget(key: KeyRecord): void {
    for (const { materialId } of allMaterials(key)) {
      this.#opened.get(materialId)?.fill(0);
      this.#opened.delete(materialId);
      this.#privateKeys.delete(materialId);
    }
  }

  close(): void {
    for (const material of this.#opened.values()) material.fill(0);
    this.#opened.clear();
    this.#privateKeys.clear();
    this.#rootKey.fill(0);
  }
}

function damaged(): AwsError {
  return new AwsError(
    'KMSInternalException',
    'The stored key material is damaged. Restore the key store from a backup.',
  );
}
