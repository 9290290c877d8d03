/** GetParametersForImport, ImportKeyMaterial, DeleteImportedKeyMaterial. */
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { AwsError } from '../aws-error.js';
import { type ImportType, isMaterialOf, withImport, withoutImport } from '../keys/import-material.js';
import {
  createImportToken,
  IMPORT_TOKEN_VALIDITY_MS,
  readImportToken,
  WRAPPING_ALGORITHMS,
  type WrappingAlgorithm,
} from '../keys/import-token.js';
import { unwrapMaterial } from '../keys/import-wrapping.js';
import { allMaterials, arnOf, currentMaterialId, type KeyRecord } from '../keys/key-record.js';
import { isAsymmetric, secretKeyBytes } from '../keys/key-specs.js';
import { checkKeyState } from '../keys/key-states.js';
import { DAY_MS } from '../keys/lifecycle.js';
import { blob, enumeration, required, string, timestamp } from '../validation/members.js';
import * as shapes from '../validation/shapes.js';
import type { Call } from './call.js';
import { epochSeconds } from './key-metadata.js';
import { defineKeyOperation, type KeyRule } from './operation.js';

const IMPORTABLE: KeyRule = { aliases: false, crossAccount: false, states: 'not-pending-deletion' };

/** KMS API reference, ImportKeyMaterial, ValidTo. */
const MAX_VALIDITY_DAYS = 365;

const materialId = string({ min: 64, max: 64, pattern: /^[a-f0-9]+$/, patternText: '^[a-f0-9]+$' });

export const getParametersForImport = defineKeyOperation({
  name: 'GetParametersForImport',
  action: 'kms:GetParametersForImport',
  readOnly: true,
  key: IMPORTABLE,
  input: {
    KeyId: required(shapes.keyId),
    WrappingAlgorithm: required(
      enumeration([
        'RSAES_PKCS1_V1_5',
        'RSAES_OAEP_SHA_1',
        'RSAES_OAEP_SHA_256',
        'RSA_AES_KEY_WRAP_SHA_1',
        'RSA_AES_KEY_WRAP_SHA_256',
        'SM2PKE',
      ]),
    ),
    WrappingKeySpec: required(enumeration(['RSA_2048', 'RSA_3072', 'RSA_4096', 'SM2'])),
  },
  async run(call, { WrappingAlgorithm, WrappingKeySpec }, key) {
    checkOrigin(key);
    const algorithm = WRAPPING_ALGORITHMS.find((one) => one === WrappingAlgorithm);
    if (algorithm === undefined || WrappingKeySpec === 'SM2') {
      const refused = algorithm === undefined ? WrappingAlgorithm : WrappingKeySpec;
      throw new AwsError('UnsupportedOperationException', `${refused} is not supported by this key service.`);
    }
    checkFits(key, algorithm);
    const privateKey = await call.services.createKeyMaterial(WrappingKeySpec);
    const publicKey = createPublicKey(createPrivateKey({ key: privateKey, format: 'der', type: 'pkcs8' }));
    const validToMs = call.nowMs + IMPORT_TOKEN_VALIDITY_MS;
    const token = createImportToken(call.services.vault, key, { algorithm, validToMs, privateKey });
    privateKey.fill(0);
    return {
      ImportToken: token.toString('base64'),
      KeyId: arnOf(key),
      ParametersValidTo: epochSeconds(validToMs),
      PublicKey: publicKey.export({ format: 'der', type: 'spki' }).toString('base64'),
    };
  },
});

/** An RSA private key is longer than any RSAES-OAEP message. */
function checkFits({ keySpec }: KeyRecord, algorithm: WrappingAlgorithm): void {
  if (keySpec.startsWith('RSA_') && algorithm.startsWith('RSAES_OAEP')) {
    throw new AwsError(
      'UnsupportedOperationException',
      `Wrapping algorithm ${algorithm} cannot wrap key material of key spec ${keySpec}. Use RSA_AES_KEY_WRAP_SHA_256.`,
    );
  }
}

