/**
 * Import tokens: what GetParametersForImport hands out with a wrapping key, and ImportKeyMaterial takes back.
 *
 * Source of the rule: KMS API reference, GetParametersForImport. A token is bound to one KMS key in one Region and to one
 * wrapping key, and is valid for 24 hours. It carries the wrapping key's private half, sealed so that only this service opens
 * it: nothing is stored, and a token outlives a restart.
 */
import { isJsonObject } from '../http/json-body.js';
import type { KeyRecord } from './key-record.js';
import type { MaterialVault } from './material-vault.js';

export const IMPORT_TOKEN_VALIDITY_MS = 86_400_000;

/** RSAES_PKCS1_V1_5 and SM2PKE, which the model still names, are refused before a token is made. */
export const WRAPPING_ALGORITHMS = [
  'RSAES_OAEP_SHA_1',
  'RSAES_OAEP_SHA_256',
  'RSA_AES_KEY_WRAP_SHA_1',
  'RSA_AES_KEY_WRAP_SHA_256',
] as const;
export type WrappingAlgorithm = (typeof WRAPPING_ALGORITHMS)[number];

export interface ImportToken {
  readonly algorithm: WrappingAlgorithm;
  readonly validToMs: number;
  /** PKCS#8 DER. Whoever reads the token zeroes it. */
  readonly privateKey: Buffer;
}

export function createImportToken(vault: MaterialVault, key: KeyRecord, token: ImportToken): Buffer {
  const { algorithm, validToMs, privateKey } = token;
  const header = Buffer.from(JSON.stringify({ algorithm, validToMs }));
  const length = Buffer.alloc(2);
  length.writeUInt16BE(header.length);
  const content = Buffer.concat([length, header, privateKey]);
  const sealed = vault.sealToken(labelOf(key), content);
  content.fill(0);
  return sealed;
}

/** Undefined when the token was not made here or is another key's. */
export function readImportToken(
  vault: MaterialVault,
  key: KeyRecord,
  token: Buffer,
): ImportToken | undefined {
  const content = vault.openToken(labelOf(key), token);
  if (content === undefined || content.length < 2) return undefined;
  const headerEnd = 2 + content.readUInt16BE(0);
  const header = parseHeader(content.subarray(2, headerEnd));
  return header && { ...header, privateKey: content.subarray(headerEnd) };
}

/** Authenticated already: this only notices a token of an older version of the service. */
function parseHeader(bytes: Buffer): Omit<ImportToken, 'privateKey'> | undefined {
  let header: unknown;
  try {
    header = JSON.parse(bytes.toString());
  } catch {
    return undefined;
  }
  if (!isJsonObject(header)) return undefined;
  const { validToMs } = header;
  const algorithm = WRAPPING_ALGORITHMS.find((one) => one === header['algorithm']);
  return algorithm !== undefined && typeof validToMs === 'number' ? { algorithm, validToMs } : undefined;
}

function labelOf({ accountId, region, keyId }: KeyRecord): string {
  return `import/${accountId}/${region}/${keyId}`;
}
