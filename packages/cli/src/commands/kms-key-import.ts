/**
 * `waxseal kms key import`: key material from a file, wrapped here, sent with GetParametersForImport and ImportKeyMaterial.
 *
 * RSA_AES_KEY_WRAP_SHA_256 fits every kind of material: an AES-256 key under RSAES-OAEP (RFC 8017 §7.1), and the material under
 * that key by AES key wrap with padding (RFC 5649).
 */
import {
  constants,
  createCipheriv,
  createPrivateKey,
  createPublicKey,
  publicEncrypt,
  randomBytes,
} from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import type { KeyMetadata } from '@aws-sdk/client-kms';
import { CliError, exitCodes } from '../errors.js';
import { withKmsClient } from '../parts/running-key-service.js';
import type { KeyCommandOptions } from './kms-key.js';

export interface KeyImportOptions extends KeyCommandOptions {
  readonly expires?: Date;
  readonly description?: string;
  /** Further material, for a key that has some. */
  readonly newMaterial: boolean;
}

/** 128 bits of strength, as SP 800-57 counts them, found in a fraction of the time RSA_4096 takes. */
const wrappingKeySpec = 'RSA_3072';
const wrappingAlgorithm = 'RSA_AES_KEY_WRAP_SHA_256';

/** A 4096-bit RSA key in PEM has about 3300 bytes. */
const maxFileBytes = 16 * 1024;

const secretKeyBytes: Readonly<Record<string, number>> = {
  SYMMETRIC_DEFAULT: 32,
  HMAC_224: 28,
  HMAC_256: 32,
  HMAC_384: 48,
  HMAC_512: 64,
};

export async function importKey(key: string, file: string, options: KeyImportOptions): Promise<void> {
  const content = readSmallFile(file);
  try {
    const imported = await withKmsClient(options, async (client, sdk) => {
      const { KeyMetadata } = await client.send(new sdk.DescribeKeyCommand({ KeyId: key }));
      const material = materialOf(content, KeyMetadata, file, options);
      const KeyId = KeyMetadata?.KeyId ?? key;
      const wrapping = await client.send(
        new sdk.GetParametersForImportCommand({
          KeyId,
          WrappingAlgorithm: wrappingAlgorithm,
          WrappingKeySpec: wrappingKeySpec,
        }),
      );
      const { KeyMaterialId } = await client.send(
        new sdk.ImportKeyMaterialCommand({
          KeyId,
          ImportToken: wrapping.ImportToken,
          EncryptedKeyMaterial: wrapMaterial(material, Buffer.from(wrapping.PublicKey ?? [])),
          ...(options.expires === undefined
            ? { ExpirationModel: 'KEY_MATERIAL_DOES_NOT_EXPIRE' }
            : { ExpirationModel: 'KEY_MATERIAL_EXPIRES', ValidTo: options.expires }),
          ...(options.newMaterial ? { ImportType: 'NEW_KEY_MATERIAL' } : {}),
          ...(options.description === undefined ? {} : { KeyMaterialDescription: options.description }),
        }),
      );
      material.fill(0);
      const after = await client.send(new sdk.DescribeKeyCommand({ KeyId }));
      return { KeyMaterialId, metadata: after.KeyMetadata };
    });
    print(imported, options);
  } finally {
    content.fill(0);
  }
}

function print(
  { KeyMaterialId, metadata }: { KeyMaterialId: string | undefined; metadata: KeyMetadata | undefined },
  { output, newMaterial, expires }: KeyImportOptions,
): void {
  const keyId = metadata?.KeyId;
  const state = metadata?.KeyState;
  const validTo = expires?.toISOString();
  if (output === 'json') {
    console.log(JSON.stringify({ keyId, keyMaterialId: KeyMaterialId, state, validTo }));
    return;
  }
  const until = validTo === undefined ? '' : ` until ${validTo}`;
  console.log(
    newMaterial
      ? `${keyId} has further key material${until}, which waits.\nTo use it from now on: waxseal kms key rotate ${keyId}`
      : `${keyId} has its key material${until}; it is ${state}.\nKeep the file: what is imported cannot be read back.`,
  );
}

