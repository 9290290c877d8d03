/**
 * Custom key stores as they are kept: all of them, of every account, in one stored value, so that one compare-and-swap keeps their
 * names and their tokens unique. docs/formats/key-service-store.md gives the JSON.
 */
import { isJsonObject } from '../http/json-body.js';

/** AWS's type, and ours without its certificate: both are a PKCS#11 token. */
type CustomKeyStoreType = 'AWS_CLOUDHSM' | 'PKCS11';

/** Those of the API's ConnectionErrorCode that a token can cause. */
export type ConnectionErrorCode =
  'CLUSTER_NOT_FOUND' | 'INTERNAL_ERROR' | 'INVALID_CREDENTIALS' | 'NETWORK_ERRORS' | 'USER_LOCKED_OUT';

export interface CustomKeyStoreRecord {
  readonly accountId: string;
  readonly region: string;
  /** `cks-` and 17 hexadecimal digits. */
  readonly customKeyStoreId: string;
  readonly name: string;
  readonly type: CustomKeyStoreType;
  readonly creationDateMs: number;
  /** Names a token of the configuration file (token-config.ts). */
  readonly clusterId: string;
  /** PEM. Absent for type PKCS11. */
  readonly trustAnchorCertificate?: string;
  /** The token's user PIN, sealed by the root key, base64. */
  readonly sealedPassword: string;
  /** Present while the store shall be connected; each ConnectCustomKeyStore makes a new one. */
  readonly connectRequest?: string;
  /** The token refused the PIN of that request: nobody tries it again, because tokens lock. */
  readonly refused?: { readonly connectRequest: string; readonly errorCode: ConnectionErrorCode };
}

/** Names one custom key store. */
export type CustomKeyStoreName = Pick<CustomKeyStoreRecord, 'accountId' | 'region' | 'customKeyStoreId'>;

const RECORD_VERSION = 1;

export function serializeCustomKeyStores(customKeyStores: readonly CustomKeyStoreRecord[]): Buffer {
  return Buffer.from(JSON.stringify({ version: RECORD_VERSION, customKeyStores }));
}

/** As parseKeyRecord: undefined when a newer version or a damaged disk wrote it. */
export function parseCustomKeyStores(value: Buffer): readonly CustomKeyStoreRecord[] | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(value.toString('utf8'));
  } catch {
    return undefined;
  }
  if (!isJsonObject(parsed) || parsed['version'] !== RECORD_VERSION) return undefined;
  const list = parsed['customKeyStores'];
  return Array.isArray(list) && list.every(isWhole) ? list : undefined;
}

function isWhole(value: unknown): boolean {
  if (!isJsonObject(value)) return false;
  const { accountId, region, customKeyStoreId, name, type, clusterId, sealedPassword } = value;
  return [accountId, region, customKeyStoreId, name, type, clusterId, sealedPassword].every(
    (one) => typeof one === 'string',
  );
}
