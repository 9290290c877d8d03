/** A grant as it is kept, beside the record of its key. docs/formats/key-service-store.md gives the JSON. */
import { createHash } from 'node:crypto';
import { isJsonObject } from '../http/json-body.js';

export interface GrantConstraints {
  readonly EncryptionContextEquals?: Readonly<Record<string, string>>;
  readonly EncryptionContextSubset?: Readonly<Record<string, string>>;
  readonly SourceArn?: string;
}

export interface GrantRecord {
  /** Of the key. */
  readonly accountId: string;
  readonly region: string;
  readonly keyId: string;
  /** 64 hexadecimal digits. */
  readonly grantId: string;
  readonly creationDateMs: number;
  /** The account that made the grant: the root ARN. */
  readonly issuingAccount: string;
  readonly operations: readonly string[];
  readonly name?: string;
  /** An ARN; one of the two grantees is there. */
  readonly granteePrincipal?: string;
  readonly granteeServicePrincipal?: string;
  readonly retiringPrincipal?: string;
  readonly retiringServicePrincipal?: string;
  readonly constraints?: GrantConstraints;
}

/** What a request for a grant says; the service adds the rest. */
export type GrantRequest = Omit<GrantRecord, 'grantId' | 'creationDateMs'>;

const RECORD_VERSION = 1;

export function serializeGrant(record: GrantRecord): Buffer {
  return Buffer.from(JSON.stringify({ version: RECORD_VERSION, ...record }));
}

/** As parseKeyRecord: undefined when a newer version or a damaged disk wrote it. */
export function parseGrantRecord(value: Buffer): GrantRecord | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(value.toString('utf8'));
  } catch {
    return undefined;
  }
  if (!isJsonObject(parsed) || parsed['version'] !== RECORD_VERSION) return undefined;
  const { version: _, ...record } = parsed;
  const { accountId, region, keyId, grantId, operations } = record;
  const whole =
    typeof accountId === 'string' &&
    typeof region === 'string' &&
    typeof keyId === 'string' &&
    typeof grantId === 'string' &&
    Array.isArray(operations);
  return whole ? (record as unknown as GrantRecord) : undefined;
}

/** The same for two grants of one name and the same parameters, and for no others: 64 hexadecimal digits. */
export function grantTwinDigest(grant: GrantRequest): string {
  const { grantId: _id, creationDateMs: _date, ...request } = grant as GrantRecord;
  const text = JSON.stringify(request, (name, member: unknown) => {
    if (name === 'operations' && Array.isArray(member)) return member.map(String).toSorted();
    return typeof member === 'object' && member !== null && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : member;
  });
  return createHash('sha256').update(text).digest('hex');
}
