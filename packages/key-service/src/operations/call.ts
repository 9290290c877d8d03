/** One authenticated call on its way through an operation, and what the audit record will say of it. */
import type { AccessKey, Principal, PrincipalDirectory } from '../access/principals.js';
import type { HttpRequest } from '../http/message.js';
import type { AuditPage, AuditQuery } from '../audit/lookup.js';
import type { ServiceEvent } from '../audit/service-event.js';
import type { CustomKeyStores } from '../custom-key-stores/custom-key-stores.js';
import type { TokenKeys } from '../custom-key-stores/token-keys.js';
import type { KeyGenerator } from '../crypto/key-generator.js';
import type { KeyStore } from '../keys/key-store.js';
import type { KeyLifecycle } from '../keys/lifecycle.js';
import type { MaterialVault } from '../keys/material-vault.js';
import type { UsageTracker } from '../keys/usage-tracker.js';

/** What has been recorded so far. */
interface AuditLog {
  lookUp(query: AuditQuery): Promise<AuditPage>;
}

/** What every operation works with. */
export interface KeyServices {
  readonly keys: KeyStore;
  readonly vault: MaterialVault;
  readonly customKeyStores: CustomKeyStores;
  /** Keys of custom key stores, which the vault does not have. */
  readonly tokenKeys: TokenKeys;
  readonly lifecycle: KeyLifecycle;
  readonly usage: UsageTracker;
  readonly principals: PrincipalDirectory;
  readonly auditLog: AuditLog;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** New material of any spec, without blocking. */
  readonly createKeyMaterial: KeyGenerator;
  readonly randomBytes: (size: number) => Buffer;
  /** The same, pooled: for salts and nonces, which the answer makes public anyway. */
  readonly publicRandomBytes: (size: number) => Buffer;
}

export interface Call {
  readonly services: KeyServices;
  readonly principal: Principal;
  readonly accessKey: AccessKey;
  /** From the credential scope. */
  readonly region: string;
  readonly requestId: string;
  readonly nowMs: number;
  /** Absent for calls of the process itself. */
  readonly http?: Pick<HttpRequest, 'headers' | 'sourceIpAddress' | 'tls'>;

  /** The request's members once they are read. */
  input?: Readonly<Record<string, unknown>>;
  /** ARNs of the keys and aliases the call has touched, in order. */
  readonly resources: AuditedResource[];
  /** How long the key was not used, for the actions whose policies may ask for it. */
  daysWithoutUse?: number;
  /** additionalEventData of the audit record: KeyMaterialId of the backing key that was used, and the like. */
  eventData?: Readonly<Record<string, string>>;
  /** What AWS records beside such a call. */
  related?: readonly RelatedEvent[];
}

export type RelatedEvent =
  ({ readonly kind: 'service' } & ServiceEvent) | ({ readonly kind: 'call' } & RelatedCall);

/** What KMS does in the caller's name in another Region. */
export interface RelatedCall {
  readonly eventName: string;
  readonly region: string;
  readonly input: Readonly<Record<string, unknown>>;
  readonly output: Readonly<Record<string, unknown>>;
  readonly resources: readonly AuditedResource[];
}

export interface AuditedResource {
  readonly arn: string;
  readonly accountId: string;
  readonly type: 'AWS::KMS::Key' | 'AWS::KMS::Alias' | 'AWS::IAM::Role';
}

/** The account the call is made in: where keys are created and names are looked up. */
export function accountOf(call: Call): string {
  return call.principal.accountId;
}

/** Names the backing key in the audit record. */
export function noteMaterial(call: Call, materialId: string): void {
  noteEventData(call, { keyMaterialId: materialId });
}

/** Adds to additionalEventData of the audit record. */
export function noteEventData(call: Call, data: Readonly<Record<string, string>>): void {
  call.eventData = { ...call.eventData, ...data };
}

/** Recorded after the call's own record, if the call succeeds. */
export function noteRelatedCall(call: Call, related: RelatedCall): void {
  call.related = [...(call.related ?? []), { kind: 'call', ...related }];
}

/** As noteRelatedCall. */
export function noteServiceEvents(call: Call, events: readonly ServiceEvent[]): void {
  call.related = [
    ...(call.related ?? []),
    ...events.map((event): RelatedEvent => ({ kind: 'service', ...event })),
  ];
}