export const importKeyMaterial = defineKeyOperation({
  name: 'ImportKeyMaterial',
  action: 'kms:ImportKeyMaterial',
  readOnly: false,
  key: IMPORTABLE,
  input: {
    KeyId: required(shapes.keyId),
    ImportToken: required(blob({ min: 1, max: 6144 })),
    EncryptedKeyMaterial: required(blob({ min: 1, max: 6144 })),
    ValidTo: timestamp,
    ExpirationModel: enumeration(['KEY_MATERIAL_EXPIRES', 'KEY_MATERIAL_DOES_NOT_EXPIRE']),
    ImportType: enumeration(['NEW_KEY_MATERIAL', 'EXISTING_KEY_MATERIAL']),
    KeyMaterialDescription: string({
      min: 0,
      max: 256,
      pattern: /^[a-zA-Z0-9:/_\s.-]*$/,
      patternText: '^[a-zA-Z0-9:/_\\s.-]*$',
    }),
    KeyMaterialId: materialId,
  },
  check({ ExpirationModel, ValidTo, ImportType, KeyMaterialId }) {
    if (ExpirationModel === 'KEY_MATERIAL_DOES_NOT_EXPIRE') {
      if (ValidTo !== undefined) {
        throw new AwsError(
          'ValidationException',
          'A validTo date cannot be set if the ExpirationModel is KEY_MATERIAL_DOES_NOT_EXPIRE',
        );
      }
    } else if (ValidTo === undefined) {
      throw new AwsError(
        'ValidationException',
        'A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES',
      );
    }
    if (ImportType === 'NEW_KEY_MATERIAL' && KeyMaterialId !== undefined) {
      throw new AwsError(
        'ValidationException',
        'KeyMaterialId cannot be specified when ImportType is NEW_KEY_MATERIAL.',
      );
    }
  },
  async run(call, input, key) {
    checkOrigin(key);
    checkSymmetricMembers(key, input);
    checkValidTo(call, input.ValidTo);
    const material = unwrap(call, key, input.ImportToken, input.EncryptedKeyMaterial);
    const { keys, vault } = call.services;
    try {
      checkMaterial(key, material);
      const id = vault.identify(key.accountId, key.keyId, material);
      if (input.KeyMaterialId !== undefined && input.KeyMaterialId !== id) {
        throw new AwsError(
          'IncorrectKeyMaterialException',
          'The key material is not the one KeyMaterialId identifies.',
        );
      }
      const sealed = vault.seal(key.accountId, key.keyId, id, material);
      await keys.updateFamily(key, (family) => {
        checkKeyState(family[0] ?? key, IMPORTABLE.states);
        return withImport(family, {
          materialId: id,
          sealed,
          importType: input.ImportType,
          description: input.KeyMaterialDescription,
          validToMs: input.ValidTo,
        });
      });
      return { KeyId: arnOf(key), ...(isAsymmetricOrHmac(key) ? {} : { KeyMaterialId: id }) };
    } finally {
      material.fill(0);
    }
  },
});

export const deleteImportedKeyMaterial = defineKeyOperation({
  name: 'DeleteImportedKeyMaterial',
  action: 'kms:DeleteImportedKeyMaterial',
  readOnly: false,
  key: { aliases: false, crossAccount: false, states: 'any' },
  input: { KeyId: required(shapes.keyId), KeyMaterialId: materialId },
  async run(call, { KeyMaterialId }, key) {
    checkOrigin(key);
    const { keys } = call.services;
    const id = KeyMaterialId ?? currentMaterialId(key);
    if (id !== undefined) {
      const before = allMaterials(key).some(({ sealed }) => sealed !== undefined);
      await keys.updateFamily(key, (family) => withoutImport(family, id));
      // The record is gone, its earlier versions go too: nothing that was deleted can be read from the store again.
      if (before) await keys.eraseHistory();
    }
    return {
      KeyId: arnOf(key),
      ...(id === undefined || isAsymmetricOrHmac(key) ? {} : { KeyMaterialId: id }),
    };
  },
});

function checkOrigin(key: KeyRecord): void {
  if (key.origin !== 'EXTERNAL') {
    throw new AwsError(
      'UnsupportedOperationException',
      `${arnOf(key)} origin is ${key.origin} which is not valid for this operation.`,
    );
  }
}

function isAsymmetricOrHmac({ keySpec }: KeyRecord): boolean {
  return keySpec !== 'SYMMETRIC_DEFAULT';
}

interface SymmetricMembers {
  readonly ImportType: ImportType | undefined;
  readonly KeyMaterialDescription: string | undefined;
  readonly KeyMaterialId: string | undefined;
}

/** Members that name one of several materials; other keys have one for life. */
function checkSymmetricMembers(key: KeyRecord, input: SymmetricMembers): void {
  if (!isAsymmetricOrHmac(key)) return;
  for (const name of ['ImportType', 'KeyMaterialDescription', 'KeyMaterialId'] as const) {
    if (input[name] !== undefined) {
      throw new AwsError(
        'UnsupportedOperationException',
        `${name} is only supported for symmetric encryption keys.`,
      );
    }
  }
}

function checkValidTo({ nowMs }: Call, validToMs: number | undefined): void {
  if (validToMs === undefined) return;
  if (validToMs <= nowMs) throw new AwsError('ValidationException', 'ValidTo date must be in the future.');
  if (validToMs > nowMs + MAX_VALIDITY_DAYS * DAY_MS) {
    throw new AwsError(
      'ValidationException',
      `ValidTo date must be at most ${MAX_VALIDITY_DAYS} days in the future.`,
    );
  }
}

function unwrap(call: Call, key: KeyRecord, importToken: Buffer, wrapped: Buffer): Buffer {
  const token = readImportToken(call.services.vault, key, importToken);
  if (token === undefined) {
    throw new AwsError(
      'InvalidImportTokenException',
      'The import token is invalid or is associated with a different KMS key.',
    );
  }
  try {
    if (token.validToMs <= call.nowMs) {
      throw new AwsError(
        'ExpiredImportTokenException',
        'The import token is expired. Use GetParametersForImport to get a new import token and public key.',
      );
    }
    const material = unwrapMaterial(token, wrapped);
    if (material === undefined) throw new AwsError('InvalidCiphertextException');
    return material;
  } finally {
    token.privateKey.fill(0);
  }
}

/** The sentence names what was wanted, never what came. */
function checkMaterial({ keySpec }: KeyRecord, material: Buffer): void {
  if (isMaterialOf(keySpec, material)) return;
  const wanted = isAsymmetric(keySpec)
    ? 'a private key of that spec in PKCS#8 DER'
    : `${secretKeyBytes(keySpec)} bytes`;
  throw new AwsError(
    'IncorrectKeyMaterialException',
    `The key material does not fit key spec ${keySpec}, which takes ${wanted}.`,
  );
}
