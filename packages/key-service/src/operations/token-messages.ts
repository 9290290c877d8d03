/** Messages under keys of custom key stores: encrypted and decrypted in the token. */
import { splitTokenBlob, startTokenBlob } from '../crypto/token-blob.js';
import { type EncryptionContext, encodeEncryptionContext } from '../crypto/encryption-context.js';
import { currentMaterial, type KeyRecord } from '../keys/key-record.js';
import { type Call, noteMaterial } from './call.js';
import type { SealedMessage } from './ciphertexts.js';

/** @throws AwsError those of TokenKeys */
export async function sealInToken(
  call: Call,
  key: KeyRecord,
  plaintext: Buffer,
  context: EncryptionContext | undefined,
): Promise<SealedMessage> {
  const { tokenKeys, publicRandomBytes } = call.services;
  const { materialId } = currentMaterial(key);
  const name = { accountId: key.accountId, keyId: key.keyId, materialId };
  const { header, iv, aad } = startTokenBlob(name, encodeEncryptionContext(context), publicRandomBytes);
  const sealed = await tokenKeys.encrypt(key, iv, aad, plaintext);
  noteMaterial(call, materialId);
  return { blob: Buffer.concat([header, sealed]), materialId };
}

/** Undefined when key, context or any byte is not what sealInToken saw. @throws AwsError those of TokenKeys */
export function openInToken(
  call: Call,
  key: KeyRecord,
  blob: Buffer,
  context: EncryptionContext | undefined,
): Promise<Buffer | undefined> {
  const { iv, aad, ciphertext } = splitTokenBlob(blob, encodeEncryptionContext(context));
  return call.services.tokenKeys.decrypt(key, iv, aad, ciphertext);
}