/** Never more than a key can be, whatever the path leads to. */
function readSmallFile(path: string): Buffer {
  const file = path === '-' ? 0 : openSync(path, 'r');
  try {
    const bytes = Buffer.alloc(maxFileBytes + 1);
    let length = 0;
    for (let read = -1; read !== 0 && length < bytes.length; length += read) {
      read = readSync(file, bytes, length, bytes.length - length, null);
    }
    if (length > maxFileBytes) {
      throw new CliError(
        `${path} is larger than ${maxFileBytes} bytes`,
        'Key material is smaller: name the file with the key.',
        exitCodes.usage,
      );
    }
    return bytes.subarray(0, length);
  } finally {
    if (file !== 0) closeSync(file);
  }
}

/** What the service takes: raw bytes of the spec's length, or PKCS#8 DER. @throws CliError */
function materialOf(
  content: Buffer,
  metadata: KeyMetadata | undefined,
  file: string,
  options: KeyImportOptions,
): Buffer {
  if (metadata?.Origin !== 'EXTERNAL') {
    throw new CliError(
      `${metadata?.KeyId} has key material of its own (origin ${metadata?.Origin})`,
      'Import into a key that was made for it: waxseal kms key create --origin EXTERNAL',
      exitCodes.usage,
    );
  }
  if (options.newMaterial && metadata.KeyState === 'PendingImport') {
    throw new CliError(
      `${metadata.KeyId} has no key material yet, so there is nothing to add further material to`,
      'Leave out --new-material.',
      exitCodes.usage,
    );
  }
  const spec = metadata.KeySpec ?? '';
  const wanted = secretKeyBytes[spec];
  if (wanted === undefined) return privateKeyOf(content, file, spec);
  if (content.length === wanted) return Buffer.from(content);
  const text = content.toString('latin1').trim();
  const hint = /^[0-9a-fA-F]+$/.test(text)
    ? `It looks like hexadecimal. Decode it first: xxd -r -p ${file} key.bin`
    : /^[A-Za-z0-9+/]+=*$/.test(text)
      ? `It looks like base64. Decode it first: base64 -d ${file} > key.bin`
      : `Make one with: openssl rand -out key.bin ${wanted}`;
  throw new CliError(
    `${file} has ${content.length} bytes; key material of ${spec} is ${wanted} raw bytes`,
    hint,
    exitCodes.usage,
  );
}

/** PEM becomes DER; DER is left to the service, which also knows the kinds that node:crypto of this version does not. */
function privateKeyOf(content: Buffer, file: string, spec: string): Buffer {
  const pem = /-----BEGIN ([A-Z ]+)-----([^-]*)-----END/.exec(content.toString('latin1'));
  if (pem === null) {
    if (content[0] === 0x30) return Buffer.from(content);
    throw new CliError(
      `${file} is not a private key`,
      `Give the ${spec} key as PKCS#8, DER or PEM: openssl pkcs8 -topk8 -nocrypt -in OLD -out key.pem`,
      exitCodes.usage,
    );
  }
  if (pem[1] === 'PRIVATE KEY') return Buffer.from(pem[2] ?? '', 'base64');
  try {
    return createPrivateKey(content).export({ type: 'pkcs8', format: 'der' });
  } catch (error) {
    throw new CliError(
      `${file} holds ${pem[1]}, not a private key in the clear`,
      pem[1]?.endsWith('PRIVATE KEY')
        ? `Convert it first: openssl pkcs8 -topk8 -nocrypt -in ${file} -out key.pem`
        : 'Name the file with the private key.',
      exitCodes.usage,
      { cause: error },
    );
  }
}

/** @param publicKey SubjectPublicKeyInfo, DER */
function wrapMaterial(material: Buffer, publicKey: Buffer): Buffer {
  const aesKey = randomBytes(32);
  // RFC 5649 §3: the alternative initial value without its length field, which OpenSSL adds.
  const cipher = createCipheriv('id-aes256-wrap-pad', aesKey, Buffer.from('a65959a6', 'hex'));
  const wrapped = Buffer.concat([cipher.update(material), cipher.final()]);
  const wrappedKey = publicEncrypt(
    {
      key: createPublicKey({ key: publicKey, format: 'der', type: 'spki' }),
      padding: constants.RSA_PKCS1_OAEP_PADDING,
      oaepHash: 'sha256',
    },
    aesKey,
  );
  aesKey.fill(0);
  return Buffer.concat([wrappedKey, wrapped]);
}
